package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// side returns objects "a=1 b=2": ConfigMaps of these names with these values.
func side(file, text string) []Object {
	var out []Object
	for _, pair := range strings.Fields(text) {
		name, value, _ := strings.Cut(pair, "=")
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"k": value}}}
		u.SetName(name)
		out = append(out, Object{Unstructured: u, Origin: Origin{File: file, Document: 1}})
	}
	return out
}

func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name               string
		base, ours, theirs string
		want               string
		conflict           string // how the mistake begins; none when empty
	}{
		{"nothing happened", "a=1", "a=1", "a=1", "a=1", ""},
		{"they changed it", "a=1", "a=1", "a=2", "a=2", ""},
		{"we changed it", "a=1", "a=2", "a=1", "a=2", ""},
		{"both changed it alike", "a=1", "a=2", "a=2", "a=2", ""},
		{"both changed it otherwise", "a=1", "a=2", "a=3", "", "theirs: document 1: ConfigMap a was changed here and on the branch"},
		{"they added it", "", "", "a=1", "a=1", ""},
		{"we added it", "", "a=1", "", "a=1", ""},
		{"both added it alike", "", "a=1", "a=1", "a=1", ""},
		{"both added it otherwise", "", "a=1", "a=2", "", "theirs: document 1: ConfigMap a was changed here and on the branch"},
		{"they removed it", "a=1 b=1", "a=1 b=1", "b=1", "b=1", ""},
		{"we removed it", "a=1 b=1", "b=1", "a=1 b=1", "b=1", ""},
		{"both removed it", "a=1", "", "", "", ""},
		{"they removed what we changed", "a=1", "a=2", "", "", "ours: document 1: ConfigMap a is removed here, and was changed on the branch"},
		{"they changed what we removed", "a=1", "", "a=2", "", "theirs: document 1: ConfigMap a was removed from the branch"},
		{"they define it twice", "a=1", "a=1", "a=1 a=2", "a=1 a=2", ""},
		{"each did something else", "a=1 b=1 c=1", "a=2 b=1 c=1 d=1", "a=1 b=2 e=1", "a=2 b=2 d=1 e=1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			merged, errs := Merge(side("base", tc.base), side("ours", tc.ours), side("theirs", tc.theirs))
			if got := errs.Error(); !strings.HasPrefix(got, tc.conflict) || (got == "") != (tc.conflict == "") {
				t.Errorf("mistakes are %q, want %q", got, tc.conflict)
			}
			var got []string
			for _, o := range merged {
				value, _, _ := unstructured.NestedString(o.Object, "data", "k")
				got = append(got, fmt.Sprintf("%s=%s", o.GetName(), value))
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); tc.conflict == "" && diff != "" {
				t.Errorf("merged (-want +got):\n%s", diff)
			}
		})
	}
}
