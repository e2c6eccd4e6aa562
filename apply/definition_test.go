package apply

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestDefines(t *testing.T) {
	rows := []struct {
		name, crd string
		want      []string
	}{
		{"only what is served, in its order", `{kind: CustomResourceDefinition, spec: {group: example.com, names: {kind: Widget}, versions: [{name: v2, served: true}, {name: v1, served: false}, {name: v1beta1, served: true}]}}`,
			[]string{"example.com/v2, Kind=Widget", "example.com/v1beta1, Kind=Widget"}},
		{"nonsense beside a version", `{kind: CustomResourceDefinition, spec: {group: example.com, names: {kind: Widget}, versions: [7, {name: v1, served: true}]}}`, []string{"example.com/v1, Kind=Widget"}},
		{"nonsense for versions", `{kind: CustomResourceDefinition, spec: {group: example.com, versions: many}}`, nil},
		{"none", `{kind: CustomResourceDefinition, spec: {group: example.com}}`, nil},
	}
	for _, row := range rows {
		var got []string
		for _, gvk := range Defines(object(t, row.crd)) {
			got = append(got, gvk.String())
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: defines %q, want %q", row.name, got, row.want)
		}
	}
	for text, want := range map[string]bool{"CustomResourceDefinition.apiextensions.k8s.io": true, "CustomResourceDefinition.example.com": false, "Widget.apiextensions.k8s.io": false} {
		if got := IsDefinition(schema.ParseGroupKind(text)); got != want {
			t.Errorf("%s is a definition: %t, want %t", text, got, want)
		}
	}
}
