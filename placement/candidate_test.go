package placement

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
)

func TestCandidateOf(t *testing.T) {
	m := &clusterv1beta1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"r": "e", memberNameLabel: "other"}}}
	m.Spec.Taints = taints("k=v")
	m.Status.Properties = map[string]clusterv1beta1.PropertyValue{
		"kubernetes-fleet.io/node-count":              {Value: "3"},
		"resources.kubernetes-fleet.io/available-cpu": {Value: "never read from here"},
		"resources.kubernetes-fleet.io/total-pods":    {Value: "never read from here"},
	}
	quantities := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("16Gi")}
	}
	m.Status.ResourceUsage = clusterv1beta1.ResourceUsage{Capacity: quantities("8"), Allocatable: quantities("7500m"), Available: quantities("0.5")}
	m.Status.AgentStatus = []clusterv1beta1.AgentStatus{agent(noon, "True", "True", noon)}
	want := Candidate{Name: "a", Labels: map[string]string{"r": "e", memberNameLabel: "a"}, Taints: taints("k=v"), Properties: map[string]string{
		"kubernetes-fleet.io/node-count":                   "3",
		"resources.kubernetes-fleet.io/total-cpu":          "8",
		"resources.kubernetes-fleet.io/total-memory":       "16Gi",
		"resources.kubernetes-fleet.io/allocatable-cpu":    "7500m",
		"resources.kubernetes-fleet.io/allocatable-memory": "16Gi",
		"resources.kubernetes-fleet.io/available-cpu":      "500m",
		"resources.kubernetes-fleet.io/available-memory":   "16Gi",
	}}
	if diff := cmp.Diff(want, CandidateOf(m, noon)); diff != "" {
		t.Errorf("candidate (-want +got):\n%s", diff)
	}
	if m.Labels[memberNameLabel] != "other" {
		t.Error("the labels of the MemberCluster were changed")
	}
}

// agent returns what a member agent says; "" is a condition that it does not set.
func agent(heartbeat time.Time, joined, healthy metav1.ConditionStatus, since time.Time) clusterv1beta1.AgentStatus {
	a := clusterv1beta1.AgentStatus{Type: clusterv1beta1.AgentMember, LastReceivedHeartbeat: metav1.NewTime(heartbeat)}
	for name, status := range map[string]metav1.ConditionStatus{"Joined": joined, "Healthy": healthy} {
		if status != "" {
			a.Conditions = append(a.Conditions, metav1.Condition{Type: name, Status: status, Reason: "Why" + name, Message: "and how", LastTransitionTime: metav1.NewTime(since)})
		}
	}
	return a
}

func TestEligibility(t *testing.T) {
	minutes := func(n time.Duration) time.Time { return noon.Add(-n * time.Minute) }
	other := clusterv1beta1.AgentStatus{Type: "ServiceExportImportAgent", LastReceivedHeartbeat: metav1.NewTime(noon)}
	deleted := metav1.NewTime(noon)
	tests := map[string]struct {
		reason string
		member clusterv1beta1.MemberCluster
		want   string
	}{
		"NoStatus":        {"a cluster of a repository has no status and is eligible", clusterv1beta1.MemberCluster{}, ""},
		"Deleted":         {"removal comes before everything", clusterv1beta1.MemberCluster{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &deleted}}, leaving},
		"NoAgent":         {"somebody has reported, but not the member agent", reported(other), "its member agent has never reported: see that it runs and reaches the hub"},
		"Fine":            {"all is well, whatever other agents say", reported(other, agent(noon, "True", "True", minutes(99))), ""},
		"HeartbeatLimit":  {"5 minutes are not too long", reported(agent(minutes(5), "True", "True", noon)), ""},
		"HeartbeatLost":   {"longer is", reported(agent(minutes(5).Add(-1), "True", "True", noon)), "its member agent was last heard of at 2026-03-01T11:54:59Z, more than 5m0s ago: see that it runs and reaches the hub"},
		"HeartbeatFirst":  {"the heartbeat is asked before the conditions", reported(agent(minutes(6), "False", "False", minutes(99))), "its member agent was last heard of at 2026-03-01T11:54:00Z, more than 5m0s ago: see that it runs and reaches the hub"},
		"NotJoined":       {"Joined must be True", reported(agent(noon, "Unknown", "", noon)), "its member agent has not joined the fleet (Joined is Unknown, WhyJoined, and how): see its log"},
		"NeverJoined":     {"and it must be there", reported(agent(noon, "", "True", noon)), "its member agent has not joined the fleet (Joined is not set): see its log"},
		"NoHealth":        {"Healthy must be there", reported(agent(noon, "True", "", noon)), "its member agent has not told yet whether it is healthy: see its log"},
		"UnhealthyLately": {"5 minutes of bad health are forgiven", reported(agent(noon, "True", "False", minutes(5))), ""},
		"Unhealthy": {"more are not", reported(agent(noon, "True", "False", minutes(6))),
			"its member agent has not been healthy since 2026-03-01T11:54:00Z, more than 5m0s ago (Healthy is False, WhyHealthy, and how): see that it can list the nodes"},
		"HealthUnknown": {"unknown health is not good health", reported(agent(noon, "True", "Unknown", minutes(6))),
			"its member agent has not been healthy since 2026-03-01T11:54:00Z, more than 5m0s ago (Healthy is Unknown, WhyHealthy, and how): see that it can list the nodes"},
		"PropertiesOnly": {"a status without agents is a status", clusterv1beta1.MemberCluster{Status: clusterv1beta1.MemberClusterStatus{
			Properties: map[string]clusterv1beta1.PropertyValue{"p": {Value: "1"}}}}, "its member agent has never reported: see that it runs and reaches the hub"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := CandidateOf(&tc.member, noon)
			if c.Ineligible != tc.want {
				t.Errorf("%s:\n got %q\nwant %q", tc.reason, c.Ineligible, tc.want)
			}
			if c.Leaving != (tc.want == leaving) {
				t.Errorf("Leaving is %v", c.Leaving)
			}
			if later := CandidateOf(&tc.member, noon.Add(time.Second)); tc.want != "" && later.Ineligible != tc.want {
				t.Errorf("the reason changes as time goes by, though nothing happens:\n%s\n%s", c.Ineligible, later.Ineligible)
			}
		})
	}
}

func reported(agents ...clusterv1beta1.AgentStatus) clusterv1beta1.MemberCluster {
	return clusterv1beta1.MemberCluster{Status: clusterv1beta1.MemberClusterStatus{AgentStatus: agents}}
}

// FuzzCandidateOf feeds MemberClusters as others write them, and schedules on what comes out.
func FuzzCandidateOf(f *testing.F) {
	f.Add("metadata: {name: a, labels: {r: e}}\nspec: {taints: [{key: k, effect: NoSchedule}]}\n", int64(0))
	f.Add("metadata: {name: a}\nstatus: {properties: {p: {value: many}}, resourceUsage: {available: {cpu: -1}}}\n", int64(-1))
	f.Add("metadata: {name: a}\nstatus: {agentStatus: [{type: MemberAgent, lastReceivedHeartbeat: \"2026-03-01T12:00:00Z\", conditions: [{type: Joined, status: \"True\"}]}]}", int64(1<<60))
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		var m clusterv1beta1.MemberCluster
		if yaml.Unmarshal([]byte(text), &m) != nil {
			return
		}
		now := noon.Add(time.Duration(seconds))
		c := CandidateOf(&m, now)
		if again := CandidateOf(&m, now); !reflect.DeepEqual(c, again) {
			t.Errorf("two answers to one question: %+v, %+v", c, again)
		}
		if reflect.ValueOf(m.Status).IsZero() && m.DeletionTimestamp.IsZero() && c.Ineligible != "" {
			t.Errorf("a cluster without a status is not eligible: %s", c.Ineligible)
		}
		policy := pickN(1, preferring(prefer(10, nil, descending("resources.kubernetes-fleet.io/available-cpu"))))
		d := Decide(placementWith(policy), Assignment{}, []Candidate{c, member("b resources.kubernetes-fleet.io/available-cpu:1")}, now)
		for _, v := range d.Verdicts {
			if strings.TrimSpace(v.Reason) == "" {
				t.Errorf("no reason for %s: %+v", v.Cluster, v)
			}
		}
	})
}
