package reconcile

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// Confinement has all that is written below a directory of the repository applied as one service account: whoever may write
// there, and nowhere else, cannot exceed the rights of that account.
type Confinement struct {
	Dir     string // slash-separated, from the root of the repository; "." for all of it
	Account string // "namespace/name"
}

// holds tells whether a file is below the directory.
func (c Confinement) holds(file string) bool {
	return c.Dir == "." || strings.HasPrefix(file, c.Dir+"/")
}

// checkDirs refuses a confinement of what is not in the tree: a mistyped directory would confine nobody.
func checkDirs(tree fs.FS, confinements []Confinement) error {
	for _, c := range confinements {
		if info, err := fs.Stat(tree, c.Dir); err != nil || !info.IsDir() {
			return fmt.Errorf("--service-account %s=%s: there is no such directory in this revision, so nobody would be confined: correct the flag", c.Dir, c.Account)
		}
	}
	return nil
}

// Confine does with d, which was rendered from tree, what the loop does with every revision: it gives the placements the accounts that
// confinements ask for. Mistakes of authors are render.ManifestErrors.
func Confine(tree fs.FS, d *render.Desired, confinements []Confinement) error {
	if err := checkDirs(tree, confinements); err != nil {
		return err
	}
	if errs := confine(d, confinements); len(errs) > 0 {
		return errs
	}
	return nil
}

// boundTo returns the accounts that what came from o is confined to, at most two: that of the file it is written in, and that
// of the kustomization that built it, whose author may have changed all of it.
func boundTo(o render.Origin, confinements []Confinement) []string {
	var accounts []string
	for _, file := range []string{o.Root + "/", o.File} {
		if account := accountOf(file, confinements); account != "" && !slices.Contains(accounts, account) {
			accounts = append(accounts, account)
		}
	}
	return accounts
}

// accountOf returns the account that what is written in a file acts as; of several directories the innermost counts. It is
// empty where nobody decided.
func accountOf(file string, confinements []Confinement) string {
	inner := Confinement{}
	for _, c := range confinements {
		if c.holds(file) && (inner.Account == "" || len(c.Dir) > len(inner.Dir)) {
			inner = c
		}
	}
	return inner.Account
}

// confine gives the placements of d the accounts that confinements ask for. A placement that names another account is its
// author's mistake, and so is an object that a placement with other rights would bring: else whoever may write it could have
// it applied with those.
func confine(d *render.Desired, confinements []Confinement) render.ManifestErrors {
	var errs render.ManifestErrors
	for i := range d.Placements {
		p := &d.Placements[i]
		account := ""
		if bound := boundTo(p.Origin, confinements); len(bound) > 0 {
			account = bound[0]
		}
		switch named := p.Directives.ServiceAccount; {
		case account == "":
		case named != "" && named != account:
			errs = append(errs, render.ManifestError{File: p.Origin.File, Document: p.Origin.Document,
				Field: fmt.Sprintf("metadata.annotations[%s]", api.AnnotationServiceAccount),
				Message: fmt.Sprintf("placements here act as service account %s, which whoever runs gitfleet decides, not as %s: remove the annotation",
					account, named)})
		default:
			p.Directives.ServiceAccount = account
		}
		for _, o := range p.Selected {
			for _, bound := range boundTo(o.Origin, confinements) {
				if bound == p.Directives.ServiceAccount {
					continue
				}
				errs = append(errs, render.ManifestError{File: o.Origin.File, Document: o.Origin.Document,
					Message: fmt.Sprintf("%s is selected by placement %s (%s), which does not act as service account %s, as all must that is written or built below that directory: "+
						"select it from a placement below the same directory, and not from others", api.RefOf(o.Unstructured), p.Key(), p.Origin, bound)})
			}
		}
	}
	return render.MergeErrors(errs)
}
