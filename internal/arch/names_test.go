package arch

import (
	"bufio"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// topLevel lists what may stand at the top of the repository, and why it is there.
var topLevel = map[string]string{
	"cmd":       "main and its subcommands",
	"api":       "API types",
	"source":    "stage: revisions and snapshots",
	"render":    "stage: what the authors wish",
	"fleet":     "stage: members and sessions",
	"placement": "stage: which clusters, and why",
	"apply":     "stage: one cluster's plan",
	"mcs":       "stage: multi-cluster services",
	"report":    "stage: what is told",
	"hub":       "the optional hub cluster",
	"reconcile": "the loop over the stages",
	"internal":  "what no other module may import",
	"test":      "local fleets, demo, benchmarks",
	"examples":  "repositories to push",
	"docs":      "decisions and reference",

	".ci":            "what a change must pass",
	".dockerignore":  "what the image build does not need",
	".gitattributes": "line endings",
	".gitignore":     "what build leaves behind",
	"CHANGELOG.md":   "what changed for users",
	"Dockerfile":     "the image",
	"LICENSE":        "Apache-2.0",
	"Makefile":       "the commands",
	"README.md":      "the first page",
	"go.mod":         "the module",
	"go.sum":         "the module",
}

// drawers are package names that say nothing about what is inside, so everything ends up there.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "type", "types", "manager", "managers", "misc", "shared"}

// exampleWords belong to the examples. A product that knows them would work for the tutorial only.
var exampleWords = regexp.MustCompile(`(?i)kuard|\b8080\b`)

// checkTop wants no top-level name without a reason.
func checkTop(tr tree) []violation {
	var found []violation
	for _, name := range tr.top {
		if _, ok := topLevel[name]; !ok {
			found = append(found, violation{"top", name, 0, "is not on the list of top-level names: put it below one that is, or give the reason in docs/design.md and add it"})
		}
	}
	return found
}

// checkDrawers wants packages and folders to be named after an idea.
func checkDrawers(tr tree) []violation {
	var found []violation
	for _, f := range tr.code {
		name := strings.TrimSuffix(f.ast.Name.Name, "_test")
		if slices.Contains(drawers, name) {
			found = append(found, violation{"drawers", f.path, tr.line(f.ast.Name), fmt.Sprintf("package %s: name it after what it holds, or put it beside its only caller", name)})
		} else if slices.Contains(drawers, path.Base(f.dir)) {
			found = append(found, violation{"drawers", f.path, 0, fmt.Sprintf("folder %s: name it after what it holds, or put it beside its only caller", path.Base(f.dir))})
		}
	}
	return found
}

// checkWords wants the product not to know the examples.
func checkWords(tr tree) []violation {
	var found []violation
	for _, f := range tr.files {
		if !isProductText(f.path) {
			continue
		}
		lines := bufio.NewScanner(strings.NewReader(f.text))
		lines.Buffer(nil, len(f.text)+1)
		for n := 1; lines.Scan(); n++ {
			if word := exampleWords.FindString(lines.Text()); word != "" {
				found = append(found, violation{"words", f.path, n, fmt.Sprintf("says %q, which belongs to an example", word)})
			}
		}
	}
	return found
}

// isProductText tells whether a file is neither an example, nor a test, nor prose.
func isProductText(name string) bool {
	return !within(name, "examples", "docs", "test", "internal/arch") && !isTestdata(name) &&
		!strings.HasSuffix(name, "_test.go") && path.Ext(name) != ".md" && name != "go.sum"
}
