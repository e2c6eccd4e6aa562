package reconcile

import (
	"fmt"
	"strings"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// Confinement has every placement that is written below a directory of the repository act as one service account: whoever
// may write there, and nowhere else, cannot exceed the rights of that account.
type Confinement struct {
	Dir     string // slash-separated, from the root of the repository; "." for all of it
	Account string // "namespace/name"
}

// holds tells whether a file is below the directory.
func (c Confinement) holds(file string) bool {
	return c.Dir == "." || strings.HasPrefix(file, c.Dir+"/")
}

// confine gives the placements of d the accounts that confinements ask for; of several directories the innermost counts. A
// placement that names another account is its author's mistake.
func confine(d *render.Desired, confinements []Confinement) render.ManifestErrors {
	var errs render.ManifestErrors
	for i := range d.Placements {
		p := &d.Placements[i]
		inner := Confinement{}
		for _, c := range confinements {
			if c.holds(p.Origin.File) && (inner.Account == "" || len(c.Dir) > len(inner.Dir)) {
				inner = c
			}
		}
		switch named := p.Directives.ServiceAccount; {
		case inner.Account == "":
		case named != "" && named != inner.Account:
			errs = append(errs, render.ManifestError{File: p.Origin.File, Document: p.Origin.Document,
				Field: fmt.Sprintf("metadata.annotations[%s]", api.AnnotationServiceAccount),
				Message: fmt.Sprintf("placements below %s act as service account %s, which whoever runs gitfleet decides, not as %s: remove the annotation",
					inner.Dir, inner.Account, named)})
		default:
			p.Directives.ServiceAccount = inner.Account
		}
	}
	return render.MergeErrors(errs)
}
