package reconcile

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/report"
)

// errPrivate is what clients, Git and operating systems say to those who run gitfleet, and nobody else should hear.
var errPrivate = errors.New(`request: Get "https://robot:pa55word@10.1.2.3:6443/api": open /srv/gitfleet/ca.pem: permission denied`)

// private are its parts.
var private = []string{"robot", "pa55word", "10.1.2.3", "/srv/gitfleet", "ca.pem"}

// tellsInside waits until those who run gitfleet are told why, and returns what a badge says then.
func tellsInside(t *testing.T, l *Loop, what string, why func(report.Report) string) string {
	t.Helper()
	r := await(t, l, what+", told whole to who runs gitfleet", func(r report.Report) bool {
		return strings.Contains(why(r), errPrivate.Error())
	})
	return report.BadgeOf(r, report.BadgeQuestion{}).Message
}

// TestForgesHearNoReasons goes through all that fails with words of its own, and looks at everything that a forge got.
func TestForgesHearNoReasons(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{parted: "base"}
	base := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e"), config("web", "gone", "1")}
	repo.push("base", base...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), func(o *Options) {
		plansFor(forge, repo)(o)
		o.Statuses.PerCluster = true
	})
	forge.comes(t, l, "base", report.ContextApply, report.StateSuccess, "in place")
	var badges []string
	tells := func(what string, why func(report.Report) string) {
		badges = append(badges, tellsInside(t, l, what, why))
	}
	onEast := func(r report.Report) string { return placedOn(r, "web", "east").Message }
	waits := func(commit, words string) {
		t.Helper()
		forge.comes(t, l, commit, report.ContextApply, report.StatePending, words)
		forge.comes(t, l, commit, report.ContextApply+"/east", report.StatePending, words)
	}

	east.set(func() { east.refuse = errPrivate })
	repo.push("failing", base[:3]...)
	tells("a member that fails", onEast)
	tells("an object that is still there", func(r report.Report) string {
		if len(r.Removals) == 0 {
			return ""
		}
		return r.Removals[0].Reason
	})
	waits("failing", "not for its author to mend; why is in gitfleet's log")
	east.set(func() { east.refuse = nil })
	forge.comes(t, l, "failing", report.ContextApply, report.StateSuccess, "in place")

	east.set(func() { east.phase, east.silence = fleet.Unreachable, errPrivate })
	repo.push("away", base...)
	tells("a member that is away", func(r report.Report) string { return r.Members[0].Message })
	waits("away", "east is not reached; why is in gitfleet's log")

	repo.hold("head", append(base, config("web", "new", "1"))...)
	forge.do(func() { forge.requests = []report.PullRequest{{ID: "1", Head: "head", HeadRef: "head"}} })
	forge.saysOf(t, l, "1", "planned from Git alone; why is in gitfleet's log")

	east.set(func() { east.phase, east.complete = fleet.Ready, false })
	east.set(func() { east.unknown = map[schema.GroupKind]string{{Kind: "ConfigMap"}: errPrivate.Error()} })
	tells("a kind that cannot be listed", onEast)
	repo.push("unlisted", base[:3]...)
	waits("unlisted", "not known yet; why is in gitfleet's log")

	east.set(func() { east.complete, east.unknown, east.claim = true, nil, errPrivate })
	tells("a member that cannot be claimed", onEast)
	repo.push("unclaimed", base...)
	waits("unclaimed", "not known yet; why is in gitfleet's log")

	busy := &apply.RefusedError{Verb: "patch", Actor: apply.Retry, Message: errPrivate.Error(), Err: apierrors.NewInternalError(errPrivate)}
	east.set(func() {
		east.claim, east.asked = nil, nil
		east.previews = map[api.Ref]apply.Preview{api.RefOf(object(t, config("web", "asked", "1"))): {Refused: busy}}
	})
	repo.hold("webhook", append(base, config("web", "asked", "1"))...)
	forge.do(func() { forge.requests = []report.PullRequest{{ID: "2", Head: "webhook", HeadRef: "webhook"}} })
	forge.saysOf(t, l, "2", "asked", "planned from Git alone; why is in gitfleet's log")

	repo.push("unread", base[:3]...)
	repo.breakRendering(errPrivate)
	repo.push("unread2", base...)
	forge.do(func() { forge.requests = []report.PullRequest{{ID: "3", Head: "away", HeadRef: "away"}} })
	tells("a repository that cannot be rendered", func(r report.Report) string { return r.SourceErr })
	forge.comes(t, l, "unread2", report.ContextApply, report.StateError, "not rendered, will be tried again; why is in gitfleet's log")

	forge.do(func() {
		for _, text := range append(forge.texts, badges...) {
			for _, p := range private {
				if strings.Contains(text, p) {
					t.Errorf("a forge or a badge tells %q in\n%s", p, text)
				}
			}
		}
	})
}
