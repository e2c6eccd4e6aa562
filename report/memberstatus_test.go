package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMemberConditions(t *testing.T) {
	two := 2
	words := func(list []metav1.Condition) string {
		var out []string
		for _, c := range list {
			out = append(out, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
		}
		return strings.Join(out, ", ")
	}
	for name, tc := range map[string]struct {
		member  Member
		cluster string
		agent   string // empty when there is no agent's status
	}{
		"InTouch": {Member{Joined: "True", LastSeen: noon, Nodes: &two},
			"Joined=True MemberClusterJoined, ReadyToJoin=True MemberClusterReadyToJoin",
			"Joined=True InternalMemberClusterJoined, Healthy=True InternalMemberClusterHealthy"},
		"NodesDenied": {Member{Joined: "True", LastSeen: noon, Message: "may not list nodes"},
			"Joined=True MemberClusterJoined, ReadyToJoin=True MemberClusterReadyToJoin",
			"Joined=True InternalMemberClusterJoined, Healthy=Unknown InternalMemberClusterUnhealthy"},
		"Lost": {Member{Joined: "Unknown", LastSeen: noon, Message: "refused", Nodes: &two},
			"Joined=Unknown MemberClusterJoinStateUnknown, ReadyToJoin=True MemberClusterReadyToJoin",
			"Joined=True InternalMemberClusterJoined, Healthy=Unknown InternalMemberClusterUnhealthy"},
		"NeverReached": {Member{Joined: "Unknown", Message: "refused"},
			"Joined=Unknown MemberClusterJoinStateUnknown, ReadyToJoin=True MemberClusterReadyToJoin", ""},
		"NoCredentials": {Member{Joined: "False", Message: "no context"},
			"Joined=False MemberClusterNotReadyToJoin, ReadyToJoin=False MemberClusterNotReadyToJoin", ""},
		"CredentialsGone": {Member{Joined: "False", LastSeen: noon, Message: "no context"},
			"Joined=False MemberClusterNotReadyToJoin, ReadyToJoin=False MemberClusterNotReadyToJoin",
			"Joined=False InternalMemberClusterLeft, Healthy=Unknown InternalMemberClusterUnhealthy"},
		"NothingKnown": {Member{}, "Joined=Unknown MemberClusterJoinStateUnknown, ReadyToJoin=True MemberClusterReadyToJoin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.member.Status(noon.Add(time.Hour))
			if got := words(s.Conditions); got != tc.cluster {
				t.Errorf("conditions %s, want %s", got, tc.cluster)
			}
			agent := ""
			for _, a := range s.AgentStatus {
				agent += words(a.Conditions)
				if a.Type != "MemberAgent" || !a.LastReceivedHeartbeat.Time.Equal(noon) {
					t.Errorf("%s was heard at %v, want MemberAgent at %v", a.Type, a.LastReceivedHeartbeat, noon)
				}
			}
			if agent != tc.agent {
				t.Errorf("the agent's conditions %s, want %s", agent, tc.agent)
			}
			if c := s.Conditions[0]; tc.member.Joined != "True" && c.Message != tc.member.Message {
				t.Errorf("Joined says %q, want %q", c.Message, tc.member.Message)
			}
		})
	}
}

// TestMemberTimes: what is told as observed was observed when the member was heard, and conditions began when they did.
func TestMemberTimes(t *testing.T) {
	two := 2
	m := Member{Joined: "Unknown", Since: noon.Add(-time.Minute), LastSeen: noon.Add(-2*time.Minute + time.Millisecond), Nodes: &two, Version: "v1.37.0",
		Resources: &Resources{Capacity: map[string]string{"cpu": "4", "memory": "lots"}}}
	s := m.Status(noon)
	seen := metav1.NewTime(noon.Add(-2 * time.Minute))
	for name, p := range s.Properties {
		if !p.ObservationTime.Equal(&seen) {
			t.Errorf("%s was observed at %v, want %v", name, p.ObservationTime, seen)
		}
	}
	if len(s.Properties) != 2 || !s.ResourceUsage.ObservationTime.Equal(&seen) || s.ResourceUsage.Capacity.Cpu().String() != "4" {
		t.Errorf("properties %v and resources %v, want both, as observed at %v", s.Properties, s.ResourceUsage, seen)
	}
	if _, ok := s.ResourceUsage.Capacity["memory"]; ok {
		t.Error("what is no quantity is published as one")
	}
	for _, c := range append(s.Conditions, s.AgentStatus[0].Conditions...) {
		if !c.LastTransitionTime.Time.Equal(noon.Add(-time.Minute)) {
			t.Errorf("%s changed at %v, want when Joined did", c.Type, c.LastTransitionTime)
		}
	}
	m.Since = time.Time{}
	if c := m.Status(noon).Conditions[0]; !c.LastTransitionTime.Time.Equal(noon) {
		t.Errorf("%s changed at %v, want now where nobody knows", c.Type, c.LastTransitionTime)
	}
}
