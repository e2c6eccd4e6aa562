package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
		{`spec.things["the id"=a].x`, fieldpath.MakePathOrDie("spec", "things", fieldpath.KeyByFields("the id", "a"), "x")},
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
		{"spec.list[=]", "a value is expected before \"]\""},
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

// TestDirectiveMistakes: what is wrong with an annotation is told with what to write instead.
func TestDirectiveMistakes(t *testing.T) {
	objects := func(a map[string]string) FieldErrors { _, errs := ParseDirectives(a); return errs }
	placements := func(a map[string]string) FieldErrors { _, errs := ParsePlacementDirectives(a); return errs }
	members := func(a map[string]string) FieldErrors { _, errs := ParseMemberDirectives(a); return errs }
	const exported = "is written by gitfleet itself on members; remove it (was the manifest exported from a cluster?)"
	rows := []struct {
		reason     string
		parse      func(map[string]string) FieldErrors
		key, value string
		want       string // part of what is told
	}{
		{"misspelt", objects, "gitfleet.dev/wvae", "1", "gitfleet knows no such annotation; did you mean gitfleet.dev/wave?"},
		{"like nothing", objects, "gitfleet.dev/xyzzy-and-so-on", "1", "gitfleet knows no such annotation; it knows gitfleet.dev/depends-on, gitfleet.dev/health, " +
			"gitfleet.dev/ignore-fields, gitfleet.dev/load-balancer-class, gitfleet.dev/recreate, gitfleet.dev/service-account, gitfleet.dev/suspend, gitfleet.dev/unplace-after, gitfleet.dev/wave"},
		{"exported with our digest", objects, AnnotationAppliedHash, "abc", exported},
		{"exported with an annotation of ApplySets", objects, ApplySetToolingAnno, "kubectl/v1.30", exported},
		{"of placements", objects, AnnotationServiceAccount, "a/b", "is only for placements; remove it here"},
		{"of placements and members", objects, AnnotationSuspend, "true", "is only for placements and members; remove it here"},
		{"of objects", placements, AnnotationWave, "1", "is only for objects that are placed; remove it here"},
		{"of objects and placements", members, AnnotationDependsOn, "placement/a", "is only for objects and placements; remove it here"},
		{"no yes and no", members, AnnotationSuspend, "yes", `must be "true" or "false", not "yes"`},
		{"an empty list", objects, AnnotationDependsOn, " ,\n", `"," holds nothing; remove it`},
		{"a placement cannot wait for an object", placements, AnnotationDependsOn, "Namespace/web, placement/base",
			`"Namespace/web": a placement depends on placements; write placement/NAME, or put the annotation on the objects that need this one`},
		{"a dependency that is none", placements, AnnotationDependsOn, "placement/Base!", `"Base!" is no name of a placement: `},
		{"an object that is none, beside a good one", objects, AnnotationDependsOn, "Namespace/web, shop", `"shop" names no object; write KIND.GROUP/NAMESPACE/NAME`},
		{"every field that is none", objects, AnnotationIgnoreFields, "status.phase, spec.replicas, kind",
			`"status.phase": is never applied, so there is nothing to give away; "kind": says what the object is and cannot be given away`},
		{"a rule without a kind", placements, AnnotationIgnoreFields, "spec.replicas",
			`"spec.replicas" is no rule; write KIND.GROUP: FIELD, such as Deployment.apps: spec.replicas`},
		{"a rule without a field", placements, AnnotationIgnoreFields, "Deployment.apps:", `"Deployment.apps:" is no rule; write`},
		{"a rule of a field that is none, between good ones", placements, AnnotationIgnoreFields, "Deployment.apps: spec.paused\n\nConfigMap: kind\nSecret: data",
			"says what the object is"},
		{"an account without a namespace", placements, AnnotationServiceAccount, "deployer", `"deployer" names no ServiceAccount; write NAMESPACE/NAME, such as team-a/deployer`},
	}
	for _, row := range rows {
		errs := row.parse(map[string]string{row.key: row.value})
		var got []string
		for _, e := range errs {
			if e.Field != DirectiveField(row.key) {
				t.Errorf("%s: the mistake is told of %s, not of %s", row.reason, e.Field, row.key)
			}
			got = append(got, e.Message)
		}
		if all := strings.Join(got, "; "); !strings.Contains(all, row.want) {
			t.Errorf("%s:\n got %s\nwant %s", row.reason, all, row.want)
		}
	}
}

// TestGoodRulesSurviveABadOne: a mistake in one rule hides none of the others, and they come out sorted, each once.
func TestGoodRulesSurviveABadOne(t *testing.T) {
	d, errs := ParsePlacementDirectives(map[string]string{
		AnnotationIgnoreFields: "Secret: data\nDeployment.apps: spec.replicas, kind, spec.paused\n\nDeployment.apps: spec.replicas\nwhat",
		AnnotationDependsOn:    "placement/b, placement/a, Namespace/web, placement/b",
	})
	var rules []string
	for _, r := range d.IgnoreFields {
		rules = append(rules, r.Kind.String()+" "+PrintFieldPath(r.Path))
	}
	if want := []string{"Secret data", "Deployment.apps spec.paused", "Deployment.apps spec.replicas"}; !slices.Equal(rules, want) {
		t.Errorf("rules %q, want %q", rules, want)
	}
	if want := []string{"a", "b"}; !slices.Equal(d.DependsOn, want) {
		t.Errorf("depends on %q, want %q", d.DependsOn, want)
	}
	if len(errs) != 3 {
		t.Errorf("%d mistakes, want the kind, the line and the object:\n%v", len(errs), errs)
	}
}

func TestHealthChecks(t *testing.T) {
	rows := []struct{ reason, in, want string }{ // want is the kinds, or what is wrong after "error: "
		{"sorted by group and kind", "[{kind: B.y, current: ' a '}, {kind: Z.x, current: a, failed: b}, {kind: A.y, current: a, inProgress: c}]", "Z.x A.y B.y"},
		{"no YAML", "[{", "error: is no YAML: "},
		{"a key twice", "[{kind: A.b, kind: C.d, current: a}]", "error: is no YAML: "},
		{"no list", "{kind: A.b}", "error: must be a YAML list of {kind, current, inProgress, failed}, not a mapping"},
		{"a text", "soon", "error: must be a YAML list of {kind, current, inProgress, failed}, not a string"},
		{"a field that is none", "[{kind: A.b, current: a, curent: b}]", "error: entry 1: curent: unknown field; did you mean current?"},
		{"a value that is no text", "[{kind: A.b, current: true}]", "error: entry 1: current: must be a string, not true; quote it"},
		{"no kind", "[{kind: A.b, current: a}, {kind: 'no kind', current: a}]", `error: entry 2: kind: "no kind" is not a valid kind`},
		{"Secrets are not looked at", "[{kind: Secret, current: a}]", "error: entry 1: kind: a Secret has no health, and its values are not looked at; remove the entry"},
		{"no expression", "[{kind: A.b, current: ' ', failed: x}]", "error: entry 1: current: is missing; write the expression that is true when all is well"},
		{"no mapping lacks everything", "[7]", "error: entry 1: current: is missing"},
		{"a kind twice", "[{kind: A.b, current: a}, {kind: C.b, current: a}, {kind: A.b, current: c}]", "error: tells the health of A.b twice; keep one of the entries"},
	}
	for _, row := range rows {
		d, errs := ParsePlacementDirectives(map[string]string{AnnotationHealth: row.in})
		var kinds []string
		for _, c := range d.HealthChecks {
			kinds = append(kinds, c.Kind.String())
			if c.Current != strings.TrimSpace(c.Current) {
				t.Errorf("%s: the expression %q keeps its spaces", row.reason, c.Current)
			}
		}
		message, failed := strings.CutPrefix(row.want, "error: ")
		if failed != (len(errs) > 0) || failed && !strings.Contains(errs.Error(), message) || !failed && strings.Join(kinds, " ") != row.want {
			t.Errorf("%s: kinds %q, mistakes %v; want %s", row.reason, kinds, errs, row.want)
		}
	}
}

// TestHealthCheckOrder: checks are told apart by everything they say, with the kind first.
func TestHealthCheckOrder(t *testing.T) {
	kind := func(s string) schema.GroupKind { return schema.ParseGroupKind(s) }
	sorted := []HealthCheck{
		{Kind: kind("Z.a"), Current: "z"}, {Kind: kind("A.b"), Current: "a"}, {Kind: kind("A.b"), Current: "b"},
		{Kind: kind("A.b"), Current: "b", Failed: "a"}, {Kind: kind("A.b"), Current: "b", InProgress: "a"}, {Kind: kind("B.b")},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%+v against %+v: %d, want the order of this list", a, b, got)
			}
		}
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
