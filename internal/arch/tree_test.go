package arch

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gitfleet/gitfleet"

// A tree is the source of one repository.
type tree struct {
	top   []string   // names at the top level, without what .gitignore names there
	files []textFile // every regular file
	code  []goFile   // the Go files of this module
	fset  *token.FileSet
}

type textFile struct {
	path string
	text string
}

// A goFile is one parsed Go file.
type goFile struct {
	path    string // slash-separated, relative to the repository's root
	dir     string // its folder; "." at the root
	test    bool   // a test file, or a file of a package that exists for tests only
	ast     *ast.File
	imports []goImport
}

type goImport struct {
	path string
	line int
}

// A violation is one broken rule. It prints as "rule: file:line: message".
type violation struct {
	rule    string
	path    string
	line    int // 0 when the file or folder as a whole is wrong
	message string
}

func (v violation) String() string {
	if v.line == 0 {
		return fmt.Sprintf("%s: %s: %s", v.rule, v.path, v.message)
	}
	return fmt.Sprintf("%s: %s:%d: %s", v.rule, v.path, v.line, v.message)
}

func compareViolations(a, b violation) int {
	return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line),
		cmp.Compare(a.rule, b.rule), cmp.Compare(a.message, b.message))
}

// load reads the whole tree. Folders with a go.mod of their own are other modules: their text is kept, their code is not.
func load(t *testing.T, fsys fs.FS) tree {
	t.Helper()
	tr := tree{fset: token.NewFileSet()}
	ignored := ignoredNames(t, fsys)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case path.Dir(name) == "." && (name == ".git" || ignored[name]):
			return skip(d)
		case path.Dir(name) == ".":
			tr.top = append(tr.top, name)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file that another test removed since the folder was read
		}
		tr.files = append(tr.files, textFile{name, string(text)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tr.parse(t)
	return tr
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// ignoredNames returns the top-level names in .gitignore, which it writes as "/name" or "/name/".
func ignoredNames(t *testing.T, fsys fs.FS) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	text, err := fs.ReadFile(fsys, ".gitignore")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "/"); ok {
			names[strings.TrimSuffix(name, "/")] = true
		}
	}
	return names
}

func (tr *tree) parse(t *testing.T) {
	t.Helper()
	var others []string // folders of other modules
	for _, f := range tr.files {
		if path.Base(f.path) == "go.mod" && f.path != "go.mod" {
			others = append(others, path.Dir(f.path))
		}
	}
	for _, f := range tr.files {
		if path.Ext(f.path) != ".go" || isTestdata(f.path) || within(f.path, others...) {
			continue
		}
		syntax, err := parser.ParseFile(tr.fset, f.path, f.text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		g := goFile{path: f.path, dir: path.Dir(f.path), ast: syntax}
		g.test = strings.HasSuffix(f.path, "_test.go") || forTests(g.dir)
		for _, spec := range syntax.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			g.imports = append(g.imports, goImport{p, tr.line(spec)})
		}
		tr.code = append(tr.code, g)
	}
}

// product returns the files that become part of the program.
func (tr tree) product() []goFile {
	return slices.DeleteFunc(slices.Clone(tr.code), func(f goFile) bool { return f.test })
}

func (tr tree) line(n ast.Node) int { return tr.fset.Position(n.Pos()).Line }

// forTests tells whether the packages in dir exist for tests only.
func forTests(dir string) bool {
	return within(dir, "test", "internal/arch", "internal/memfleet") || strings.HasSuffix(path.Base(dir), "test")
}

func isTestdata(name string) bool {
	return slices.Contains(strings.Split(name, "/"), "testdata")
}

// within tells whether name is one of the folders or lies in one.
func within(name string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return name == f || strings.HasPrefix(name, f+"/") })
}
