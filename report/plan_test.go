package report

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

func samplePlan() Plan {
	change := func(cluster string, action apply.Action, apiVersion, kind, namespace, name, diff string) Change {
		return Change{Cluster: cluster, Action: action, APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name,
			Placement: "web", Source: "web.yaml#2", Reason: "as wished", Diff: diff}
	}
	return Plan{
		Base:   "1111111111111111",
		Head:   "2222222222222222",
		Digest: "sha256:abc",
		Changes: []Change{
			change("aks-1", apply.Delete, "v1", "Namespace", "", "old", ""),
			change("aks-1", apply.Update, "apps/v1", "Deployment", "web", "shop", "spec.replicas: 2 -> 3\nspec.paused: (none) -> true"),
			change("aks-2", apply.Update, "apps/v1", "Deployment", "web", "shop", "spec.replicas: 2 -> 3\nspec.paused: (none) -> true"),
			change("aks-3", apply.Update, "apps/v1", "Deployment", "web", "shop", "spec.replicas: 1 -> 3"),
			change("aks-3", apply.Create, "v1", "ConfigMap", "web", "settings", ""),
		},
		Placements: []placement.Decision{{Name: "web"}},
		Moves: []Move{{Placement: "web", Cluster: "aks-3", Action: Gain, Reason: "it matches"},
			{Placement: "web", Cluster: "aks-4", Action: Lose, Reason: "it does not"}},
		Services: []ServiceChange{{Namespace: "web", Name: "shop", Action: "update", Reason: "export gained on aks-3"}},
		Risks:    []Risk{{Kind: RiskDeleteNamespace, Message: "Namespace old is deleted on aks-1"}},
	}
}

func TestPlanText(t *testing.T) {
	refused := Plan{Head: "2222222222222222", Errors: []render.ManifestError{{File: "web.yaml", Document: 2, Field: "spec", Message: "wrong\nand bad"}}}
	tests := map[string]struct {
		reason string
		plan   Plan
		want   string
	}{
		"Full": {
			reason: "the same change on several members is told once, each difference by itself",
			plan:   samplePlan(),
			want: `
Plan from 111111111111 to 222222222222: 1 to create on 1 member, 1 to update on 3 members, 1 to
  delete on 1 member
Digest sha256:abc

Placements
  + web comes to aks-3: it matches
  - web leaves aks-4: it does not

On aks-1, aks-2: 1 to update
  placement web: as wished
    ~ update Deployment.apps web/shop (web.yaml#2)
        spec.replicas: 2 -> 3
        spec.paused: (none) -> true

On aks-1: 1 to delete
  placement web: as wished
    - delete Namespace old (formerly web.yaml#2)

On aks-3: 1 to create, 1 to update
  placement web: as wished
    + create ConfigMap web/settings (web.yaml#2)
    ~ update Deployment.apps web/shop (web.yaml#2)
        spec.replicas: 1 -> 3

Multi-cluster services
  update web/shop: export gained on aks-3

Risks
  ! DeleteNamespace: Namespace old is deleted on aks-1
`,
		},
		"Wide": {
			reason: "few of many members are named, long lines break at spaces, and what people wrote drives no terminal",
			plan: Plan{Head: "22", Digest: "sha256:abc", Changes: onEach(100, Change{Action: apply.Create, APIVersion: "v1", Kind: "ConfigMap", Name: "a",
				Placement: "web", Source: "\x1b[2Ja.yaml#1", Reason: strings.Repeat("word ", 25) + "\nend \u202e"}),
				Risks: []Risk{{Kind: RiskNotice, Message: "read this later"}, {Kind: RiskConfirm, Message: "much is deleted"}}},
			want: `
Plan from nothing to 22: 1 to create on 100 members
Digest sha256:abc

On aks-001, aks-002, aks-003, aks-004, aks-005 … and 95 more (of 100): 1 to create
  placement web: word word word word word word word word word word word word word word word word
    word word word word word word word word word  end \u202e
    + create ConfigMap a (␛[2Ja.yaml#1)

Risks
  ! Confirm: much is deleted
  ! Notice: read this later
  The line by which a commit message confirms it:
    Gitfleet-Confirm: sha256:abc
`,
		},
		"NoChange": {
			reason: "no change is said in words",
			plan:   Plan{Head: "22", Digest: "sha256:abc"},
			want:   "\nPlan from nothing to 22: no change on any member\nDigest sha256:abc\n",
		},
		"Refused": {
			reason: "errors come with the consequence",
			plan:   refused,
			want: "\nPlan from nothing to 222222222222: 1 error, nothing would be applied\n\n" +
				"Errors\n  web.yaml: document 2: spec: wrong and bad\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var b, coloured strings.Builder
			if err := tc.plan.Text(&b, false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if err := tc.plan.Text(&coloured, true); err != nil {
				t.Fatal(err)
			}
			plain := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(coloured.String())
			if diff := cmp.Diff(b.String(), plain); diff != "" {
				t.Errorf("colours change more than the colour (-plain +coloured):\n%s", diff)
			}
		})
	}
	var coloured strings.Builder
	if err := samplePlan().Text(&coloured, true); err != nil || !strings.Contains(coloured.String(), "\x1b[31m- delete Namespace old (formerly web.yaml#2)\x1b[0m") {
		t.Errorf("a delete is not red (%v):\n%s", err, coloured.String())
	}
}

func TestPlanJSON(t *testing.T) {
	var empty strings.Builder
	if err := (Plan{Placements: []placement.Decision{{Name: "web"}}}).JSON(&empty); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "base": "",
  "head": "",
  "digest": "",
  "changes": [],
  "placements": [
    {
      "name": "web",
      "scheduled": {
        "status": "",
        "reason": "",
        "message": ""
      },
      "unfilled": 0,
      "clusters": []
    }
  ],
  "moves": [],
  "services": [],
  "risks": [],
  "errors": []
}
`
	if diff := cmp.Diff(want, empty.String()); diff != "" {
		t.Errorf("the contract has fields for everything, and lists that are never null (-want +got):\n%s", diff)
	}
	var full strings.Builder
	if err := samplePlan().JSON(&full); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(full.String(), "2 -> 3") {
		t.Errorf("arrows are escaped for HTML:\n%s", full.String())
	}
	var back Plan
	if err := json.Unmarshal([]byte(full.String()), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(samplePlan().Changes, back.Changes); diff != "" {
		t.Errorf("changes do not survive (-want +got):\n%s", diff)
	}
}

func TestPlanChanged(t *testing.T) {
	if (Plan{Moves: []Move{{}}}).Changed() || !samplePlan().Changed() {
		t.Error("a plan changes something exactly when it has changes")
	}
}

func TestRefOfAnOddAPIVersion(t *testing.T) {
	if got := (Change{APIVersion: "a/b/c", Kind: "K", Name: "n"}).Ref().String(); got != "K n" {
		t.Errorf("ref is %q, want the kind and name", got)
	}
}
