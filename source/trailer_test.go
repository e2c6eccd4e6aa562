package source_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/source"
)

// A confirmation is written a..., b... in the rows below.
var digests = strings.NewReplacer("<a>", "sha256:"+strings.Repeat("a", 64), "<b>", "sha256:"+strings.Repeat("b", 64))

// confirmationRows are messages and what they confirm. TestConfirmationsAreTrailersToGit gives them to git as well.
var confirmationRows = []struct {
	name     string
	message  string
	want     string // digests, separated by spaces
	mistyped string // lines, separated by |
}{
	{"none", "remove shop\n\nIt is closed.\n", "", ""},
	{"an empty message", "", "", ""},
	{"one", "remove shop\n\nGitfleet-Confirm: <a>\n", "<a>", ""},
	{"without a newline at the end", "remove shop\n\nGitfleet-Confirm: <a>", "<a>", ""},
	{"several, sorted, each once", "t\n\nGitfleet-Confirm: <b>\nGitfleet-Confirm: <a>\nGitfleet-Confirm: <b>\n", "<a> <b>", ""},
	{"after a body", "t\n\nbody: with a colon\n\nGitfleet-Confirm: <a>\n", "<a>", ""},
	{"among other trailers", "t\n\nReviewed-by: B <b@example.com>\nGitfleet-Confirm: <a>\nSigned-off-by: C\n", "<a>", ""},
	{"the key in another case", "t\n\ngitfleet-confirm: <a>\n", "<a>", ""},
	{"the digest in capitals", "t\n\nGitfleet-Confirm: SHA256:" + strings.Repeat("A", 64) + "\n", "<a>", ""},
	{"space around the colon", "t\n\nGitfleet-Confirm \t:<a>  \n", "<a>", ""},
	{"lines as some web editors end them", "t\r\n\r\nGitfleet-Confirm: <a>\r\n", "<a>", ""},
	{"empty lines at the end", "t\n\nGitfleet-Confirm: <a>\n\n \n", "<a>", ""},
	{"a comment among the trailers", "t\n\nGitfleet-Confirm: <a>\n# comment\nReviewed-by: B\n", "<a>", ""},
	{"a folded trailer before it", "t\n\nReviewed-by: B\n  and C\nGitfleet-Confirm: <a>\n", "<a>", ""},
	{"Git vouches for a paragraph with some prose", "t\n\nas agreed\nGitfleet-Confirm: <a>\nSigned-off-by: C\n", "<a>", ""},
	{"a trailer that merging forges write", "Merge branch x\n\nCloses: 3\n\nGitfleet-Confirm: <a>\nSee-merge-request: org/fleet!3\n", "<a>", ""},

	{"the title is no trailer", "Gitfleet-Confirm: <a>\n", "", "Gitfleet-Confirm: <a>"},
	{"a title of two lines", "t\nGitfleet-Confirm: <a>\n", "", "Gitfleet-Confirm: <a>"},
	{"not in the last paragraph", "t\n\nGitfleet-Confirm: <a>\n\nIt is closed.\n", "", "Gitfleet-Confirm: <a>"},
	{"in a paragraph of prose", "t\n\nplease do\nGitfleet-Confirm: <a>\n", "", "Gitfleet-Confirm: <a>"},
	{"more prose than Git vouches for", "t\n\na\nb\nc\nd\ne\nf\ng\nGitfleet-Confirm: <a>\nSigned-off-by: C\n", "", "Gitfleet-Confirm: <a>"},
	{"a folded paragraph cut by a comment", "t\n\n  folded\n# comment\nGitfleet-Confirm: <a>\n", "", "Gitfleet-Confirm: <a>"},
	{"indented", "t\n\nReviewed-by: B\n Gitfleet-Confirm: <a>\n", "", ""},
	{"quoted", "t\n\n> Gitfleet-Confirm: <a>\n", "", ""},
	{"in a comment", "t\n\n#Gitfleet-Confirm: <a>\n", "", ""},
	{"another key", "t\n\nGitfleet-Confirmed: <a>\n", "", ""},
	{"a digest that is too short", "t\n\nGitfleet-Confirm: sha256:aaaa\nGitfleet-Confirm: <b>\n", "<b>", "Gitfleet-Confirm: sha256:aaaa"},
	{"a digest that is too long", "t\n\nGitfleet-Confirm: <a>a\n", "", "Gitfleet-Confirm: <a>a"},
	{"no algorithm", "t\n\nGitfleet-Confirm: " + strings.Repeat("a", 64) + "\n", "", "Gitfleet-Confirm: " + strings.Repeat("a", 64)},
	{"no value", "t\n\nGitfleet-Confirm:\n", "", "Gitfleet-Confirm:"},
	{"two digests on one line", "t\n\nGitfleet-Confirm: <a> <b>\n", "", "Gitfleet-Confirm: <a> <b>"},
	{"a folded value", "t\n\nGitfleet-Confirm: <a>\n and more\n", "", "Gitfleet-Confirm: <a>"},
	{"bytes that are no text", "t\n\nGitfleet-Confirm: \xff\n", "", "Gitfleet-Confirm: \uFFFD"},
}

func TestConfirmations(t *testing.T) {
	for _, tt := range confirmationRows {
		t.Run(tt.name, func(t *testing.T) {
			got, mistyped := source.Confirmations(digests.Replace(tt.message))
			if want := strings.Fields(digests.Replace(tt.want)); !slices.Equal(got, want) {
				t.Errorf("confirms %q, want %q", got, want)
			}
			want := strings.FieldsFunc(digests.Replace(tt.mistyped), func(r rune) bool { return r == '|' })
			if !slices.Equal(mistyped, want) {
				t.Errorf("mistyped %q, want %q", mistyped, want)
			}
		})
	}
}

// TestConfirmationsAreTrailersToGit compares with what git interpret-trailers sees in the same messages.
func TestConfirmationsAreTrailersToGit(t *testing.T) {
	line := regexp.MustCompile(`(?im)^gitfleet-confirm: (sha256:[0-9a-f]{64})$`)
	for _, tt := range confirmationRows {
		t.Run(tt.name, func(t *testing.T) {
			message := digests.Replace(tt.message)
			git := exec.Command("git", "interpret-trailers", "--parse", "--no-divider")
			git.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
			git.Dir = t.TempDir()
			git.Stdin = strings.NewReader(message)
			out, err := git.Output()
			if err != nil {
				t.Fatalf("git interpret-trailers: %v", err)
			}
			var want []string
			for _, m := range line.FindAllStringSubmatch(string(out), -1) {
				want = append(want, strings.ToLower(m[1]))
			}
			slices.Sort(want)
			if got, _ := source.Confirmations(message); !slices.Equal(got, slices.Compact(want)) {
				t.Errorf("confirms %q; git sees\n%s", got, out)
			}
		})
	}
}

// FuzzConfirmations gives arbitrary messages to the parser. Whatever comes out is a digest that stands in the message,
// and a last paragraph of trailers alone counts whatever stands before it.
func FuzzConfirmations(f *testing.F) {
	for _, tt := range confirmationRows {
		f.Add(digests.Replace(tt.message))
	}
	isDigest := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	confirmed := digests.Replace("<b>")
	f.Fuzz(func(t *testing.T, message string) {
		got, _ := source.Confirmations(message)
		for _, d := range got {
			if !isDigest.MatchString(d) || !strings.Contains(strings.ToLower(message), d) {
				t.Errorf("Confirmations(%q) returns %q", message, d)
			}
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("Confirmations(%q) = %q: not sorted, or one twice", message, got)
		}
		if got, _ := source.Confirmations("t\n" + message + "\n\n" + api.TrailerConfirm + ": " + confirmed); !slices.Contains(got, confirmed) {
			t.Errorf("a trailer of its own after %q confirms %q", message, got)
		}
	})
}
