package apply

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// A story in testdata/claim is what instance a sees of its lease ("seen": one look a line, as TIME and then "unsynced",
// "none", or resourceVersion, holder, challenge and answered, "-" for empty; "=" repeats the last look and "read RV" is
// the answer to a confirm), and what it makes of each ("steps").
func TestClaimStories(t *testing.T) {
	files, err := filepath.Glob("testdata/claim/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tellClaim(t, string(a.Files[0].Data))
			if *update {
				a.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(a.Files[1].Data), got); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func tellClaim(t *testing.T, seen string) string {
	t.Helper()
	var out strings.Builder
	s := NewClaimState(Instance{ID: "a", Description: "host a"}, "source", "nonce", DefaultClaimTiming())
	var v ClaimView
	for line := range strings.Lines(seen) {
		words := strings.Fields(line)
		at, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatal(err)
		}
		now := storyTime.Add(at)
		switch words[1] {
		case "unsynced":
			v.Synced = false
		case "none":
			v = ClaimView{Synced: true}
		case "read":
			s = s.Confirmed(words[2])
		case "=":
		default:
			v = ClaimView{Synced: true, Lease: storyLease(words[1:])}
		}
		var step ClaimStep
		s, step = s.Next(v, now)
		fmt.Fprintf(&out, "%s: %s; next look at %s; %s\n", words[0], describeClaim(step), step.Wake.Sub(storyTime).Round(time.Millisecond), claimWord(s.Err(v, now)))
	}
	return out.String()
}

func storyLease(words []string) ClaimLease {
	for i, w := range words {
		if w == "-" {
			words[i] = ""
		}
	}
	l := ClaimLease{ResourceVersion: words[0], Source: "source", Challenge: words[2], Answered: words[3]}
	if words[1] != "" {
		l.Holder, l.Since = Instance{ID: words[1], Description: "host " + words[1]}, storyTime
	}
	return l
}

func describeClaim(step ClaimStep) string {
	switch step.Do {
	case ClaimNothing:
		return "wait"
	case ClaimConfirm:
		return "confirm"
	}
	l := step.Lease
	return fmt.Sprintf("%s (on %q: holder %q, transitions %d, challenge %q, answered %q)",
		step.Do, l.ResourceVersion, l.Holder.ID, l.Transitions, l.Challenge, l.Answered)
}

func claimWord(err error) string {
	switch err := err.(type) {
	case nil:
		return "held"
	case *ClaimPendingError:
		return err.Reason
	case *ClaimedError:
		return "fenced by " + err.Holder.ID
	default:
		return err.Error()
	}
}

func TestClaimErrors(t *testing.T) {
	want := `another gitfleet manages this member from the same source, "https://git.example.com/fleet main": host b (instance b) since 2026-01-01T12:00:00Z; ` +
		`nothing is changed here until that one stops: stop one of the two, or give them different repositories, branches or paths ` +
		`(Lease gitfleet-system/` + ClaimName("https://git.example.com/fleet main") + `)`
	err := &ClaimedError{Source: "https://git.example.com/fleet main", Holder: Instance{ID: "b", Description: "host\nb"}, Since: storyTime}
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	pending := &ClaimPendingError{Source: "s", Reason: "waiting for an answer"}
	if got, want := pending.Error(), "the claim on this member (Lease gitfleet-system/"+ClaimName("s")+") is not held yet: waiting for an answer"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// FuzzClaimLease: whatever others write into a lease, it is read as something, what is written from it is read as the
// same, and it prints as one line.
func FuzzClaimLease(f *testing.F) {
	f.Add("a", "host a", "nonce by instance b", "nonce")
	f.Add("", "", "\n", "")
	f.Add("a\n\x00", strings.Repeat("ä ", 300), " x", "\xff")
	f.Fuzz(func(t *testing.T, id, description, challenge, answered string) {
		l := ClaimLease{ResourceVersion: "7", UID: "uid", Source: "source", Holder: Instance{id, description}, Since: storyTime,
			Renewed: storyTime, Transitions: 3, Challenge: challenge, Answered: answered}
		want := l
		if id == "" {
			want.Holder = Instance{}
		}
		want.Holder.Description = oneLine(want.Holder.Description)
		got := DecodeClaim(EncodeClaim(l), "source")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read after written (-want +got):\n%s", diff)
		}
		if text := got.Holder.String(); strings.ContainsAny(text, "\n\r") || len([]rune(text)) > 3*maxDescription {
			t.Errorf("prints as %s", strconv.Quote(text))
		}
		if a := got.answer(Instance{ID: "a"}, storyTime); a.Challenge != "" {
			t.Errorf("an answer leaves the challenge %q", a.Challenge)
		}
	})
}
