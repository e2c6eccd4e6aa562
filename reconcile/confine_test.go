package reconcile

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gitfleet/gitfleet/render"
)

func TestConfine(t *testing.T) {
	confinements := []Confinement{{"teams", "teams/all"}, {"teams/web", "web/deployer"}, {"team", "x/x"}}
	for _, test := range []struct{ reason, file, named, want string }{
		{"outside every directory nothing is decided", "base/p.yaml", "", ""},
		{"and an account may be chosen", "base/p.yaml", "a/b", "a/b"},
		{"below a directory its account counts", "teams/shop/p.yaml", "", "teams/all"},
		{"the innermost of two", "teams/web/p.yaml", "", "web/deployer"},
		{"a directory is no prefix of a name", "teams.yaml", "", ""},
		{"saying the same is no mistake", "teams/web/deep/p.yaml", "web/deployer", "web/deployer"},
	} {
		p := placementOf("p")
		p.Origin.File, p.Directives.ServiceAccount = test.file, test.named
		d := &render.Desired{Placements: []render.Placement{p}}
		if errs := confine(d, confinements); len(errs) > 0 || d.Placements[0].Directives.ServiceAccount != test.want {
			t.Errorf("%s: acts as %q, want %q (%v)", test.reason, d.Placements[0].Directives.ServiceAccount, test.want, errs)
		}
	}
	p := placementOf("p")
	p.Origin.File, p.Directives.ServiceAccount = "teams/web/p.yaml", "kube-system/admin"
	errs := confine(&render.Desired{Placements: []render.Placement{p}}, confinements)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "web/deployer") || !strings.Contains(errs[0].Error(), "teams/web/p.yaml: document 2: metadata.annotations[") {
		t.Errorf("a placement that names another account gives %v; want one error with file, document, field and the account", errs)
	}
	all := []Confinement{{".", "a/b"}}
	d := &render.Desired{Placements: []render.Placement{placementOf("p")}}
	if errs := confine(d, all); len(errs) > 0 || d.Placements[0].Directives.ServiceAccount != "a/b" {
		t.Errorf("a confinement of the whole repository: %q, %v", d.Placements[0].Directives.ServiceAccount, errs)
	}

	p = placementOf("infra", "x")
	p.Selected[0].Origin.File = "teams/web/x.yaml"
	errs = confine(&render.Desired{Placements: []render.Placement{p}}, confinements)
	if len(errs) != 1 || errs[0].File != "teams/web/x.yaml" || !strings.Contains(errs[0].Message, "web/deployer") || !strings.Contains(errs[0].Message, "infra") {
		t.Errorf("a placement with more rights that selects a confined object gives %v; want one error at the object", errs)
	}

	p = placementOf("stolen", "x")
	p.Origin.Root, p.Selected[0].Origin.Root = "teams/web", "teams/web"
	p.Origin.File, p.Selected[0].Origin.File = "platform/p.yaml", "platform/x.yaml"
	d = &render.Desired{Placements: []render.Placement{p}}
	if errs := confine(d, confinements); len(errs) > 0 || d.Placements[0].Directives.ServiceAccount != "web/deployer" {
		t.Errorf("a team's kustomization that builds the platform's files acts as %q, want web/deployer (%v)", d.Placements[0].Directives.ServiceAccount, errs)
	}
}

func TestConfinementOfNothing(t *testing.T) {
	tree := fstest.MapFS{"teams/web/p.yaml": {}}
	if err := checkDirs(tree, []Confinement{{"teams/web", "a/b"}, {".", "a/b"}}); err != nil {
		t.Errorf("directories that are there: %v", err)
	}
	for _, dir := range []string{"team/web", "teams/web/p.yaml"} {
		if err := checkDirs(tree, []Confinement{{dir, "a/b"}}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s is no directory: %v", dir, err)
		}
	}
}
