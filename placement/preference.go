package placement

import (
	"fmt"
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// preference adds weight to the affinity score of the clusters that meet labels, all of it or the part that a property
// earns.
type preference struct {
	weight    int
	labels    []requirement
	property  string // empty for the whole weight
	ascending bool   // the least value earns the whole weight; otherwise the greatest does
}

func parsePreferences(preferred []v1beta1.PreferredClusterSelector) ([]preference, error) {
	var list []preference
	for i, p := range preferred {
		field := fmt.Sprintf("spec.policy.affinity.clusterAffinity.preferredDuringSchedulingIgnoredDuringExecution[%d].preference", i)
		if p.Preference.PropertySelector != nil {
			return nil, fmt.Errorf("%s.propertySelector is for required terms only: rank by the property with propertySorter", field)
		}
		if _, err := metav1.LabelSelectorAsSelector(p.Preference.LabelSelector); err != nil {
			return nil, fmt.Errorf("%s.labelSelector: %w", field, err)
		}
		one := preference{weight: int(p.Weight), labels: parseLabels(p.Preference.LabelSelector)}
		if s := p.Preference.PropertySorter; s != nil {
			if err := checkPropertyName(field+".propertySorter.name", s.Name); err != nil {
				return nil, err
			}
			if s.SortOrder != sortAscending && s.SortOrder != sortDescending {
				return nil, fmt.Errorf("%s.propertySorter.sortOrder is %q: use %s or %s", field, s.SortOrder, sortAscending, sortDescending)
			}
			one.property, one.ascending = s.Name, s.SortOrder == sortAscending
		}
		list = append(list, one)
	}
	return list, nil
}

const (
	sortAscending  = "Ascending"
	sortDescending = "Descending"
)

// affinities returns the affinity score of every candidate, by position. A property that some cluster reports as no
// quantity ranks nobody.
func (f *Fleet) affinities(preferences []preference) []int {
	scores := make([]int, len(f.candidates))
	for _, p := range preferences {
		of, members := f.classes(f.columnsOf([]term{{labels: p.labels}}))
		matches := make([]bool, len(members))
		for class, i := range members {
			matches[class] = all(p.labels, f.candidates[i].Labels)
		}
		col, weights := f.unset, []int{p.weight}
		if p.property != "" {
			col = f.property(p.property)
			weights = p.weights(col)
		}
		for i := range scores {
			if matches[of[i]] {
				scores[i] += weights[col.of[i]]
			}
		}
	}
	return scores
}

// weights returns what each value of the property earns, by its number. It interpolates between the least and the greatest
// value of the whole fleet, eligible or not; without a value, or where all are equal, there is nothing to earn.
func (p preference) weights(col column) []int {
	weights := make([]int, len(col.values))
	if len(col.values) == 1 {
		return weights
	}
	least, greatest := col.readings[1], col.readings[1]
	for _, r := range col.readings[1:] {
		if r.bad {
			return make([]int, len(col.values))
		}
		if r.quantity.Cmp(least.quantity) < 0 {
			least = r
		}
		if r.quantity.Cmp(greatest.quantity) > 0 {
			greatest = r
		}
	}
	span := greatest.number - least.number
	if span == 0 {
		return weights
	}
	for number, r := range col.readings[1:] {
		part := (r.number - least.number) / span
		if p.ascending {
			part = 1 - part
		}
		weights[number+1] = int(math.Round(part * float64(p.weight))) // half away from zero
	}
	return weights
}
