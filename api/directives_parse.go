package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// WaveLimit is the highest wave, and its negative the lowest.
const WaveLimit = 1000

const (
	// maxDirective is how long an annotation may be, in bytes.
	maxDirective = 64 << 10

	// maxItem is how long one entry of a list may be, in bytes: more than a kind, a namespace and a name need.
	maxItem = 1024
)

// ParseDirectives reads the annotations of an object that is placed. What it cannot read, what gitfleet does not know and
// what belongs on placements or members comes back as errors, sorted, all at once; annotations of others are skipped.
//
//	gitfleet.dev/wave: "-1"                                            a whole number, ±WaveLimit
//	gitfleet.dev/depends-on: Deployment.apps/web/db, placement/base    see ParseRef
//	gitfleet.dev/ignore-fields: spec.replicas                          see ParseFieldPath
//	gitfleet.dev/recreate: "true"                                      true or false
//	gitfleet.dev/load-balancer-class: example.com/internal-vip         a name; mcs/service reads it where the object stands
//
// Lists are separated by commas or line breaks.
func ParseDirectives(annotations map[string]string) (Directives, FieldErrors) {
	r := read(annotations, onObjects)
	d := Directives{Wave: r.wave(), Recreate: r.flag(AnnotationRecreate)}
	for _, item := range r.list(AnnotationDependsOn) {
		dep, err := ParseDependency(item)
		if err != nil {
			r.fail(AnnotationDependsOn, "%v", err)
			continue
		}
		d.DependsOn = append(d.DependsOn, dep)
	}
	for _, item := range r.list(AnnotationIgnoreFields) {
		path, err := ParseFieldPath(item)
		if err != nil {
			r.fail(AnnotationIgnoreFields, "%v", err)
			continue
		}
		d.IgnoreFields = append(d.IgnoreFields, path)
	}
	if class, ok := r.value(AnnotationLoadBalancerClass); ok && len(validation.IsQualifiedName(class)) > 0 {
		r.fail(AnnotationLoadBalancerClass, "%s is no load balancer class; write a name such as example.com/internal-vip", excerpt(class))
	}
	d.DependsOn = tidy(d.DependsOn, Dependency.Compare)
	d.IgnoreFields = tidy(d.IgnoreFields, fieldpath.Path.Compare)
	return d, r.sorted()
}

// ParsePlacementDirectives reads the annotations of a placement, like ParseDirectives.
//
//	gitfleet.dev/suspend: "true"                             true or false
//	gitfleet.dev/depends-on: placement/base                  placements only
//	gitfleet.dev/ignore-fields: "Deployment.apps: spec.replicas"   one kind a line, with one or more fields of it
//	gitfleet.dev/service-account: team-a/deployer            NAMESPACE/NAME
//	gitfleet.dev/unplace-after: 10m                          a duration, at least a second
//	gitfleet.dev/health: |                                   a YAML list of HealthChecks
//	  - kind: Certificate.cert-manager.io
//	    current: self.status.conditions.exists(c, c.type == "Ready" && c.status == "True")
func ParsePlacementDirectives(annotations map[string]string) (PlacementDirectives, FieldErrors) {
	r := read(annotations, onPlacements)
	d := PlacementDirectives{Suspend: r.flag(AnnotationSuspend), ServiceAccount: r.account(), UnplaceAfter: r.grace()}
	for _, item := range r.list(AnnotationDependsOn) {
		dep, err := ParseDependency(item)
		switch {
		case err != nil:
			r.fail(AnnotationDependsOn, "%v", err)
		case dep.Placement == "":
			r.fail(AnnotationDependsOn, "%q: a placement depends on placements; write placement/NAME, or put the annotation "+
				"on the objects that need this one", item)
		default:
			d.DependsOn = append(d.DependsOn, dep.Placement)
		}
	}
	d.DependsOn = tidy(d.DependsOn, strings.Compare)
	d.IgnoreFields = r.rules()
	d.HealthChecks = r.healthChecks()
	return d, r.sorted()
}

// ParseMemberDirectives reads the annotations of a MemberCluster, like ParseDirectives: gitfleet.dev/suspend.
func ParseMemberDirectives(annotations map[string]string) (MemberDirectives, FieldErrors) {
	r := read(annotations, onMembers)
	return MemberDirectives{Suspend: r.flag(AnnotationSuspend)}, r.sorted()
}

// ParseDependency reads placement/NAME, placement/NAMESPACE/NAME of a ResourcePlacement, or an object as ParseRef does.
func ParseDependency(s string) (Dependency, error) {
	if name, ok := strings.CutPrefix(s, "placement/"); ok && strings.Count(name, "/") <= 1 {
		for part := range strings.SplitSeq(name, "/") {
			if problems := validation.IsDNS1123Subdomain(part); len(problems) > 0 {
				return Dependency{}, fmt.Errorf("%q is no name of a placement: %s", name, strings.Join(problems, "; "))
			}
		}
		return Dependency{Placement: name}, nil
	}
	ref, err := ParseRef(s)
	return Dependency{Object: ref}, err
}

// String prints d as ParseDependency reads it.
func (d Dependency) String() string {
	if d.Placement != "" {
		return "placement/" + d.Placement
	}
	return d.Object.Path()
}

// Compare orders objects before placements, and each by name.
func (d Dependency) Compare(o Dependency) int {
	return cmp.Or(cmp.Compare(d.Placement, o.Placement), d.Object.Compare(o.Object))
}

// DirectiveField is where the annotation of that key stands in a document.
func DirectiveField(key string) string { return "metadata.annotations[" + key + "]" }

// place is a set of documents that an annotation may stand on.
type place int

const (
	onObjects place = 1 << iota
	onPlacements
	onMembers
)

func (p place) String() string {
	switch p {
	case onObjects:
		return "objects that are placed"
	case onPlacements:
		return "placements"
	case onPlacements | onMembers:
		return "placements and members"
	default:
		return "objects and placements"
	}
}

// authored are the annotations that authors write.
var authored = map[string]place{
	AnnotationWave:           onObjects,
	AnnotationDependsOn:      onObjects | onPlacements,
	AnnotationIgnoreFields:   onObjects | onPlacements,
	AnnotationRecreate:       onObjects,
	AnnotationSuspend:        onPlacements | onMembers,
	AnnotationServiceAccount: onPlacements,
	AnnotationHealth:         onPlacements,
	AnnotationUnplaceAfter:   onPlacements,

	AnnotationLoadBalancerClass: onObjects,
}

// directiveReader reads the annotations of one document and gathers what is wrong with them.
type directiveReader struct {
	annotations map[string]string
	errs        FieldErrors
}

// read checks that those of annotations that are gitfleet's own are known and may stand here.
func read(annotations map[string]string, here place) *directiveReader {
	r := &directiveReader{}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if prefix, _, _ := strings.Cut(key, "/"); !OwnPrefix(prefix) {
			continue
		}
		where, known := authored[key]
		switch {
		case !known:
			r.fail(key, "%s", unknownDirective(key))
		case where&here == 0:
			r.fail(key, "is only for %s; remove it here", where)
		case len(annotations[key]) > maxDirective:
			r.fail(key, "is longer than %d bytes", maxDirective)
		default:
			if r.annotations == nil { // most objects say nothing
				r.annotations = map[string]string{}
			}
			r.annotations[key] = annotations[key]
		}
	}
	return r
}

func unknownDirective(key string) string {
	written := []string{AnnotationAppliedHash, AnnotationRevision, AnnotationSource, AnnotationPolicyDigest}
	if prefix, _, _ := strings.Cut(key, "/"); prefix != "gitfleet.dev" || slices.Contains(written, key) {
		return "is written by gitfleet itself on members; remove it (was the manifest exported from a cluster?)"
	}
	known := slices.Sorted(maps.Keys(authored))
	if best := Nearest(key, known); best != "" {
		return "gitfleet knows no such annotation; did you mean " + best + "?"
	}
	return "gitfleet knows no such annotation; it knows " + strings.Join(known, ", ")
}

func (r *directiveReader) fail(key, format string, args ...any) {
	r.errs = append(r.errs, FieldError{Field: DirectiveField(key), Message: fmt.Sprintf(format, args...)})
}

func (r *directiveReader) sorted() FieldErrors {
	slices.SortStableFunc(r.errs, func(a, b FieldError) int { return cmp.Compare(a.Field, b.Field) })
	return r.errs
}

// value returns an annotation without blanks around it. One that is there but empty is an error.
func (r *directiveReader) value(key string) (string, bool) {
	v, ok := r.annotations[key]
	v = strings.TrimSpace(v)
	if ok && v == "" {
		r.fail(key, "is empty; remove it")
	}
	return v, v != ""
}

func (r *directiveReader) wave() int {
	v, ok := r.value(AnnotationWave)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < -WaveLimit || n > WaveLimit {
		r.fail(AnnotationWave, "must be a whole number from %d to %d, not %s", -WaveLimit, WaveLimit, excerpt(v))
		return 0
	}
	return n
}

func (r *directiveReader) flag(key string) bool {
	v, ok := r.value(key)
	if ok && v != "true" && v != "false" {
		r.fail(key, `must be "true" or "false", not %s`, excerpt(v))
	}
	return v == "true"
}

func (r *directiveReader) list(key string) []string {
	v, ok := r.value(key)
	items := splitList(v)
	if ok && len(items) == 0 {
		r.fail(key, "%s holds nothing; remove it", excerpt(v))
	}
	return slices.DeleteFunc(items, func(item string) bool {
		long := len(item) > maxItem
		if long {
			r.fail(key, "%s is longer than %d bytes; separate entries by commas or line breaks", excerpt(item), maxItem)
		}
		return long
	})
}

// excerpt quotes the beginning of a text.
func excerpt(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + " …"
	}
	return strconv.Quote(s)
}

func (r *directiveReader) account() string {
	v, ok := r.value(AnnotationServiceAccount)
	if !ok {
		return ""
	}
	namespace, name, _ := strings.Cut(v, "/")
	problems := append(validation.IsDNS1123Label(namespace), validation.IsDNS1123Subdomain(name)...)
	if problems = append(problems, content.IsPathSegmentName(name)...); len(problems) > 0 {
		r.fail(AnnotationServiceAccount, "%s names no ServiceAccount; write NAMESPACE/NAME, such as team-a/deployer", excerpt(v))
		return ""
	}
	return v
}

// grace reads how long a cluster may fail what is required.
func (r *directiveReader) grace() time.Duration {
	v, ok := r.value(AnnotationUnplaceAfter)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second {
		r.fail(AnnotationUnplaceAfter, "%s is no duration of a second or more; write 10m or 1h30m", excerpt(v))
		return 0
	}
	return d
}

// rules reads lines of "KIND.GROUP: FIELD, FIELD".
func (r *directiveReader) rules() []IgnoreRule {
	const key = AnnotationIgnoreFields
	v, _ := r.value(key)
	var rules []IgnoreRule
	for line := range strings.Lines(v) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		kind, fields, found := strings.Cut(line, ":")
		gk, err := ParseKind(strings.TrimSpace(kind))
		paths := splitList(fields)
		if len(line) > maxItem || !found || len(paths) == 0 || err != nil {
			r.fail(key, "%s is no rule; write KIND.GROUP: FIELD, such as Deployment.apps: spec.replicas", excerpt(line))
			continue
		}
		for _, p := range paths {
			path, err := ParseFieldPath(p)
			if err != nil {
				r.fail(key, "%v", err)
				continue
			}
			rules = append(rules, IgnoreRule{Kind: gk, Path: path})
		}
	}
	return tidy(rules, IgnoreRule.compare)
}

func (r IgnoreRule) compare(o IgnoreRule) int {
	return cmp.Or(compareKinds(r.Kind, o.Kind), r.Path.Compare(o.Path))
}

func compareKinds(a, b schema.GroupKind) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
}

// tidy sorts list and drops what it holds twice.
func tidy[T any](list []T, compare func(a, b T) int) []T {
	slices.SortFunc(list, compare)
	return slices.CompactFunc(list, func(a, b T) bool { return compare(a, b) == 0 })
}
