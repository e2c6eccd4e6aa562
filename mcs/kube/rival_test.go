package kube

import "testing"

func TestRivalOf(t *testing.T) {
	const head = "kind: ServiceExport\napiVersion: networking.fleet.azure.com/v1alpha1\nmetadata:\n  name: web\n"
	status := func(manager, at string) string {
		return "  - {manager: " + manager + ", operation: Update, subresource: status, time: " + at + "}\n"
	}
	const fields = "  managedFields:\n"
	for name, tt := range map[string]struct{ metadata, want string }{
		"nobody":                  {"", ""},
		"ours alone":              {fields + status(StatusManager, "2026-01-01T00:00:00Z"), ""},
		"theirs alone":            {fields + status("net-controller", "2026-01-01T00:00:00Z"), `the status by "net-controller"`},
		"theirs after ours":       {fields + status(StatusManager, "2026-01-01T00:00:00Z") + status("net-controller", "2026-01-01T00:00:05Z"), `the status by "net-controller"`},
		"theirs at the same time": {fields + status("net-controller", "2026-01-01T00:00:00Z") + status(StatusManager, "2026-01-01T00:00:00Z"), `the status by "net-controller"`},
		"theirs before ours":      {fields + status("net-controller", "2026-01-01T00:00:00Z") + status(StatusManager, "2026-01-01T00:00:05Z"), ""},
		"a person":                {fields + status("kubectl-edit", "2026-01-01T00:00:00Z"), ""},
		"not the status":          {fields + "  - {manager: helm, operation: Update, time: 2026-01-01T00:00:00Z}\n", ""},
		"finalizer of Azure":      {"  finalizers: [networking.fleet.azure.com/svc-export-cleanup]\n", `finalizer "networking.fleet.azure.com/svc-export-cleanup"`},
		"finalizer of another":    {"  finalizers: [example.org/mine]\n", ""},
	} {
		if got := rivalOf(object(t, head+tt.metadata)); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
