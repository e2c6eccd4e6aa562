package placement

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// term is one cluster selector term: all its requirements must be met. An empty one is met by every cluster.
type term []requirement

// requirement is one condition on one label. Values are sorted and unique.
type requirement struct {
	Key      string
	Operator metav1.LabelSelectorOperator
	Values   []string
}

// match tells whether labels meet any of terms, and which, or else everything that keeps them from it.
// No terms at all are met by every cluster, as upstream.
func match(terms []term, labels map[string]string) (bool, string) {
	if len(terms) == 0 {
		return true, "the policy requires nothing, so every cluster matches"
	}
	var failures []string
	for i, t := range terms {
		failed := false
		for _, r := range t {
			if reason := r.unmet(labels); reason != "" {
				failures = append(failures, fmt.Sprintf("%s, term %d %s", reason, i+1, r.wish()))
				failed = true
			}
		}
		if !failed {
			return true, t.met(i+1, labels)
		}
	}
	return false, strings.Join(failures, "; ")
}

// met says how labels meet term number n.
func (t term) met(n int, labels map[string]string) string {
	if len(t) == 0 {
		return fmt.Sprintf("term %d is empty, so every cluster matches", n)
	}
	facts := make([]string, len(t))
	for i, r := range t {
		facts[i] = describe(r.Key, labels)
	}
	return fmt.Sprintf("matches term %d: %s", n, strings.Join(slices.Compact(facts), ", "))
}

// unmet returns what the labels are when r is not met, and "" when it is. An absent label meets NotIn, as everywhere in
// Kubernetes.
func (r requirement) unmet(labels map[string]string) string {
	value, set := labels[r.Key]
	var ok bool
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		ok = set && slices.Contains(r.Values, value)
	case metav1.LabelSelectorOpNotIn:
		ok = !set || !slices.Contains(r.Values, value)
	case metav1.LabelSelectorOpExists:
		ok = set
	case metav1.LabelSelectorOpDoesNotExist:
		ok = !set
	}
	if ok {
		return ""
	}
	return describe(r.Key, labels)
}

// wish says what r asks for, to follow "term 1".
func (r requirement) wish() string {
	values := strings.Join(r.Values, ", ")
	switch r.Operator {
	case metav1.LabelSelectorOpNotIn:
		return "excludes " + values
	case metav1.LabelSelectorOpExists:
		return "wants it set"
	case metav1.LabelSelectorOpDoesNotExist:
		return "wants it absent"
	}
	if len(r.Values) > 1 {
		return "wants one of " + values
	}
	return "wants " + values
}

// describe says what label key is now.
func describe(key string, labels map[string]string) string {
	value, set := labels[key]
	switch {
	case !set:
		return "label " + key + " is not set"
	case value == "":
		return "label " + key + " is empty"
	}
	return "label " + key + " is " + value
}
