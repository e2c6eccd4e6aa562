package gitnotes

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gitfleet/gitfleet/report"
)

func TestSetStatusInANote(t *testing.T) {
	apply := func(state report.State, text string) report.CommitStatus {
		return report.CommitStatus{Context: report.ContextApply, State: state, Description: text}
	}
	linked := apply(report.StateSuccess, "5 clusters")
	linked.URL = "https://gitfleet.example.com/x"
	for _, tt := range []struct {
		name, before string
		set          report.CommitStatus
		after        string
	}{
		{"the first status", "", apply("pending", "3 of 5 clusters"), "gitfleet/apply: pending: 3 of 5 clusters\n"},
		{"the next state", "gitfleet/apply: pending: 3 of 5 clusters\n", apply("success", "5 clusters"), "gitfleet/apply: success: 5 clusters\n"},
		{"the same", "gitfleet/apply: success: 5 clusters", apply("success", "5 clusters"), "gitfleet/apply: success: 5 clusters"},
		{"no description", "", apply("pending", ""), "gitfleet/apply: pending:\n"},
		{"an address", "gitfleet/apply: pending: x\n", linked, "gitfleet/apply: success: 5 clusters\n    see https://gitfleet.example.com/x\n"},
		{"the address goes with its status", "gitfleet/apply: success: x\n    see https://a\ngitfleet/plan: success: y\n    see https://b\n",
			apply("failure", "z"), "gitfleet/apply: failure: z\ngitfleet/plan: success: y\n    see https://b\n"},
		{"sorted among others", "gitfleet/a: success: x\ngitfleet/b: success: x\n", apply("error", "x"),
			"gitfleet/a: success: x\ngitfleet/apply: error: x\ngitfleet/b: success: x\n"},
		{"before all others", "gitfleet/plan: success: x\n", apply("error", "x"), "gitfleet/apply: error: x\ngitfleet/plan: success: x\n"},
		{"below what people wrote", "Reviewed by Ann", apply("error", "x"), "Reviewed by Ann\n\ngitfleet/apply: error: x\n"},
		{"between what people wrote", "Ann:\n\ngitfleet/apply: pending: x\n\n  bye\n", apply("error", "x"),
			"Ann:\n\ngitfleet/apply: error: x\n\n  bye\n"},
		{"two of one context", "gitfleet/apply: pending: a\n-\ngitfleet/apply: success: b\n", apply("error", "x"),
			"gitfleet/apply: error: x\n-\n"},
		{"two of one context, one as wanted", "gitfleet/apply: error: x\ngitfleet/apply: success: b\n", apply("error", "x"),
			"gitfleet/apply: error: x\n"},
		{"a state that is none", "gitfleet/apply: done: x\n", apply("error", "x"), "gitfleet/apply: done: x\n\ngitfleet/apply: error: x\n"},
		{"bytes that are no text", "\x00\xff\n\xfe", apply("error", "x"), "\x00\xff\n\xfe\n\ngitfleet/apply: error: x\n"},
		{"an editor with other line ends", "hi\r\ngitfleet/apply: error: x\r\n", apply("error", "x"), "hi\r\ngitfleet/apply: error: x\r\n"},
		{"what would play with a terminal", "", apply("error", "a\x1b[2Jb\nc: d\\ "), `gitfleet/apply: error: a\x1b[2Jb\x0ac: d\\\x20` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := parseNote(tt.before)
			if n.String() != tt.before {
				t.Fatalf("a note that was only read became %q", n)
			}
			n.set(tt.set)
			if n.String() != tt.after {
				t.Fatalf("the note became %q, want %q", n, tt.after)
			}
			again := parseNote(n.String())
			if got := again.statuses(); !slices.Contains(got, tt.set) {
				t.Errorf("read back: %+v, want %+v among them", got, tt.set)
			}
			if again.set(tt.set) {
				t.Errorf("setting it again is a change: %q", again)
			}
		})
	}
}

func TestLinesThatAreNoStatus(t *testing.T) {
	for _, line := range []string{
		"", "text", "a: b: c", ": pending: x", "two words: pending: x", "gitfleet/apply pending: x", "gitfleet/apply: pending",
		"gitfleet/apply:pending: x", "gitfleet/apply: Pending: x", " gitfleet/apply: pending: x", "    see https://x",
	} {
		if got := parseNote(line).statuses(); len(got) > 0 {
			t.Errorf("%q reads as %+v", line, got)
		}
	}
}

// FuzzNote: every status reads back as it was, and no line of others changes, whatever both contain.
func FuzzNote(f *testing.F) {
	f.Add("text\n", "gitfleet/apply", "3 of 5", "https://x", "more")
	f.Add("gitfleet/plan: success: x\n    see y", "a:", ": b: ", "\\x20 ", "")
	f.Add("gitfleet/plan: success: x\r\n", "#", " \n", "\xff", "\u2028")
	f.Fuzz(func(t *testing.T, before, context, description, url, second string) {
		if context == "" {
			return
		}
		var others []string
		for _, p := range parseNote(before) {
			if p.status == nil {
				others = append(others, strings.TrimSpace(p.text))
			}
		}
		n := parseNote(before)
		for _, text := range []string{description, second} {
			s := report.CommitStatus{Context: context, State: report.StateError, Description: text, URL: url}
			n.set(s)
			n = parseNote(n.String())
			var found []report.CommitStatus
			for _, got := range n.statuses() {
				if got.Context == context {
					found = append(found, got)
				}
			}
			if len(found) != 1 || found[0] != s {
				t.Fatalf("%+v reads back as %+v from %q", s, found, n)
			}
			if strings.ContainsFunc(format(s), func(r rune) bool { return r < ' ' && r != '\n' }) || !utf8.ValidString(format(s)) {
				t.Fatalf("control characters, or no text, in %q", format(s))
			}
		}
		var left []string
		for _, p := range n {
			if p.status == nil {
				left = append(left, strings.TrimSpace(p.text))
			}
		}
		drop := func(s string) bool { return s == "" }
		if !slices.Equal(slices.DeleteFunc(others, drop), slices.DeleteFunc(left, drop)) {
			t.Fatalf("the lines of others were %q and are %q", others, left)
		}
	})
}

func TestSetComment(t *testing.T) {
	const begin, end = commentBegin + "\n", commentEnd + "\n"
	for _, tt := range []struct{ name, before, body, after string }{
		{"the first", "", "plan", begin + "plan\n" + end},
		{"the next", begin + "old\n" + end, "new\n", begin + "new\n" + end},
		{"below what people wrote", "hello", "plan", "hello\n\n" + begin + "plan\n" + end},
		{"between what people wrote", "a\n" + begin + "old\n" + end + "b\n", "plan", "a\n" + begin + "plan\n" + end + "b\n"},
		{"nothing", "", "", begin + "\n" + end},
		{"marks in the plan", "", "x\n" + end + begin + "y\n", begin + "x\n" + strings.ReplaceAll(end+begin, "<", "&lt;") + "y\n" + end},
		{"what would play with a terminal", "", "a\x1b[2J\xff\x00\r\nb\tc", begin + "a\ufffd[2J\ufffd\ufffd\nb\tc\n" + end},
		{"a mark that lost its end", "a\n" + begin + "old\nb\n", "plan", "a\n" + begin + "old\nb\n\n" + begin + "plan\n" + end},
		{"a mark that lost its end, and a whole one", begin + "a\n" + begin + "old\n" + end, "plan", begin + "a\n" + begin + "plan\n" + end},
		{"a mark that lost its beginning", "a\n" + end, "plan", "a\n" + end + "\n" + begin + "plan\n" + end},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := setComment(tt.before, tt.body)
			if got != tt.after {
				t.Fatalf("the note became %q, want %q", got, tt.after)
			}
			if again := setComment(got, tt.body); again != got {
				t.Errorf("the same again became %q", again)
			}
			if !hasComment(got) {
				t.Error("the comment is not found again")
			}
		})
	}
}
