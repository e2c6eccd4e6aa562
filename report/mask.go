package report

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/render"
)

// hidden stands for a secret value.
const hidden = "***"

// Secret values shorter than this are hidden only where they are a whole value: hiding every "a" would leave nothing to
// read, and would tell the secret by what is missing.
const shortestPart = 6

// Mask hides secret values wherever they appear in what is printed.
type Mask struct {
	whole map[string]bool
	parts *strings.Replacer
}

// NewMask returns a mask for the values of the Secrets among objects: as written, as base64, inside JSON, without
// surrounding space, and each longer line of them. A value that a Secret shares with another object is hidden there too.
func NewMask(objects ...[]render.Object) *Mask {
	whole := map[string]bool{}
	for _, list := range objects {
		for _, o := range list {
			if isSecret(o.Unstructured) {
				addSecret(whole, o.Unstructured)
			}
		}
	}
	delete(whole, "")
	var parts []string
	for value := range whole {
		if len(value) >= shortestPart {
			parts = append(parts, value)
		}
	}
	// The replacer prefers what comes first: a longer value goes before its own beginning.
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var pairs []string
	for _, p := range parts {
		pairs = append(pairs, p, hidden)
	}
	return &Mask{whole: whole, parts: strings.NewReplacer(pairs...)}
}

func isSecret(u *unstructured.Unstructured) bool {
	gvk := u.GroupVersionKind()
	return gvk.Group == "" && gvk.Kind == "Secret"
}

func addSecret(values map[string]bool, u *unstructured.Unstructured) {
	data, _, _ := unstructured.NestedMap(u.Object, "data")
	for _, v := range data {
		encoded, ok := v.(string)
		if !ok {
			continue
		}
		values[encoded] = true
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			addForms(values, string(decoded))
		}
	}
	plain, _, _ := unstructured.NestedMap(u.Object, "stringData")
	for _, v := range plain {
		if s, ok := v.(string); ok {
			addForms(values, s)
		}
	}
}

// addForms adds the forms in which people repeat a secret.
func addForms(values map[string]bool, secret string) {
	const shortestLine = 8
	forms := []string{secret, strings.TrimSpace(secret)}
	if lines := strings.Split(secret, "\n"); len(lines) > 1 {
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= shortestLine {
				forms = append(forms, line)
			}
		}
	}
	for _, f := range forms {
		values[f] = true
		values[base64.StdEncoding.EncodeToString([]byte(f))] = true
		if quoted, err := json.Marshal(f); err == nil {
			values[string(quoted[1:len(quoted)-1])] = true
		}
	}
}

// Text returns s with every secret value in it replaced by three asterisks.
func (m *Mask) Text(s string) string {
	if m.whole[s] {
		return hidden
	}
	return m.parts.Replace(s)
}

// inside returns v with every text in it masked.
func (m *Mask) inside(v any) any {
	switch v := v.(type) {
	case string:
		return m.Text(v)
	case []any:
		masked := make([]any, len(v))
		for i, e := range v {
			masked[i] = m.inside(e)
		}
		return masked
	case map[string]any:
		masked := make(map[string]any, len(v))
		for k, e := range v {
			masked[k] = m.inside(e)
		}
		return masked
	}
	return v
}
