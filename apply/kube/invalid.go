package kube

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

const (
	mostCauses  = 5   // of one refusal that are printed
	mostOfCause = 180 // runes of each: the remedy that follows the first stays within what a status column shows
)

// immutable recognizes that a field cannot be changed once it is set. API servers have no cause of their own for it; these
// are the words of k8s.io/kubernetes/pkg/apis and of the API machinery.
var immutable = regexp.MustCompile(`immutable|may not change once set|may not be changed|cannot be changed|cannot change roleRef|updates to .* forbidden|updates may not change`)

// immutableFields returns the fields that s refuses to change, sorted; nil when something else is wrong too.
func immutableFields(s metav1.Status) []string {
	if s.Reason != metav1.StatusReasonInvalid || s.Details == nil {
		return nil
	}
	var fields []string
	for _, c := range s.Details.Causes {
		if c.Field == "" || c.Field == "<nil>" || !immutable.MatchString(withoutValue(c)) {
			return nil
		}
		fields = append(fields, "."+c.Field)
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

// invalid prints the causes of a refusal as "field: reason". Values are left out: a pod template that cannot be changed
// would be quoted whole, with every environment variable.
func invalid(s metav1.Status, ref api.Ref) string {
	if s.Details == nil || len(s.Details.Causes) == 0 {
		return clip(firstLine(s.Message)) // an admission webhook's own words
	}
	var fixed, others []string
	for _, c := range s.Details.Causes {
		reason := withoutValue(c)
		line := reason
		if c.Field != "" && c.Field != "<nil>" {
			line = c.Field + ": " + reason
		}
		if immutable.MatchString(reason) {
			fixed = append(fixed, clip(line))
		} else {
			others = append(others, clip(line))
		}
	}
	slices.Sort(fixed)
	slices.Sort(others)
	if len(fixed) > 0 {
		fixed[0] += remedy(ref)
	}
	lines := slices.Compact(append(fixed, others...))
	if more := len(lines) - mostCauses; more > 0 {
		lines = append(lines[:mostCauses], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "; ")
}

// remedy tells what to do about a field that cannot be changed.
func remedy(ref api.Ref) string {
	switch gk := ref.GroupKind(); {
	case apply.IsVolume(gk):
		return " (give the changed one another name: deleting this one deletes its data)"
	case apply.IsDefinition(gk):
		return " (to change it, delete the definition first, and with it all custom resources of the kind)"
	}
	return fmt.Sprintf(" (to change it, delete the object first, or give the changed one another name, or allow gitfleet to delete it with the annotation %s: \"true\")",
		api.AnnotationRecreate)
}

// withoutValue cuts the value out of a cause's message, which is "Invalid value: VALUE: reason" as
// k8s.io/apimachinery/pkg/util/validation/field.Error.ErrorBody prints it; some kinds of error have no value. Reasons that
// go over several lines continue with a comparison of old and new.
func withoutValue(c metav1.StatusCause) string {
	for _, kind := range []string{"Invalid value", "Unsupported value", "Duplicate value", "Too many", "Too few", "Not found"} {
		rest, ok := strings.CutPrefix(c.Message, kind+": ")
		if !ok {
			continue
		}
		_, reason, found := strings.Cut(afterValue(rest), ": ")
		switch {
		case !found || reason == "":
			return strings.ToLower(kind)
		case kind == "Invalid value":
			return firstLine(reason)
		}
		return strings.ToLower(kind) + ": " + firstLine(reason)
	}
	return firstLine(c.Message)
}

var scalar = regexp.MustCompile(`^(?:-?[0-9][-+0-9.eE]*|true|false|null)(?:: |$)`)

// afterValue returns what follows the value at the beginning of s, with its colon. It is nothing in doubt.
func afterValue(s string) string {
	if quoted, err := strconv.QuotedPrefix(s); err == nil {
		return s[len(quoted):]
	}
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
		dec := json.NewDecoder(strings.NewReader(s))
		var value json.RawMessage
		if dec.Decode(&value) == nil {
			return s[dec.InputOffset():]
		}
	}
	if m := scalar.FindString(s); m != "" {
		return s[len(strings.TrimSuffix(m, ": ")):]
	}
	if last := strings.LastIndex(s, ": "); last >= 0 {
		return s[last:]
	}
	return ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// clip shortens s to what one cause may take.
func clip(s string) string {
	if runes := []rune(s); len(runes) > mostOfCause {
		return string(runes[:mostOfCause]) + "…"
	}
	return s
}
