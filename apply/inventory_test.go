package apply

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/api"
)

var sample = Parent{Name: "web", ResourceVersion: "7", Source: "https://git.example.com/fleet.git main", Revision: "aaa", PolicyDigest: "p", Items: []Item{
	{Ref: api.Ref{Kind: "ConfigMap", Namespace: "gitfleet-system", Name: "x"}, Version: "v1"},
	{Ref: api.Ref{Kind: "Namespace", Name: "two"}, Version: "v1", UID: "u1", EntryHash: "h1"},
	{Ref: api.Ref{Group: "apps", Kind: "Deployment", Namespace: "one", Name: "web"}, Version: "v1", UID: "u2", EntryHash: "h2"},
	{Ref: api.Ref{Group: "apps", Kind: "Deployment", Namespace: "two", Name: "web"}, Version: "v1", UID: "u3", EntryHash: "h3"},
}}

func TestParentIsAnApplySet(t *testing.T) {
	cm, err := EncodeParent(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := metav1.ObjectMeta{
		Namespace: "gitfleet-system", Name: "applyset-web", ResourceVersion: "7",
		// printf applyset-web.gitfleet-system.ConfigMap. | openssl dgst -sha256 -binary | base64, URL-safe, unpadded
		Labels: map[string]string{"applyset.kubernetes.io/id": "applyset-BJwfPcrVFzTPGqpNs0XouQyZD6xQ7aDXqESBhKPNa0I-v1"},
		Annotations: map[string]string{
			"applyset.kubernetes.io/tooling":               "gitfleet/v1",
			"applyset.kubernetes.io/contains-group-kinds":  "ConfigMap,Deployment.apps,Namespace",
			"applyset.kubernetes.io/additional-namespaces": "one,two",
			"gitfleet.dev/source":                          "https://git.example.com/fleet.git main",
			"gitfleet.dev/revision":                        "aaa",
			"gitfleet.dev/policy-digest":                   "p",
		},
	}
	if diff := cmp.Diff(want, cm.ObjectMeta); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	got, err := DecodeParent(cm)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestParentNamesAreNames(t *testing.T) {
	seen := map[string]string{}
	for _, set := range []string{"web", "Web", "web.eu", "services/derived", strings.Repeat("x", 253), "", "-"} {
		name := ParentName(set)
		if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 {
			t.Errorf("set %q: parent %q is no name: %v", set, name, errs)
		}
		if errs := validation.IsValidLabelValue(SetID(set)); len(errs) > 0 {
			t.Errorf("set %q: id %q is no label value: %v", set, SetID(set), errs)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("sets %q and %q have the same parent", set, other)
		}
		seen[name] = set
	}
}

// TestParentsAreTold: what else gitfleet keeps in its namespace is no inventory.
func TestParentsAreTold(t *testing.T) {
	for name, want := range map[string]bool{ParentName("web"): true, ParentName("Web_"): true, "kube-root-ca.crt": false, "web": false, "my-applyset-web": false} {
		if got := IsParentName(name); got != want {
			t.Errorf("%s is a parent: %t, want %t", name, got, want)
		}
	}
}

// TestAccountIsRecorded: what acts as an account must be deleted as that account, also when its placement is gone.
func TestAccountIsRecorded(t *testing.T) {
	p := sample
	p.Account = "team-a/deployer"
	cm, err := EncodeParent(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeParent(cm); err != nil || got.Account != p.Account || !got.Equal(p) || got.Equal(sample) {
		t.Errorf("read back: %v, account %q; equal to what was written %t, to one without account %t", err, got.Account, got.Equal(p), got.Equal(sample))
	}
}

func TestInventoryThatDoesNotFitIsRefused(t *testing.T) {
	var p Parent
	p.Name = "big"
	for i := range 10000 {
		p.Items = append(p.Items, Item{Ref: api.Ref{Kind: "ConfigMap", Namespace: "one", Name: fmt.Sprintf("c-%05d", i)}, Version: "v1",
			UID: types.UID("00000000-0000-0000-0000-000000000000"), EntryHash: "0123456789abcdef"})
	}
	_, err := EncodeParent(p)
	if !errors.Is(err, ErrInventoryTooLarge) || !strings.Contains(err.Error(), "10000 objects") {
		t.Errorf("10000 objects: %v, want ErrInventoryTooLarge with the number", err)
	}
	p.Items = p.Items[:5000]
	if _, err := EncodeParent(p); err != nil {
		t.Errorf("5000 objects: %v", err)
	}
}

func TestDamageShows(t *testing.T) {
	good := func() *corev1.ConfigMap {
		cm, err := EncodeParent(sample)
		if err != nil {
			t.Fatal(err)
		}
		return cm
	}
	rows := []struct {
		name, want string
		damage     func(*corev1.ConfigMap)
	}{
		{"no data", "names the set", func(cm *corev1.ConfigMap) { cm.Data = nil }},
		{"another set's data", "would be called", func(cm *corev1.ConfigMap) { cm.Data["set"] = "shop" }},
		{"another tool", "this program writes", func(cm *corev1.ConfigMap) { cm.Annotations[api.ApplySetToolingAnno] = "kubectl/v1.30" }},
		{"cut", "unexpected EOF", func(cm *corev1.ConfigMap) { cm.Data["items"] = cm.Data["items"][:40] }},
		{"emptied", "data.items", func(cm *corev1.ConfigMap) { cm.Data["items"] = "" }},
		{"a newer field", "unknown field", func(cm *corev1.ConfigMap) { cm.Data["items"] = `[{"kind":"A","name":"a","version":"v1","new":1}]` }},
		{"nameless item", "no kind, name or version", func(cm *corev1.ConfigMap) { cm.Data["items"] = `[{"kind":"A","version":"v1"}]` }},
		{"doubled item", "out of order", func(cm *corev1.ConfigMap) {
			cm.Data["items"] = `[{"kind":"A","name":"a","version":"v1"},{"kind":"A","name":"a","version":"v2"}]`
		}},
		{"appended", "follows the list", func(cm *corev1.ConfigMap) { cm.Data["items"] += "]" }},
	}
	for _, row := range rows {
		cm := good()
		row.damage(cm)
		if _, err := DecodeParent(cm); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
}

// FuzzDecodeParent: whatever is accepted must be what would be written.
func FuzzDecodeParent(f *testing.F) {
	cm, err := EncodeParent(sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("web", cm.Data["items"])
	f.Add("web", "[]")
	f.Add("", `[{"kind":"A","name":"a","version":"v1","uid":"\u0000"}]`)
	f.Fuzz(func(t *testing.T, set, items string) {
		cm := &corev1.ConfigMap{Data: map[string]string{"set": set, "items": items}}
		cm.Name = ParentName(set)
		cm.Annotations = map[string]string{api.ApplySetToolingAnno: tooling}
		p, err := DecodeParent(cm)
		if err != nil {
			return
		}
		again, err := EncodeParent(p)
		if errors.Is(err, ErrInventoryTooLarge) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		q, err := DecodeParent(again)
		if err != nil || !p.Equal(q) {
			t.Errorf("%q of set %q: read %+v, written and read again %+v, %v", items, set, p, q, err)
		}
	})
}

func TestDiffLeavesAnotherSourcesInventoryAlone(t *testing.T) {
	live := Live{Complete: true, ParentsSynced: true, Parents: map[string]Parent{"web": sample}}
	set := Set{Name: "web", Source: "https://git.example.com/other.git main", Revision: "bbb"}
	plan := Diff("c", []Set{set}, live, time.Time{})
	var foreign *ForeignError
	if len(plan.Sets) != 1 || !errors.As(plan.Sets[0].Err, &foreign) || len(plan.Sets[0].Prune) > 0 {
		t.Errorf("a Set of the same name from another source: plan is\n%swant only an error naming the owner", plan)
	}
	set.TakeOver = true
	plan = Diff("c", []Set{set}, live, time.Time{})
	if len(plan.Sets) != 1 || plan.Sets[0].Err != nil || len(plan.Sets[0].Prune) != len(sample.Items) {
		t.Errorf("the same when it is taken over: plan is\n%swant all %d objects pruned", plan, len(sample.Items))
	}
}
