package report

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// absent is the value of a field that one side does not have; nil is one that is written as null.
type absent struct{}

// Diff returns what differs between two states of one object, one line "path: before -> after" a field, by path. It is
// empty when nothing does. Secret values are hidden, binary data is named by size and digest, long text is cut down to
// where it differs. List elements with unique names are compared by name, others by position.
func (m *Mask) Diff(before, after *unstructured.Unstructured) string {
	d := differ{mask: m, secret: isSecret(before) || isSecret(after)}
	d.compare("", before.Object, after.Object)
	return strings.Join(d.lines, "\n")
}

// differ collects the lines of one diff.
type differ struct {
	mask   *Mask
	secret bool
	lines  []string
}

// compare adds a line for every leaf below path in which a and b differ.
func (d *differ) compare(path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	am, aIsMap := branch(a)
	bm, bIsMap := branch(b)
	if aIsMap && bIsMap && len(am)+len(bm) > 0 {
		d.compareMaps(path, am, bm)
		return
	}
	al, aIsList := elements(a)
	bl, bIsList := elements(b)
	if aIsList && bIsList && len(al)+len(bl) > 0 {
		d.compareLists(path, al, bl)
		return
	}
	d.leaf(path, a, b)
}

// branch returns v as a map to descend into: an absent field is a map without keys, so that a new map is told leaf by
// leaf.
func branch(v any) (map[string]any, bool) {
	if v == (absent{}) {
		return nil, true
	}
	m, ok := v.(map[string]any)
	return m, ok
}

// elements is branch for lists.
func elements(v any) ([]any, bool) {
	if _, isAbsent := v.(absent); isAbsent {
		return nil, true
	}
	l, ok := v.([]any)
	return l, ok
}

func (d *differ) compareMaps(path string, a, b map[string]any) {
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		d.compare(field(path, k), lookup(a, k), lookup(b, k))
	}
}

func lookup(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return absent{}
}

func (d *differ) compareLists(path string, a, b []any) {
	an, aNamed := byName(a)
	bn, bNamed := byName(b)
	if !aNamed || !bNamed {
		for i := range max(len(a), len(b)) {
			d.compare(path+"["+strconv.Itoa(i)+"]", at(a, i), at(b, i))
		}
		return
	}
	kept := func(names []string, in map[string]any) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { _, ok := in[n]; return !ok })
	}
	if before, after := kept(an.order, bn.values), kept(bn.order, an.values); !slices.Equal(before, after) {
		d.add(path, "order "+quote(strings.Join(before, ", ")), "order "+quote(strings.Join(after, ", ")))
	}
	for _, name := range slices.Sorted(maps.Keys(union(an.values, bn.values))) {
		d.compare(path+"["+quoteName(name)+"]", lookup(an.values, name), lookup(bn.values, name))
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return absent{}
}

// named is a list whose elements have unique names.
type named struct {
	order  []string
	values map[string]any
}

func byName(list []any) (named, bool) {
	n := named{values: map[string]any{}}
	for _, e := range list {
		m, _ := e.(map[string]any)
		name, _ := m["name"].(string)
		if _, taken := n.values[name]; name == "" || taken {
			return named{}, false
		}
		n.order = append(n.order, name)
		n.values[name] = e
	}
	return n, true
}

// leaf adds the line of one field.
func (d *differ) leaf(path string, a, b any) {
	var before, after string
	switch {
	case d.secret && (within(path, "data") || within(path, "stringData")):
		before, after = secretly(a), secretly(b)
	case within(path, "binaryData"):
		before, after = d.binary(a), d.binary(b)
	default:
		before, after = d.text(a, b)
	}
	if before == after {
		after += " (changed)"
	}
	d.add(path, before, after)
}

func (d *differ) add(path string, before, after string) {
	d.lines = append(d.lines, fmt.Sprintf("%s: %s -> %s", path, before, after))
}

const missing = "(none)"

func secretly(v any) string {
	if v == (absent{}) {
		return missing
	}
	return hidden
}

// binary names base64 data by its size and the beginning of its SHA-256 digest, unless it is a secret.
func (d *differ) binary(v any) string {
	s, ok := v.(string)
	data, err := base64.StdEncoding.DecodeString(s)
	if !ok || err != nil || d.mask.Text(s) != s {
		return d.scalar(v)
	}
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%d bytes sha256:%s", len(data), hex.EncodeToString(sum[:6]))
}

// text writes two values of any kind. Two texts are cut down to where they differ, after hiding what is secret: a
// secret must not escape by being cut in two.
func (d *differ) text(a, b any) (string, string) {
	at, aIsText := a.(string)
	bt, bIsText := b.(string)
	if !aIsText || !bIsText {
		return d.scalar(a), d.scalar(b)
	}
	at, bt = d.mask.Text(at), d.mask.Text(bt)
	if strings.Contains(at+bt, "\n") {
		at, bt = differingLines(at, bt)
	}
	at, bt = around(at, bt)
	return quote(at), quote(bt)
}

// widest is the most characters of a text that a line shows.
const widest = 120

// scalar writes one value: text bare where that is unambiguous, anything else as JSON.
func (d *differ) scalar(v any) string {
	switch v := v.(type) {
	case absent:
		return missing
	case string:
		return quote(shorten(d.mask.Text(v), widest))
	}
	data, err := json.Marshal(d.mask.inside(v))
	if err != nil {
		return fmt.Sprintf("a %T", v) // nothing that came from YAML or JSON
	}
	return shorten(d.mask.Text(string(data)), widest)
}

// bare matches text that reads as itself: printable ASCII without space or quote, so it cannot drive a terminal either.
var bare = regexp.MustCompile(`^[A-Za-z0-9/][!#-&(-~]*$`)

// otherType matches text that YAML would take for another type.
var otherType = regexp.MustCompile(`^([0-9.eE_+-]+|0[xo][0-9a-fA-F]+|true|false|null|yes|no|on|off|y|n)$`)

// quote writes text bare where it cannot be mistaken for a number, a word of YAML or two words.
func quote(s string) string {
	if s == hidden || bare.MatchString(s) && !otherType.MatchString(strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

// differingLines drops the lines that both texts begin and end with.
func differingLines(a, b string) (string, string) {
	al, bl := strings.Split(a, "\n"), strings.Split(b, "\n")
	first := 0
	for first < min(len(al), len(bl)) && al[first] == bl[first] {
		first++
	}
	al, bl = al[first:], bl[first:]
	for len(al) > 0 && len(bl) > 0 && al[len(al)-1] == bl[len(bl)-1] {
		al, bl = al[:len(al)-1], bl[:len(bl)-1]
	}
	return strings.Join(al, "\n"), strings.Join(bl, "\n")
}

// around cuts both texts to a window that begins shortly before they differ.
func around(a, b string) (string, string) {
	const context = 20
	ar, br := []rune(a), []rune(b)
	same := 0
	for same < min(len(ar), len(br)) && ar[same] == br[same] {
		same++
	}
	if cut := same - context; cut > 0 && max(len(ar), len(br)) > widest {
		a, b = "…"+string(ar[cut:]), "…"+string(br[cut:])
	}
	return shorten(a, widest), shorten(b, widest)
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// field writes the path of a field: spec.template.spec, metadata.labels["app.kubernetes.io/name"].
func field(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func quoteName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return strconv.Quote(name)
}

// within tells whether path is the top-level field or below it.
func within(path, top string) bool {
	rest, ok := strings.CutPrefix(path, top)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
