package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
)

// FieldError is one field of a document that does not fit the document's kind.
type FieldError struct {
	Field   string // such as spec.template.spec.containers[0].image
	Message string // what is wrong and, where it can be told, the remedy
}

// Error prints the field and what is wrong with it.
func (e FieldError) Error() string { return e.Field + ": " + e.Message }

// FieldErrors is everything wrong with one document, sorted by field.
type FieldErrors []FieldError

// Error prints one line for each field.
func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// DecodeStrict decodes u into the struct that into points to. Fields the struct does not have and values of the wrong
// type are errors: all of them come back at once, as FieldErrors, and then into is not touched.
func DecodeStrict(u *unstructured.Unstructured, into any) error {
	if errs := CheckFields(u.Object, into); len(errs) > 0 {
		return errs
	}
	data, err := json.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", RefOf(u), err)
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", RefOf(u), err)
	}
	return nil
}

// CheckFields compares content, as decoded from JSON, with the Go type of like and returns every field that does not
// fit. Unlike a decoder it does not stop at the first wrong type, and it names list indexes in the path. Messages show
// short values, but none of a Secret's.
func CheckFields(content map[string]any, like any) FieldErrors {
	c := checker{hide: content["kind"] == "Secret"}
	c.value("", content, reflect.TypeOf(like))
	slices.SortFunc(c.errs, func(a, b FieldError) int {
		return strings.Compare(a.Field+"\x00"+a.Message, b.Field+"\x00"+b.Message)
	})
	return c.errs
}

// CheckRequired returns the fields that the Go type of like always has and content lacks: those whose JSON tag does not let them
// be left out, as in a CustomResourceDefinition made of that type. It is meant for types of this repository: those of
// Kubernetes say nothing by their tags. Fields of the wrong type are CheckFields' concern; so is a mapping with an unknown
// field, which probably is the missing one with a wrong name.
func CheckRequired(content map[string]any, like any) FieldErrors {
	c := checker{}
	c.required("", content, reflect.TypeOf(like))
	return c.errs
}

func (c *checker) required(path string, v any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			if t.Kind() == reflect.Slice {
				c.required(fmt.Sprintf("%s[%d]", path, i), e, t.Elem())
			}
		}
	case map[string]any:
		if t.Kind() == reflect.Struct {
			c.requiredFields(path, v, t)
		}
	}
}

func (c *checker) requiredFields(path string, m map[string]any, t reflect.Type) {
	fields := map[string]reflect.Type{}
	collect(t, fields)
	misnamed := false
	for key := range m {
		misnamed = misnamed || fields[key] == nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := m[name]
		switch {
		case name == "" || name == "-":
		case value != nil:
			c.required(join(path, name), value, f.Type)
		case !misnamed && !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero"):
			c.fail(join(path, name), "is missing")
		}
	}
}

type checker struct {
	hide bool // values must not be shown
	errs FieldErrors
}

func (c *checker) fail(path, format string, args ...any) {
	c.errs = append(c.errs, FieldError{Field: path, Message: fmt.Sprintf(format, args...)})
}

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	quantity    = reflect.TypeFor[resource.Quantity]()
)

// value compares v with t. A null counts as absent, as it does for the API server.
func (c *checker) value(path string, v any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if v == nil {
		return
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		c.custom(path, v, t)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		c.object(path, v, t)
	case reflect.Map:
		c.mapping(path, v, t)
	case reflect.Slice, reflect.Array:
		c.list(path, v, t)
	case reflect.Interface:
	default:
		c.scalar(path, v, t)
	}
}

// custom lets a type that decodes itself (quantities, times, int-or-string) have its say.
func (c *checker) custom(path string, v any, t reflect.Type) {
	data, err := json.Marshal(v)
	if s, ok := v.(string); ok && t == quantity {
		_, err = ParseQuantity(s)
	}
	if err == nil {
		err = json.Unmarshal(data, reflect.New(t).Interface())
	}
	if err != nil {
		c.fail(path, "%s is not a valid %s: %v", c.show(v), t.Name(), err)
	}
}

func (c *checker) object(path string, v any, t reflect.Type) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(path, "must be a mapping, not %s", c.show(v))
		return
	}
	fields := map[string]reflect.Type{}
	collect(t, fields)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		ft, known := fields[key]
		if !known {
			c.fail(join(path, key), "unknown field%s", suggest(key, fields))
			continue
		}
		c.value(join(path, key), m[key], ft)
	}
}

// collect gathers the JSON names of t's fields, those of embedded structs included.
func collect(t reflect.Type, into map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			ft := f.Type
			for ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			collect(ft, into)
		case name == "":
			into[f.Name] = f.Type
		default:
			into[name] = f.Type
		}
	}
}

func (c *checker) mapping(path string, v any, t reflect.Type) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(path, "must be a mapping, not %s", c.show(v))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		c.value(join(path, key), m[key], t.Elem())
	}
}

func (c *checker) list(path string, v any, t reflect.Type) {
	if t.Elem().Kind() == reflect.Uint8 {
		c.bytes(path, v)
		return
	}
	l, ok := v.([]any)
	if !ok {
		c.fail(path, "must be a list, not %s", c.show(v))
		return
	}
	for i, e := range l {
		c.value(fmt.Sprintf("%s[%d]", path, i), e, t.Elem())
	}
}

func (c *checker) bytes(path string, v any) {
	s, ok := v.(string)
	if !ok {
		c.fail(path, "must be a base64 string, not %s", kindOf(v))
		return
	}
	var out []byte
	if err := json.Unmarshal([]byte(quote(s)), &out); err != nil {
		c.fail(path, "is not valid base64; use stringData for plain text in a Secret")
	}
}

func (c *checker) scalar(path string, v any, t reflect.Type) {
	switch t.Kind() {
	case reflect.String:
		switch v.(type) {
		case string:
		case map[string]any, []any:
			c.fail(path, "must be a string, not %s", kindOf(v))
		default:
			c.fail(path, "must be a string, not %s; quote it", c.show(v))
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			c.fail(path, "must be true or false, not %s", c.unquote(v))
		}
	case reflect.Float32, reflect.Float64:
		if k := kindOf(v); k != "a number" {
			c.fail(path, "must be a number, not %s", c.show(v))
		}
	default:
		c.integer(path, v, t)
	}
}

func (c *checker) integer(path string, v any, t reflect.Type) {
	n, err := toInt(v)
	if err != nil {
		c.fail(path, "must be a whole number, not %s", c.unquote(v))
		return
	}
	x := reflect.New(t).Elem()
	if x.CanInt() && x.OverflowInt(n) || x.CanUint() && (n < 0 || x.OverflowUint(uint64(n))) {
		c.fail(path, "%d is out of range for %s", n, t.Kind())
	}
}

var errNotInteger = errors.New("not a whole number")

func toInt(v any) (int64, error) {
	switch n := v.(type) {
	case int64:
		return n, nil
	case int:
		return int64(n), nil
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n), nil
		}
	}
	return 0, errNotInteger
}

// join appends key to path; keys that hold dots, such as labels, are put in brackets.
func join(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./[]"):
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// show prints a short scalar for a message, and only the kind of anything else.
func (c *checker) show(v any) string {
	if c.hide {
		return kindOf(v)
	}
	switch x := v.(type) {
	case bool, int64, int, float64:
		return fmt.Sprint(x)
	case string:
		if len(x) <= 40 {
			return quote(x)
		}
	}
	return kindOf(v)
}

// unquote is show, with the remedy for a string that would do without its quotes.
func (c *checker) unquote(v any) string {
	s, ok := v.(string)
	if _, err := strconv.ParseInt(s, 10, 64); ok && (err == nil || s == "true" || s == "false") {
		return c.show(v) + "; remove the quotes"
	}
	return c.show(v)
}

func kindOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, int, float64:
		return "a number"
	default:
		return fmt.Sprintf("%T", v)
	}
}

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil { // never for a string
		return s
	}
	return string(data)
}
