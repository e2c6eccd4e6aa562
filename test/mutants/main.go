// Command mutants tests the tests: it breaks the program in the ways that lists name, one at a time, and wants the tests of
// the package to notice each.
//
//	go run ./test/mutants [-run REGEXP] [PACKAGE DIRECTORY...]
//
// A list is the file testdata/mutations.txt of a package; without arguments every list in the module is worked through.
// Nothing in the module is changed: the compiler is given the broken file in place of the real one.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// listName is where a package keeps its mutations.
const listName = "testdata/mutations.txt"

// testLimit ends a mutant that never comes to an end, which kills it.
const testLimit = "60s"

func main() {
	pattern := flag.String("run", ".", "`REGEXP` of what a mutation breaks")
	flag.Parse()
	if err := run(*pattern, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run works through the lists of dirs.
func run(pattern string, dirs []string) error {
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		if dirs, err = findLists("."); err != nil {
			return err
		}
	}
	began, total := time.Now(), 0
	var bad []string
	for _, dir := range dirs {
		mutations, err := readList(dir)
		if err != nil {
			return err
		}
		if err := applicable(dir, mutations); err != nil {
			return err
		}
		if output, err := testPackage(dir, ""); err != nil {
			return fmt.Errorf("the tests of %s fail before anything is broken:\n%s", dir, output)
		}
		for _, m := range mutations {
			if !chosen.MatchString(m.breaks) {
				continue
			}
			total++
			v, err := try(dir, m)
			if err != nil {
				return err
			}
			fmt.Printf("%-8s  %s/%s: %s%s\n", v.outcome, filepath.ToSlash(dir), m.file, m.breaks, v.note)
			if v.outcome != killed {
				bad = append(bad, m.breaks)
			}
		}
	}
	fmt.Printf("%d mutations, %d killed, in %s\n", total, total-len(bad), time.Since(began).Round(time.Second))
	if len(bad) > 0 {
		return fmt.Errorf("not killed: %s", strings.Join(bad, "; "))
	}
	return nil
}

// findLists returns the packages below root that have a list.
func findLists(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case strings.HasSuffix(filepath.ToSlash(path), "/"+listName):
			dirs = append(dirs, filepath.Dir(filepath.Dir(path)))
		}
		return nil
	})
	return dirs, err
}

// outcomes of a mutation
const (
	killed   = "killed"
	survived = "SURVIVED"
	broken   = "BROKEN" // it does not compile, so it shows nothing
)

// verdict is what became of a mutation.
type verdict struct {
	outcome string
	note    string
}

// try tests dir with m in force.
func try(dir string, m mutation) (verdict, error) {
	scratch, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return verdict{}, err
	}
	defer os.RemoveAll(scratch)
	overlay, err := writeOverlay(scratch, dir, m)
	if err != nil {
		return verdict{}, err
	}
	output, err := testPackage(dir, overlay)
	var failed *exec.ExitError
	switch {
	case err == nil:
		return verdict{outcome: survived}, nil
	case !errors.As(err, &failed):
		return verdict{}, err
	case strings.Contains(output, "[build failed]"):
		return verdict{broken, "\n" + output}, nil
	}
	return verdict{killed, " (" + firstFailure(output) + ")"}, nil
}

// applicable returns an error that tells of every mutation that does not fit its file any more.
func applicable(dir string, mutations []mutation) error {
	var stale []error
	for _, m := range mutations {
		text, err := os.ReadFile(filepath.Join(dir, m.file))
		if err == nil {
			_, err = m.apply(string(text))
		}
		stale = append(stale, err)
	}
	return errors.Join(stale...)
}

// writeOverlay breaks the file in scratch, and returns the name of the file that tells the compiler so.
func writeOverlay(scratch, dir string, m mutation) (string, error) {
	original, err := filepath.Abs(filepath.Join(dir, m.file))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(original)
	if err != nil {
		return "", fmt.Errorf("%s: %w", m.at, err)
	}
	changed, err := m.apply(string(text))
	if err != nil {
		return "", err
	}
	mutant, overlay := filepath.Join(scratch, m.file), filepath.Join(scratch, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(mutant, []byte(changed), 0o600), os.WriteFile(overlay, replace, 0o600))
}

// testPackage runs the tests of dir, with overlay unless that is empty. The error is an *exec.ExitError when they fail.
func testPackage(dir, overlay string) (string, error) {
	args := []string{"test", "-count=1", "-failfast", "-vet=off", "-timeout", testLimit}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	output, err := exec.Command("go", append(args, "./"+filepath.ToSlash(filepath.Clean(dir)))...).CombinedOutput()
	return string(output), err
}

// firstFailure names the test that noticed.
func firstFailure(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			return strings.Fields(rest)[0]
		}
		if strings.HasPrefix(line, "panic: ") {
			return strings.TrimSpace(line)
		}
	}
	return "without the name of a test"
}
