package mcs

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"time"
)

func TestDifference(t *testing.T) {
	target := func(cluster, at string) Backend {
		return Backend{Cluster: cluster, Target: netip.MustParseAddrPort(at)}
	}
	web := func(change func(*LoadBalancer)) LoadBalancer {
		lb := LoadBalancer{Namespace: "shop", Name: "web", Clusters: []string{"m1"}, Ports: []Port{{Protocol: corev1.ProtocolTCP, Port: 80}},
			Backends: []Backend{target("m1", "10.1.0.2:8080"), target("m2", "10.2.0.2:8080")}}
		change(&lb)
		return lb
	}
	same := func(*LoadBalancer) {}
	installed := func(f Frontend) State { return State{web(same).Key(): {LoadBalancer: web(same), Frontend: f}} }
	tests := map[string]struct {
		reason   string
		wanted   []LoadBalancer
		unsynced []string
		in       State
		want     []string // action and reason of each change
	}{
		"new":   {reason: "nothing is in place", wanted: []LoadBalancer{web(same)}, want: []string{"create: new"}},
		"same":  {reason: "everything is in place", wanted: []LoadBalancer{web(same)}, in: installed(Frontend{})},
		"retry": {reason: "the provider hopes", wanted: []LoadBalancer{web(same)}, in: installed(Frontend{Problems: []string{"taken"}, Retry: true}), want: []string{"update: retry: taken"}},
		"refused": {reason: "a problem that no retry can mend is not retried", wanted: []LoadBalancer{web(same)},
			in: installed(Frontend{Problems: []string{"UDP"}})},
		"previous": {reason: "the address in the status is a consequence",
			wanted: []LoadBalancer{web(func(lb *LoadBalancer) { lb.Previous = []netip.Addr{netip.MustParseAddr("127.255.0.5")} })}, in: installed(Frontend{})},
		"endpoints": {reason: "one came, one went", wanted: []LoadBalancer{web(func(lb *LoadBalancer) {
			lb.Backends = []Backend{target("m1", "10.1.0.2:8080"), target("m2", "10.2.0.3:8080")}
		})}, in: installed(Frontend{}), want: []string{"update: backends change: 1 added, 1 removed"}},
		"ports and scope": {reason: "all reasons are told", wanted: []LoadBalancer{web(func(lb *LoadBalancer) {
			lb.Ports, lb.Internal, lb.Clusters = []Port{{Protocol: corev1.ProtocolTCP, Port: 81}}, true, []string{"m1", "m2"}
		})}, in: installed(Frontend{}), want: []string{"update: becomes internal; ports change; asked for on m1, m2"}},
		"gone":            {reason: "its member was seen without it", in: installed(Frontend{}), want: []string{"delete: no MultiClusterService asks for it"}},
		"other unsynced":  {reason: "a member that never asked for it does not matter", unsynced: []string{"m2"}, in: installed(Frontend{}), want: []string{"delete: no MultiClusterService asks for it"}},
		"unsynced asker":  {reason: "losing sight is not losing life", unsynced: []string{"m1"}, in: installed(Frontend{})},
		"sorted by key":   {reason: "output has one order", wanted: []LoadBalancer{{Namespace: "a", Name: "b"}, {Namespace: "z", Name: "a"}}, in: installed(Frontend{}), want: []string{"create: new", "delete: no MultiClusterService asks for it", "create: new"}},
		"nothing at all":  {reason: "an empty fleet makes no request"},
		"empty is public": {reason: "the way back is told too", wanted: []LoadBalancer{web(same)}, in: State{web(same).Key(): {LoadBalancer: web(func(lb *LoadBalancer) { lb.Internal = true })}}, want: []string{"update: becomes public"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range Difference(Resolution{LoadBalancers: tt.wanted, Unsynced: tt.unsynced}, tt.in).Changes {
				got = append(got, string(c.Action)+": "+c.Reason)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestCondition(t *testing.T) {
	before := metav1.NewTime(now.Add(-time.Hour))
	have := metav1.Condition{Type: "Valid", Status: "True", Reason: "R", Message: "m", ObservedGeneration: 1, LastTransitionTime: before}
	tests := map[string]struct {
		reason     string
		verdict    Verdict
		generation int64
		differs    bool
		since      time.Time
	}{
		"same":        {"nothing to write", Verdict{"True", "R", "m"}, 1, false, before.Time},
		"status":      {"only a new status moves the time", Verdict{"False", "R", "m"}, 1, true, now},
		"reason":      {"a reason is news, but no transition", Verdict{"True", "S", "m"}, 1, true, before.Time},
		"message":     {"a message is news, but no transition", Verdict{"True", "R", "n"}, 1, true, before.Time},
		"generation":  {"what was judged is newer", Verdict{"True", "R", "m"}, 2, true, before.Time},
		"other types": {"a condition that is not there yet is news", Verdict{"True", "R", "m"}, 1, true, now},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conditions := []metav1.Condition{{Type: "Else", Status: "True"}, have}
			if name == "other types" {
				conditions = conditions[:1]
			}
			got, differs := tt.verdict.condition("Valid", tt.generation, conditions, now.Add(time.Millisecond))
			if differs != tt.differs || !got.LastTransitionTime.Time.Equal(tt.since) {
				t.Errorf("%s: differs %t since %s, want %t since %s", tt.reason, differs, got.LastTransitionTime, tt.differs, tt.since)
			}
			want := metav1.Condition{Type: "Valid", Status: tt.verdict.Status, Reason: tt.verdict.Reason, Message: tt.verdict.Message, ObservedGeneration: tt.generation}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
