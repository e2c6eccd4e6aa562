package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// pipeline is a file of examples/ci, as far as the test knows their formats.
type pipeline struct {
	Jobs map[string]struct {
		Steps []struct{ Run string }
	} // of GitHub
	Plan struct {
		Script []string
	} // of GitLab, whose steps share a shell
	Steps []struct{ Script string } // of Azure
}

// steps returns the scripts of a pipeline, in their order.
func (p pipeline) steps() []string {
	list := p.Plan.Script
	for _, job := range p.Jobs {
		for _, s := range job.Steps {
			list = append(list, s.Run)
		}
	}
	for _, s := range p.Steps {
		list = append(list, s.Script)
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

func readPipeline(t *testing.T, name string) pipeline {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "ci", name))
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := yaml.UnmarshalStrict(text, &whole); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var p pipeline
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// called matches gitfleet on a command line, up to what is the shell's.
var called = regexp.MustCompile(`(?m)(?:^|/bin/|&& |\| )gitfleet ([^>|;&\n]*)`)

// TestExamplesOfPipelines runs what the pipelines of examples/ci run, on a clone such as each forge makes.
func TestExamplesOfPipelines(t *testing.T) {
	files, err := filepath.Glob("../../examples/ci/*.y*ml")
	if err != nil || len(files) != 3 {
		t.Fatalf("examples/ci has the pipelines %q: %v; want three", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		p := readPipeline(t, name)
		if !strings.Contains(strings.Join(p.steps(), "\n"), "go install github.com/gitfleet/gitfleet/cmd/gitfleet@") {
			t.Errorf("%s does not install gitfleet", name)
		}
		t.Run(name+" flags", func(t *testing.T) { checkCalls(t, strings.Join(p.steps(), "\n")) })
		for _, change := range []struct {
			name, file, content string
			fails               bool
			says                string
		}{
			{"a change", "a.yaml", configMap("web", "a", "2"), false, "1 changed on 1 cluster"},
			{"a change of nothing", "README.md", "more\n", false, "nothing changes"},
			{"a mistake", "a.yaml", "kind: [\n", true, "a.yaml: document 1: is not valid YAML"},
			{"an object that is there twice", "a.yaml", configMap("web", "a", "1") + "---\n" + configMap("web", "a", "2"), true, "a.yaml: document 2"},
		} {
			t.Run(name+" "+change.name, func(t *testing.T) {
				if testing.Short() {
					t.Skip("starts processes")
				}
				c := newCheckout(t, change.file, change.content)
				failed := slices.ContainsFunc(p.steps(), func(step string) bool {
					return !strings.HasPrefix(step, "go install") && c.run(step) != nil
				})
				if failed != change.fails {
					t.Errorf("the pipeline failed: %t, want %t\n%s", failed, change.fails, &c.told)
				}
				shown := c.plan()
				if failed {
					shown = c.told.String()
				}
				if !strings.Contains(shown, change.says) {
					t.Errorf("people see no %q:\n%s\n%s", change.says, shown, &c.told)
				}
			})
		}
	}
}

// checkCalls checks that every command and flag in a script exists.
func checkCalls(t *testing.T, script string) {
	t.Helper()
	var commands []string
	for _, call := range called.FindAllStringSubmatch(script, -1) {
		args := strings.Fields(strings.ReplaceAll(call[1], `"`, ""))
		cmd, rest, err := newRoot().Find(args)
		if err == nil && !cmd.HasParent() {
			err = errors.New("no command")
		}
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("gitfleet %s: %v", call[1], err)
			continue
		}
		commands = append(commands, cmd.Name())
	}
	if want := []string{"render", "plan"}; !slices.Equal(commands, want) {
		t.Errorf("the pipeline calls %q, want %q", commands, want)
	}
}

// checkout is what a forge checks out for a pull request: the merge into the target branch, and no more history than is asked for.
type checkout struct {
	t    *testing.T
	dir  string
	base string // commit
	env  []string
	told strings.Builder
}

// newCheckout makes a pull request that changes one file.
func newCheckout(t *testing.T, file, content string) *checkout {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.git(w.dir, "init", "--quiet", "--bare", "--initial-branch=main", w.remote())
	w.git(w.dir, "clone", "--quiet", w.remote(), w.tree())
	w.git(w.tree(), "switch", "--quiet", "--orphan", "main")
	w.push("before", map[string]string{"README.md": "a fleet\n"})
	base := w.push("begin", map[string]string{"registry.yaml": registry([]string{"one"}), "place.yaml": place("web", ""), "namespace.yaml": namespace("web"),
		"a.yaml": configMap("web", "a", "1")})
	w.git(w.tree(), "checkout", "--quiet", "-b", "change")
	w.save(file, content)
	w.git(w.tree(), "commit", "--quiet", "--all", "--message", "change")
	w.git(w.tree(), "checkout", "--quiet", "--detach", "main")
	w.git(w.tree(), "merge", "--quiet", "--no-ff", "--message", "merge", "change")
	w.git(w.tree(), "push", "--quiet", "origin", "HEAD:refs/heads/merge")

	c := &checkout{t: t, dir: filepath.Join(w.dir, "clone"), base: base}
	w.git(w.dir, "clone", "--quiet", "--depth", "2", "--branch", "merge", "file://"+w.remote(), c.dir)
	bin := filepath.Join(w.dir, "go", "bin")
	self, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(bin, 0o700)
	}
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "gitfleet"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.env = append(os.Environ(), "GOPATH="+filepath.Join(w.dir, "go"), "PATH="+bin+":"+os.Getenv("PATH"),
		"GITHUB_STEP_SUMMARY="+c.summary(), "CI_MERGE_REQUEST_DIFF_BASE_SHA="+base)
	return c
}

func (c *checkout) summary() string { return filepath.Join(filepath.Dir(c.dir), "summary.md") }

// run runs a step as forges do.
func (c *checkout) run(step string) error {
	cmd := exec.Command("bash", "-e", "-c", step)
	cmd.Dir, cmd.Env = c.dir, c.env
	out, err := cmd.CombinedOutput()
	fmt.Fprintf(&c.told, "$ %s\n%s%v\n", step, out, err)
	return err
}

// plan is what the pipeline leaves for people to read besides its log.
func (c *checkout) plan() string {
	c.t.Helper()
	for _, file := range []string{c.summary(), filepath.Join(c.dir, "plan.md")} {
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
			return string(text)
		}
	}
	return ""
}
