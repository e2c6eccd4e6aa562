package reconcile

import (
	"fmt"
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
		account := accountOf(p.Origin.File, confinements)
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
			if bound := accountOf(o.Origin.File, confinements); bound != "" && bound != p.Directives.ServiceAccount {
				errs = append(errs, render.ManifestError{File: o.Origin.File, Document: o.Origin.Document,
					Message: fmt.Sprintf("%s is selected by placement %s (%s), which does not act as service account %s, as all that is written here must: "+
						"select it from a placement below the same directory, and not from others", api.RefOf(o.Unstructured), p.Name, p.Origin, bound)})
			}
		}
	}
	return render.MergeErrors(errs)
}
