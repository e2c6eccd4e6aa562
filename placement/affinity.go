package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// term is one cluster selector term: all its requirements must be met. An empty one is met by every cluster.
type term struct {
	labels     []requirement
	properties []comparison
}

// requirement is one condition on one label. Values are sorted and unique.
type requirement struct {
	Key      string
	Operator metav1.LabelSelectorOperator
	Values   []string
	wish     string // to follow "term 1"
}

// match tells whether the candidate at position i meets any of terms, and which, or else everything that keeps it from it.
// No terms at all are met by every cluster, as upstream.
func (f *Fleet) match(terms []term, i int) (answer, string) {
	if len(terms) == 0 {
		return yes, "the policy requires nothing, so every cluster matches"
	}
	best := no
	for n, t := range terms {
		best = max(best, t.judge(f, i))
		if best == yes {
			return yes, t.met(f, i, n+1)
		}
	}
	text := make([]byte, 0, 128)
	for n, t := range terms {
		text = t.appendUnmet(text, f, i, n+1)
	}
	return best, string(text)
}

// judge tells whether the candidate at position i meets t.
func (t term) judge(f *Fleet, i int) answer {
	if !all(t.labels, f.candidates[i].Labels) {
		return no
	}
	least := yes
	for _, c := range t.properties {
		least = min(least, c.judge(f, i))
	}
	return least
}

// appendUnmet appends everything that keeps the candidate at position i from t, which is term number n.
func (t term) appendUnmet(text []byte, f *Fleet, i, n int) []byte {
	for _, r := range t.labels {
		if !r.met(f.candidates[i].Labels) {
			text = appendFailure(text, describe(r.Key, f.candidates[i].Labels), n, r.wish)
		}
	}
	for _, c := range t.properties {
		if c.judge(f, i) != yes {
			text = appendFailure(text, c.describe(f, i), n, c.wish)
		}
	}
	return text
}

func appendFailure(text []byte, fact string, n int, wish string) []byte {
	if len(text) > 0 {
		text = append(text, "; "...)
	}
	text = append(text, fact...)
	text = append(text, ", term "...)
	text = strconv.AppendInt(text, int64(n), 10)
	text = append(text, ' ')
	return append(text, wish...)
}

// met says how the candidate at position i meets t, which is term number n.
func (t term) met(f *Fleet, i, n int) string {
	if len(t.labels)+len(t.properties) == 0 {
		return fmt.Sprintf("term %d is empty, so every cluster matches", n)
	}
	var facts []string
	for _, r := range t.labels {
		facts = append(facts, describe(r.Key, f.candidates[i].Labels))
	}
	for _, c := range t.properties {
		facts = append(facts, c.describe(f, i))
	}
	return fmt.Sprintf("matches term %d: %s", n, strings.Join(slices.Compact(facts), ", "))
}

// failsForSure tells whether the candidate at position i is known to meet none of terms. Labels are always known. Of what a
// cluster reports only what can be seen counts: a property that nobody may read now may well be as wanted.
func (f *Fleet) failsForSure(terms []term, i int) bool {
	c := f.candidates[i]
	for _, t := range terms {
		failsByLabel := !all(t.labels, c.Labels)
		failsByProperty := slices.ContainsFunc(t.properties, func(c comparison) bool { return seen(f, i, c) && c.judge(f, i) == no })
		if !failsByLabel && !failsByProperty {
			return false
		}
	}
	return true
}

// seen tells whether the candidate at position i is in touch and reports the property that c asks about.
func seen(f *Fleet, i int, c comparison) bool {
	_, reported := f.candidates[i].Properties[c.property]
	return reported && f.candidates[i].Ineligible == ""
}

// keys adds the keys of the labels and the names of the properties that t asks about.
func (t term) keys(labels, properties map[string]bool) {
	for _, r := range t.labels {
		labels[r.Key] = true
	}
	for _, c := range t.properties {
		properties[c.property] = true
	}
}

// all tells whether labels meet every requirement.
func all(requirements []requirement, labels map[string]string) bool {
	for _, r := range requirements {
		if !r.met(labels) {
			return false
		}
	}
	return true
}

// met tells whether labels meet r. An absent label meets NotIn, as everywhere in Kubernetes.
func (r requirement) met(labels map[string]string) bool {
	value, set := labels[r.Key]
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		return set && slices.Contains(r.Values, value)
	case metav1.LabelSelectorOpNotIn:
		return !set || !slices.Contains(r.Values, value)
	case metav1.LabelSelectorOpExists:
		return set
	}
	return !set
}

// wording says what r asks for, to follow "term 1".
func (r requirement) wording() string {
	shown := make([]string, len(r.Values))
	for i, v := range r.Values {
		shown[i] = named(v)
	}
	values := strings.Join(shown, ", ")
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
