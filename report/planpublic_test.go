package report

import (
	"strings"
	"testing"
)

const privateWords = `Get "https://user:secret@10.1.2.3:6443/api": open /srv/ca.pem`

func TestPublicPlanTellsNoAddress(t *testing.T) {
	p := Plan{Digest: "sha256:1", Risks: []Risk{
		{RiskUnseen, "member aks-1 was planned from Git alone: " + privateWords},
		{RiskUnseen, "aks-2: planned from Git alone in part: " + privateWords},
		{RiskUnseen, "aks-3: asked about 500 changes; 7 more were planned from Git alone"},
		{RiskNotice, "web: planned from Git alone: the author wrote this"},
	}}
	want := []string{
		"member aks-1 was planned from Git alone; why is in gitfleet's log",
		"aks-2: planned from Git alone in part; why is in gitfleet's log",
		"aks-3: asked about 500 changes; 7 more were planned from Git alone",
		"web: planned from Git alone: the author wrote this",
	}
	for i, r := range p.Public().Risks {
		if r.Message != want[i] {
			t.Errorf("risk %d is %q, want %q", i, r.Message, want[i])
		}
	}
	if !strings.Contains(p.Risks[0].Message, privateWords) {
		t.Error("the plan itself was changed, which the command line prints whole")
	}
}

func TestStatusesTellNoAddress(t *testing.T) {
	away := committed("True/True")
	for i := range away.Members {
		away.Members[i].Joined, away.Members[i].Message = "Unknown", privateWords
	}
	unread := committed("True/True")
	unread.Head.Commit, unread.SourceErr = "9999999", privateWords
	for name, r := range map[string]Report{"members that are away": away, "a repository that cannot be read": unread} {
		list := r.CommitStatuses(StatusOptions{PerCluster: true})
		if len(list) == 0 {
			t.Errorf("%s: no status", name)
		}
		told := false
		for _, s := range list {
			if strings.Contains(s.Description, "10.1.2.3") || strings.Contains(s.Description, "secret") || strings.Contains(s.Description, "/srv") {
				t.Errorf("%s: %s tells %q", name, s.Context, s.Description)
			}
			told = told || strings.Contains(s.Description, "why is in gitfleet's log")
		}
		if !told {
			t.Errorf("%s: no status says where the reason is: %v", name, list)
		}
	}
}
