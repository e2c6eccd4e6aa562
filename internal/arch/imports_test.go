package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// technologies names who may import what comes from outside. Everything that is not listed may be imported anywhere.
var technologies = []struct {
	prefixes []string
	except   map[string][]string // import paths that these folders may use although they are not in allowed
	allowed  []string            // patterns of path.Match, and everything below what they match
	reason   string
}{
	{
		prefixes: []string{"github.com/go-git/"},
		allowed:  []string{"source/gitrepo"},
		reason:   "the rest of the program knows revisions and file systems, not Git",
	},
	{
		prefixes: []string{"sigs.k8s.io/kustomize/"},
		allowed:  []string{"render/kustomize"},
		reason:   "kustomize keeps global state and runs only in the child process",
	},
	{
		prefixes: []string{"k8s.io/client-go/", "k8s.io/apiextensions-apiserver/pkg/client/", "k8s.io/apiextensions-apiserver/pkg/cmd/"},
		except:   map[string][]string{"k8s.io/client-go/kubernetes/scheme": {"render"}}, // the built-in kinds, for strict decoding
		allowed:  []string{"*/kube", "fleet", "hub"},
		reason:   "clients live at the edge, where observing and executing happen",
	},
	{
		prefixes: []string{"github.com/google/cel-go/"},
		allowed:  []string{"api/health"},
		reason:   "expressions are compiled and judged in one place",
	},
	{
		prefixes: []string{"github.com/fsnotify/"},
		allowed:  []string{"source/dir", "fleet"},
		reason:   "files are watched where they are a source (the directory source) or a secret that is rotated (the members' credentials)",
	},
	{
		prefixes: []string{"github.com/Azure/"},
		allowed:  []string{"mcs/azure"},
		reason:   "only the azure provider speaks to Azure",
	},
	{
		prefixes: []string{"github.com/google/go-github/", "github.com/bradleyfalzon/ghinstallation/"},
		allowed:  []string{"report/github"},
		reason:   "a forge's SDK stays in the folder that names the forge",
	},
	{
		prefixes: []string{"gitlab.com/gitlab-org/"},
		allowed:  []string{"report/gitlab"},
		reason:   "a forge's SDK stays in the folder that names the forge",
	},
	{
		prefixes: []string{"code.gitea.io/"},
		allowed:  []string{"report/gitea"},
		reason:   "a forge's SDK stays in the folder that names the forge",
	},
	{
		prefixes: []string{"github.com/spf13/"},
		allowed:  []string{"cmd/gitfleet"},
		reason:   "flags are parsed once and become options",
	},
	{
		prefixes: []string{"github.com/prometheus/"},
		allowed:  []string{"internal/web", "mcs/local"},
		reason:   "metrics are derived from the report where they are served; only the proxy has figures that no report tells",
	},
	{
		prefixes: []string{"log", "log/slog", "k8s.io/klog/"},
		except:   map[string][]string{"k8s.io/klog/v2": {"fleet"}}, // it silences client-go, which logs through it
		allowed:  []string{"reconcile", "cmd/gitfleet", "internal/web"},
		reason:   "stages return errors; the loop and main log them once",
	},
	{
		prefixes: []string{"k8s.io/kubernetes/", "sigs.k8s.io/controller-runtime/"},
		reason:   "the first is no library; the second brings a manager of its own",
	},
}

// order lists the stages along the data: each may import those before it.
var order = []string{"api", "source", "render", "fleet", "placement", "apply", "mcs", "report", "hub", "internal/web", "reconcile", "cmd"}

// leaves are the folders that speak to something outside; only cmd puts them together.
var leaves = []string{
	"source/*", "render/kustomize", "*/kube", "mcs/service", "mcs/azure", "mcs/local",
	"report/github", "report/gitlab", "report/gitea", "report/gitnotes",
}

// checkTechnology wants every technology in the folder that names it.
func checkTechnology(tr tree) []violation {
	var found []violation
	for _, f := range tr.product() {
		for _, imp := range f.imports {
			for _, tech := range technologies {
				if !hasImportPrefix(imp.path, tech.prefixes) || matches(f.dir, tech.allowed) || within(f.dir, tech.except[imp.path]...) {
					continue
				}
				found = append(found, violation{"technology", f.path, imp.line,
					fmt.Sprintf("imports %s, allowed in %s: %s", imp.path, orNowhere(tech.allowed), tech.reason)})
			}
		}
	}
	return found
}

// checkDirection wants imports to point upstream along the data.
func checkDirection(tr tree) []violation {
	var found []violation
	for _, f := range tr.product() {
		from := stage(f.dir)
		for _, imp := range f.imports {
			dir, ours := strings.CutPrefix(imp.path, module+"/")
			if to := stage(dir); ours && to > from {
				found = append(found, violation{"direction", f.path, imp.line,
					fmt.Sprintf("imports %s, which lies downstream: stages are ordered %s", dir, strings.Join(order, ", "))})
			}
		}
	}
	return found
}

// checkLeaves wants a leaf to be imported by cmd only, and a package for tests by no product code.
func checkLeaves(tr tree) []violation {
	var found []violation
	for _, f := range tr.product() {
		for _, imp := range f.imports {
			dir, ours := strings.CutPrefix(imp.path, module+"/")
			switch {
			case !ours:
			case forTests(dir):
				found = append(found, violation{"leaves", f.path, imp.line,
					fmt.Sprintf("imports %s, which exists for tests only", dir)})
			case matches(dir, leaves) && !within(f.dir, "cmd", dir):
				found = append(found, violation{"leaves", f.path, imp.line,
					fmt.Sprintf("imports %s: a leaf is wired in by cmd, through an interface of the stage that uses it", dir)})
			}
		}
	}
	return found
}

// stage returns the position of a folder in order, or -1 for folders outside the stages.
func stage(dir string) int {
	return slices.IndexFunc(order, func(s string) bool { return within(dir, s) })
}

// matches tells whether dir, or a folder it lies in, matches a pattern.
func matches(dir string, patterns []string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		for _, p := range patterns {
			if ok, err := path.Match(p, dir); err == nil && ok {
				return true
			}
		}
	}
	return false
}

// hasImportPrefix tells whether p is one of the prefixes, or starts with one that ends in a slash.
func hasImportPrefix(p string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return p == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(p, prefix)
	})
}

func orNowhere(folders []string) string {
	if len(folders) == 0 {
		return "no folder"
	}
	return strings.Join(folders, ", ")
}
