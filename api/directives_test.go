package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

func TestParseRef(t *testing.T) {
	rows := []struct{ in, want string }{ // want is the path, or the beginning of the error after "error: "
		{"Deployment.apps/web/shop", "Deployment.apps/web/shop"},
		{"deployment/web/shop", "Deployment.apps/web/shop"},
		{"Deployments.apps/web/shop", "Deployment.apps/web/shop"},
		{"deploy/web/shop", "Deployment.apps/web/shop"},
		{"sts.apps/web/db", "StatefulSet.apps/web/db"},
		{"Namespace/web", "Namespace/web"},
		{"ns/web", "Namespace/web"},
		{"ClusterRole.rbac.authorization.k8s.io/system:reader", "ClusterRole.rbac.authorization.k8s.io/system:reader"},
		{"Certificate.cert-manager.io/web/tls", "Certificate.cert-manager.io/web/tls"},
		{"Issuer.cert-manager.io/all", "Issuer.cert-manager.io/all"}, // only the repository could tell whether it has a namespace
		{"Deployment.example.com/web/shop", "Deployment.example.com/web/shop"},
		{"", "error: \"\" names no object; write KIND.GROUP/NAMESPACE/NAME"},
		{"shop", "error: \"shop\" names no object"},
		{"a/b/c/d", "error: \"a/b/c/d\" names no object"},
		{"ConfigMap//a", "error: \"ConfigMap//a\" names no object"},
		{"Deployment/shop", "error: \"Deployment/shop\": a Deployment lives in a namespace; write Deployment.apps/NAMESPACE/shop"},
		{"ns/web/web", "error: \"ns/web/web\": a Namespace lives outside namespaces; write Namespace/web"},
		{"Widget/web/a", "error: \"Widget\" is no kind of the core group; write KIND.GROUP"},
		{"Deploymet/web/a", "error: \"Deploymet\" is no kind of the core group; did you mean Deployment.apps?"},
		{"no kind/web/a", "error: \"no kind\" is not a valid kind"},
		{"Widget.Example/web/a", "error: \"Example\" is not a valid API group"},
		{"ConfigMap/Web/a", "error: \"Web\" is not a valid namespace"},
		{"ConfigMap/web/a%b", "error: \"a%b\" is not a valid name"},
	}
	for _, row := range rows {
		ref, err := ParseRef(row.in)
		got := ref.Path()
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != row.want && (err == nil || !strings.HasPrefix(got, row.want)) {
			t.Errorf("%q: %s, want %s", row.in, got, row.want)
		}
	}
}

func TestParseFieldPath(t *testing.T) {
	name := func(s string) fieldpath.PathElement { return fieldpath.PathElement{FieldName: &s} }
	rows := []struct {
		in   string
		want fieldpath.Path
	}{
		{"spec", fieldpath.Path{name("spec")}},
		{"spec.replicas", fieldpath.MakePathOrDie("spec", "replicas")},
		{`spec["replicas"]`, fieldpath.MakePathOrDie("spec", "replicas")},
		{"spec.template.spec.containers[name=app].resources.limits.cpu",
			fieldpath.MakePathOrDie("spec", "template", "spec", "containers", fieldpath.KeyByFields("name", "app"), "resources", "limits", "cpu")},
		{"spec.ports[protocol=TCP, port=80].nodePort",
			fieldpath.MakePathOrDie("spec", "ports", fieldpath.KeyByFields("port", 80, "protocol", "TCP"), "nodePort")},
		{`spec.things[id="80",on=true].x`, fieldpath.MakePathOrDie("spec", "things", fieldpath.KeyByFields("id", "80", "on", true), "x")},
		{`metadata.labels["app.kubernetes.io/version"]`, fieldpath.MakePathOrDie("metadata", "labels", "app.kubernetes.io/version")},
		{"metadata.labels.app", fieldpath.MakePathOrDie("metadata", "labels", "app")},
		{`metadata.finalizers[="example.com/keep"]`, fieldpath.MakePathOrDie("metadata", "finalizers", strung("example.com/keep"))},
		{`metadata.finalizers[=example.com/keep]`, fieldpath.MakePathOrDie("metadata", "finalizers", strung("example.com/keep"))},
		{`data["a \"b\" ]."]`, fieldpath.MakePathOrDie("data", `a "b" ].`)},
	}
	for _, row := range rows {
		got, err := ParseFieldPath(row.in)
		if err != nil || !got.Equals(row.want) {
			t.Errorf("%s: %v, %v, want %v", row.in, got, err, row.want)
			continue
		}
		if again, err := ParseFieldPath(PrintFieldPath(got)); err != nil || !again.Equals(got) {
			t.Errorf("%s is printed as %s, which is read as %v, %v", row.in, PrintFieldPath(got), again, err)
		}
	}
}

func TestParseFieldPathRefuses(t *testing.T) {
	rows := []struct{ in, want string }{
		{"", "ends where the name of a field is missing"},
		{".spec", "the name of a field is expected before \".spec\""},
		{"spec.", "ends where the name of a field is missing"},
		{"spec replicas", ". or [ is expected before \" replicas\""},
		{"spec.list[0]", "items of a list are not counted"},
		{"spec.list[]", "the key of an item, such as name=app, or a name in double quotes is expected before \"]\""},
		{"spec.list[name", "ends where = and the value of the key is missing"},
		{"spec.list[name=]", "a value is expected before \"]\""},
		{"spec.list[name=a", "ends where ] is missing"},
		{"spec.list[name=a,name=b]", "names key name twice"},
		{"spec.list[name=a,]", "the key of an item"},
		{`spec["a`, `"a is no text in double quotes`},
		{`spec["a\`, `"a\ is no text in double quotes`},
		{`spec[""]`, "is no text in double quotes"},
		{"[name=a].x", "must begin with a field"},
		{"apiVersion", "says what the object is"},
		{"kind", "says what the object is"},
		{"status.phase", "is never applied"},
		{`["status"]`, "is never applied"},
		{"metadata", "of metadata only labels, annotations and finalizers"},
		{"metadata.name", "of metadata only"},
		{"metadata.namespace", "of metadata only"},
		{"metadata.labels", `name one of them: metadata.labels["KEY"]`},
		{`metadata.labels["applyset.kubernetes.io/part-of"]`, "is gitfleet's own"},
		{`metadata.annotations["gitfleet.dev/applied-hash"]`, "is gitfleet's own"},
		{"metadata.annotations.a.b", "name one of them"},
		{"spec.containers[name=a].name", "tells the items of the list apart"},
	}
	for _, row := range rows {
		got, err := ParseFieldPath(row.in)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, %v, want an error with %q", row.in, got, err, row.want)
		}
	}
}

func TestSplitList(t *testing.T) {
	for in, want := range map[string][]string{
		"":                            nil,
		" , \n,":                      nil,
		"a":                           {"a"},
		"a, b,\n\tc\n\n":              {"a", "b", "c"},
		"a[x=1,y=2],b":                {"a[x=1,y=2]", "b"},
		`a["[,"],b`:                   {`a["[,"]`, "b"},
		`a["\",\\"],b`:                {`a["\",\\"]`, "b"},
		"a[x=1\nb":                    {"a[x=1", "b"}, // not closed: ends with its line
		"a],b":                        {"a]", "b"},
		`a["` + "\\":                  {`a["\`},
		"Deployment.apps/web/a,\r\nb": {"Deployment.apps/web/a", "b"},
	} {
		if got := splitList(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestUnplaceAfter(t *testing.T) {
	for in, want := range map[string]string{
		"10m": "10m0s", "1h30m": "1h30m0s", "1s": "1s",
		"": "error: is empty", "999ms": "error: is no duration", "-1h": "error: is no duration", "10": "error: is no duration", "soon": "error: is no duration",
	} {
		d, errs := ParsePlacementDirectives(map[string]string{AnnotationUnplaceAfter: in})
		got := d.UnplaceAfter.String()
		if errs != nil {
			got = "error: " + errs.Error()
		}
		message, failed := strings.CutPrefix(want, "error: ")
		if failed != (errs != nil) || failed && (!strings.Contains(got, message) || d.UnplaceAfter != 0) || !failed && got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// TestPlacementDependencies: a placement is named by its name, a ResourcePlacement with its namespace.
func TestPlacementDependencies(t *testing.T) {
	for in, want := range map[string]string{
		"placement/base": "base", "placement/web/base": "web/base",
		"placement/a/b/c": "", "placement/Base": "", "placement/": "", "placement//base": "", "placement/web/": "",
	} {
		d, err := ParseDependency(in)
		if d.Placement != want || (err == nil) != (want != "") {
			t.Errorf("%q: placement %q, %v; want %q", in, d.Placement, err, want)
		}
		if err == nil && d.String() != in {
			t.Errorf("%q prints as %q", in, d)
		}
	}
}

// TestDirectivesSkipOthers: what has no prefix of ours is nobody's mistake here, and nothing said is nothing wished.
func TestDirectivesSkipOthers(t *testing.T) {
	others := map[string]string{"example.com/wave": "x", "gitfleet.dev.example.com/wave": "x", "wave": "x"}
	d, errs := ParseDirectives(others)
	if diff := cmp.Diff(Directives{}, d); diff != "" || errs != nil {
		t.Errorf("%v\n%s", errs, diff)
	}
	p, errs := ParsePlacementDirectives(others)
	if diff := cmp.Diff(PlacementDirectives{}, p); diff != "" || errs != nil {
		t.Errorf("%v\n%s", errs, diff)
	}
	m, errs := ParseMemberDirectives(nil)
	if m.Suspend || errs != nil {
		t.Errorf("%v, %v", m, errs)
	}
}

// TestDirectiveErrorsAreShort: whoever writes much into an annotation does not get all of it back.
func TestDirectiveErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	for key, place := range authored {
		for _, parse := range []func() FieldErrors{
			func() FieldErrors { _, errs := ParseDirectives(map[string]string{key: long}); return errs },
			func() FieldErrors { _, errs := ParsePlacementDirectives(map[string]string{key: long}); return errs },
		} {
			errs := parse()
			if len(errs) == 0 || len(errs.Error()) > 500 {
				t.Errorf("%s (for %s): %d errors of %d bytes together", key, place, len(errs), len(errs.Error()))
			}
		}
	}
	if _, errs := ParseDirectives(map[string]string{AnnotationWave: long + long}); len(errs) != 1 || len(errs.Error()) > 200 {
		t.Errorf("an annotation that is too long: %.200s", errs.Error())
	}
}

// strung is an item of a list of strings.
func strung(s string) fieldpath.PathElement {
	return fieldpath.PathElement{Value: new(value.NewValueInterface(s))}
}

// FuzzParseFieldPath: no text makes the parser panic, and what it reads is printed so that it reads the same again.
func FuzzParseFieldPath(f *testing.F) {
	for _, s := range []string{"spec.replicas", `a["b\u00e9"][c="1",d=-2,e=true][=x/y].z`, `a[`, `a["\`, `spec.ports[port=80,protocol=TCP].nodePort`, `0.0[A=A,0=0].1`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseFieldPath(s)
		if err != nil {
			return
		}
		again, err := ParseFieldPath(PrintFieldPath(p))
		if err != nil || !again.Equals(p) {
			t.Fatalf("%q is %v, printed %s, which is %v, %v", s, p, PrintFieldPath(p), again, err)
		}
	})
}

// FuzzParseRef: no text makes the parser panic, and what it reads is printed so that it reads the same again.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"deploy/web/a", "Namespace/a", "Widget.example.com/a/b", "placement/x", "//", "a.b.c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDependency(s)
		if err != nil {
			return
		}
		if again, err := ParseDependency(d.String()); err != nil || again != d {
			t.Fatalf("%q is %+v, printed %s, which is %+v, %v", s, d, d, again, err)
		}
	})
}

// FuzzParseDirectives: no annotation makes a parser panic; lists come out sorted and without repetition; errors name the
// annotation.
func FuzzParseDirectives(f *testing.F) {
	f.Add("gitfleet.dev/wave", "7")
	f.Add("gitfleet.dev/depends-on", "cm/a/b, placement/c\nns/x")
	f.Add("gitfleet.dev/ignore-fields", "Deployment.apps: spec.replicas, spec.paused\nSecret: data[\"x\"]")
	f.Add("gitfleet.dev/health", "[{kind: A.b, current: 'true'}, {kind: A.b, current: x}, 7]")
	f.Add("gitfleet.dev/health", "- &a {kind: A.b, <<: *a}")
	f.Add("gitfleet.dev/service-account", "a/b")
	f.Fuzz(func(t *testing.T, key, value string) {
		annotations := map[string]string{key: value}
		d, errs := ParseDirectives(annotations)
		p, perrs := ParsePlacementDirectives(annotations)
		_, merrs := ParseMemberDirectives(annotations)
		for _, e := range slices.Concat(errs, perrs, merrs) {
			if e.Field != DirectiveField(key) || e.Message == "" {
				t.Fatalf("the mistake %+v cannot be found", e)
			}
		}
		for i := 1; i < len(d.DependsOn); i++ {
			if d.DependsOn[i-1].Compare(d.DependsOn[i]) >= 0 {
				t.Fatalf("not sorted: %v", d.DependsOn)
			}
		}
		for i := 1; i < len(p.IgnoreFields); i++ {
			if p.IgnoreFields[i-1].compare(p.IgnoreFields[i]) >= 0 {
				t.Fatalf("not sorted: %v", p.IgnoreFields)
			}
		}
	})
}
