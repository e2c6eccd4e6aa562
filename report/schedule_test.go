package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/placement"
)

// decisions are one of each kind: a placement that lacks a cluster, and one of a namespace that nothing is known about.
func decisions() []placement.Decision {
	return []placement.Decision{
		{Name: "web", Unfilled: 1, Scheduled: placement.Scheduled{Status: "False", Reason: placement.Unfulfilled, Message: "PickN: 1 of 2\nfound"},
			Verdicts: []placement.Verdict{
				{Cluster: "zürich-nord", Selected: true, Score: placement.Score{Affinity: 100, TopologySpread: -1}, Reason: "1 < 2"},
				{Cluster: "east-1", Reason: strings.Repeat("reason ", 20) + strings.Repeat("x", 90)},
			}},
		{Name: "config", Namespace: "web", Scheduled: placement.Scheduled{Status: "True", Reason: placement.Fulfilled, Message: "PickAll: 0 of 0"}},
	}
}

func TestScheduleTable(t *testing.T) {
	const want = `web: Scheduled False, SchedulingPolicyUnfulfilled, 1 unfilled
  PickN: 1 of 2 found

  CLUSTER       SELECTED   AFFINITY   SPREAD   REASON
  zürich-nord   true       100        -1       1 < 2
  east-1        false      0          0        reason reason reason reason reason reason reason reason reason reason
                                               reason reason reason reason reason reason reason reason reason reason
                                               xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx

web/config: Scheduled True, SchedulingPolicyFulfilled
  PickAll: 0 of 0
`
	var b bytes.Buffer
	if err := ScheduleTable(&b, decisions()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestScheduleTableOfLongNames: a name may have 63 characters, and the reason beside it stays readable.
func TestScheduleTableOfLongNames(t *testing.T) {
	d := decisions()[:1]
	d[0].Verdicts[0].Cluster = strings.Repeat("n", 63)
	var b bytes.Buffer
	if err := ScheduleTable(&b, d); err != nil {
		t.Fatal(err)
	}
	if want := "reason reason reason reason reason reason\n"; !strings.Contains(b.String(), want) {
		t.Errorf("the reasons have no %d columns:\n%s", leastReasonWidth, b.String())
	}
}

func TestScheduleJSON(t *testing.T) {
	const want = `{
  "placements": [
    {
      "name": "web",
      "namespace": "",
      "scheduled": {
        "status": "False",
        "reason": "SchedulingPolicyUnfulfilled",
        "message": "PickN: 1 of 2\nfound"
      },
      "unfilled": 1,
      "clusters": [
        {
          "name": "zürich-nord",
          "selected": true,
          "affinityScore": 100,
          "topologySpreadScore": -1,
          "reason": "1 < 2"
        }
      ]
    },
    {
      "name": "config",
      "namespace": "web",
      "scheduled": {
        "status": "True",
        "reason": "SchedulingPolicyFulfilled",
        "message": "PickAll: 0 of 0"
      },
      "unfilled": 0,
      "clusters": []
    }
  ]
}
`
	d := decisions()
	d[0].Verdicts = d[0].Verdicts[:1]
	for want, list := range map[string][]placement.Decision{want: d, "{\n  \"placements\": []\n}\n": nil} {
		var b bytes.Buffer
		if err := ScheduleJSON(&b, list); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
