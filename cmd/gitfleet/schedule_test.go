package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var updateSchedule = flag.Bool("update-schedule", false, "rewrite what testdata/schedule expects, and the example in docs/cli.md")

// scheduleStory is one archive of testdata/schedule: files to schedule, what `gitfleet schedule` is told, and what it says.
type scheduleStory struct {
	archive *txtar.Archive
	inputs  []txtar.File
	args    []string // "-f ." unless the story has a file args
	stdin   string
	want    scheduleOutcome
}

type scheduleOutcome struct {
	stdout, stderr string
	code           int
}

func readScheduleStory(t testing.TB, path string) scheduleStory {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := scheduleStory{archive: archive, args: []string{"-f", "."}}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "args":
			s.args = strings.Fields(text)
		case "stdin":
			s.stdin = text
		case "stdout":
			s.want.stdout = text
		case "stderr":
			s.want.stderr = text
		case "exit":
			if s.want.code, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
				t.Fatal(err)
			}
		default:
			s.inputs = append(s.inputs, f)
		}
	}
	return s
}

// update writes what came of the story back into its archive.
func (s scheduleStory) update(t *testing.T, path string, got scheduleOutcome) {
	t.Helper()
	s.archive.Files = slices.DeleteFunc(s.archive.Files, func(f txtar.File) bool {
		return slices.Contains([]string{"stdout", "stderr", "exit"}, f.Name)
	})
	for _, f := range []txtar.File{{Name: "stdout", Data: []byte(got.stdout)}, {Name: "stderr", Data: []byte(got.stderr)},
		{Name: "exit", Data: fmt.Appendln(nil, got.code)}} {
		if len(f.Data) > 0 {
			s.archive.Files = append(s.archive.Files, f)
		}
	}
	if err := os.WriteFile(path, txtar.Format(s.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runScheduleOn runs the command line in a directory that holds files.
func runScheduleOn(t testing.TB, files []txtar.File, args []string, stdin string) scheduleOutcome {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return runSchedules(args, stdin)
}

func runSchedules(args []string, stdin string) scheduleOutcome {
	var stdout, stderr bytes.Buffer
	code := execute(context.Background(), append([]string{"schedule"}, args...), strings.NewReader(stdin), &stdout, &stderr)
	return scheduleOutcome{stdout: stdout.String(), stderr: stderr.String(), code: code}
}

func scheduleStories(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/schedule/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no stories in testdata/schedule (%v)", err)
	}
	for i := range paths {
		if paths[i], err = filepath.Abs(paths[i]); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// TestScheduleStories runs testdata/schedule/*.txtar through the command line, twice, and then with the documents of every story in other orders
// and files, which changes nothing. Where the input is wrong, messages name files and documents, so those stay.
func TestScheduleStories(t *testing.T) {
	for _, path := range scheduleStories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			s := readScheduleStory(t, path)
			got := runScheduleOn(t, s.inputs, s.args, s.stdin)
			if *updateSchedule {
				s.update(t, path, got)
				s.want = got
			}
			if diff := cmp.Diff(s.want, got, cmp.AllowUnexported(scheduleOutcome{})); diff != "" {
				t.Errorf("%s(-want +got):\n%s", s.archive.Comment, diff)
			}
			checkWidth(t, got.stdout)
			if again := runScheduleOn(t, s.inputs, s.args, s.stdin); again != got {
				t.Errorf("run twice:\n%s", cmp.Diff(got, again, cmp.AllowUnexported(scheduleOutcome{})))
			}
			if got.code == exitError {
				return
			}
			for seed := range uint64(5) {
				random := rand.New(rand.NewPCG(seed, 1))
				files := shuffledDocuments(random, s.inputs, slices.Equal(s.args[:2], []string{"-f", "."}))
				if again := runScheduleOn(t, files, s.args, shuffledText(random, s.stdin)); again != got {
					t.Errorf("seed %d: the order of documents matters (-first +shuffled):\n%s", seed,
						cmp.Diff(got, again, cmp.AllowUnexported(scheduleOutcome{})))
				}
			}
		})
	}
}

// checkWidth wants tables to fit a page.
func checkWidth(t *testing.T, stdout string) {
	t.Helper()
	if strings.HasPrefix(stdout, "{") {
		return
	}
	for line := range strings.Lines(stdout) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 120 || line != strings.TrimRight(line, " ") {
			t.Errorf("the line has %d columns or ends with blanks: %q", len(line), line)
		}
	}
}

// shuffledDocuments puts the documents of YAML files in other orders, and with everywhere into other files.
func shuffledDocuments(random *rand.Rand, files []txtar.File, everywhere bool) []txtar.File {
	var out []txtar.File
	var all []string
	for _, f := range files {
		switch {
		case filepath.Ext(f.Name) == ".json":
			out = append(out, f)
		case everywhere:
			all = append(all, splitDocuments(string(f.Data))...)
		default:
			out = append(out, txtar.File{Name: f.Name, Data: []byte(shuffledText(random, string(f.Data)))})
		}
	}
	into := map[string][]string{}
	for _, i := range random.Perm(len(all)) {
		name := fmt.Sprintf("%c/%d.yml", 'a'+random.IntN(3), random.IntN(4))
		into[name] = append(into[name], all[i])
	}
	for name, documents := range into {
		out = append(out, txtar.File{Name: name, Data: []byte(joinDocuments(documents))})
	}
	return out
}

func shuffledText(random *rand.Rand, text string) string {
	documents := splitDocuments(text)
	random.Shuffle(len(documents), func(i, j int) { documents[i], documents[j] = documents[j], documents[i] })
	return joinDocuments(documents)
}

func splitDocuments(text string) []string { return strings.Split(text, "\n---\n") }

func joinDocuments(documents []string) string { return strings.Join(documents, "\n---\n") }

// TestScheduleFlags shows what the command line itself refuses.
func TestScheduleFlags(t *testing.T) {
	tests := map[string]struct {
		args   []string
		reason string
		stderr string
	}{
		"Nothing":  {nil, "standard input is read only when asked for", "gitfleet: nothing to read: name files or directories after -f, or - for standard input\n"},
		"Argument": {[]string{"fleet.yaml"}, "kubectl's habit, -f, is the only way", "gitfleet: unexpected argument \"fleet.yaml\": name files and directories after -f\n"},
		"Output":   {[]string{"-f", "-", "-o", "yaml"}, "two formats", "gitfleet: --output \"yaml\": want table or json\n"},
		"Now":      {[]string{"-f", "-", "--now", "noon"}, "one format", "gitfleet: --now \"noon\": want a time such as 2026-03-01T12:00:00Z (RFC 3339)\n"},
		"Zone": {[]string{"-f", "-", "--now", "2026-03-01T12:00:00"}, "noon is another moment elsewhere",
			"gitfleet: --now \"2026-03-01T12:00:00\": want a time such as 2026-03-01T12:00:00Z (RFC 3339)\n"},
		"Unknown": {[]string{"--file", "-"}, "a misspelled flag has no effect", "gitfleet: unknown flag: --file; see 'gitfleet schedule --help'\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			want := scheduleOutcome{stderr: tc.stderr, code: exitError}
			if got := runSchedules(tc.args, ""); got != want {
				t.Errorf("%s: got %+v, want %+v", tc.reason, got, want)
			}
		})
	}
}

// TestScheduleReadsThroughLinks: a mounted ConfigMap is links to files, below a hidden directory that is not read too.
func TestScheduleReadsThroughLinks(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("fleet/..2026/members.yaml", registry([]string{"east"}))
	write("fleet/..2026/placement.yaml", place("web", ""))
	link("..2026", "fleet/..data")
	link("..data/members.yaml", "fleet/members.yaml")
	link("..data/placement.yaml", "fleet/placement.yaml")
	link("fleet", "linked")
	t.Chdir(dir)
	got := runSchedules([]string{"-f", "linked"}, "")
	if got.code != exitOK || got.stderr != "" || !strings.Contains(got.stdout, "1 of 1 registered clusters selected") {
		t.Errorf("got %+v, want web on the one member", got)
	}

	link("nowhere", "fleet/gone.yaml")
	link("loop.yaml", "loop.yaml")
	want := scheduleOutcome{code: exitError, stderr: "linked/gone.yaml: there is no such file or directory; mend the name after -f\n" +
		"loop.yaml: cannot be read: too many levels of symbolic links\n"}
	if got := runSchedules([]string{"-f", "linked", "-f", "loop.yaml"}, ""); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestScheduleUnreadable needs no file that root may not read.
func TestScheduleUnreadable(t *testing.T) {
	got := unreadable("secret.yaml", &fs.PathError{Op: "open", Path: "/secret.yaml", Err: syscall.EACCES}).Error()
	if want := "secret.yaml: may not be read by this user; change its permissions, or leave it out"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestScheduleExample runs the example that docs/cli.md shows.
func TestScheduleExample(t *testing.T) {
	const doc = "../../docs/cli.md"
	const prompt = "    $ gitfleet schedule -f examples/scheduling --now 2026-03-01T12:00:00Z\n"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), prompt)
	if !found {
		t.Fatalf("%s does not show %q", doc, prompt)
	}
	shown := after[:strings.Index(after, "\n\n[")+1]
	got := runSchedules([]string{"-f", "../../examples/scheduling", "--now", "2026-03-01T12:00:00Z"}, "")
	if got.stderr != "" || got.code != exitOK {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
	want := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(got.stdout, "    $1")
	if *updateSchedule {
		if err := os.WriteFile(doc, []byte(before+prompt+want+after[len(shown):]), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(shown, want); diff != "" {
		t.Errorf("%s shows something else (-shown +printed):\n%s", doc, diff)
	}
}
