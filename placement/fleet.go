package placement

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Fleet is a set of candidates, indexed once for decisions on many placements. It never changes.
type Fleet struct {
	candidates []Candidate // by name
	labels     map[string]column
	properties map[string]column
	ineligible column
	taints     column
	unset      column // of a key that no candidate has
}

// column tells which of the values that occur in the fleet a candidate has for one key. Values are numbered from 1 in the
// order of the candidates that have them; 0 stands for no value.
type column struct {
	of       []int32   // by position of the candidate
	values   []string  // by number
	readings []reading // by number, of a property
}

// NewFleet indexes candidates, whose names are unique and whose order does not matter.
func NewFleet(candidates []Candidate) *Fleet {
	labels, properties := map[string]bool{}, map[string]bool{}
	for _, c := range candidates {
		for key := range c.Labels {
			labels[key] = true
		}
		for name := range c.Properties {
			properties[name] = true
		}
	}
	return index(candidates, labels, properties)
}

// index returns a Fleet that knows these keys only.
func index(candidates []Candidate, labels, properties map[string]bool) *Fleet {
	f := &Fleet{candidates: slices.Clone(candidates), labels: map[string]column{}, properties: map[string]column{}}
	slices.SortFunc(f.candidates, func(a, b Candidate) int { return strings.Compare(a.Name, b.Name) })
	for i := range f.candidates {
		if c := &f.candidates[i]; c.Leaving {
			c.Ineligible = cmp.Or(c.Ineligible, leaving)
		}
	}
	for key := range labels {
		f.labels[key] = f.column(func(c *Candidate) (string, bool) { v, ok := c.Labels[key]; return v, ok })
	}
	for name := range properties {
		col := f.column(func(c *Candidate) (string, bool) { v, ok := c.Properties[name]; return v, ok })
		col.readings = make([]reading, len(col.values))
		for number, value := range col.values[1:] {
			col.readings[number+1] = read(value)
		}
		f.properties[name] = col
	}
	f.ineligible = f.column(func(c *Candidate) (string, bool) { return c.Ineligible, c.Ineligible != "" })
	f.taints = f.column(func(c *Candidate) (string, bool) { return keyOf(c.Taints), len(c.Taints) > 0 })
	f.unset = f.column(func(*Candidate) (string, bool) { return "", false })
	return f
}

func (f *Fleet) column(value func(*Candidate) (string, bool)) column {
	col := column{of: make([]int32, len(f.candidates)), values: []string{""}}
	numbers := map[string]int32{}
	for i := range f.candidates {
		v, ok := value(&f.candidates[i])
		if !ok {
			continue
		}
		number, known := numbers[v]
		if !known {
			number = int32(len(col.values))
			numbers[v] = number
			col.values = append(col.values, v)
		}
		col.of[i] = number
	}
	return col
}

func (f *Fleet) label(key string) column {
	if col, ok := f.labels[key]; ok {
		return col
	}
	return f.unset
}

func (f *Fleet) property(name string) column {
	if col, ok := f.properties[name]; ok {
		return col
	}
	return f.unset
}

// classes numbers the candidates so that two have the same number when they have the same values in all columns. It
// returns the numbers by position, and one candidate of each class. What is said of a class is worked out once: a
// fleet has far fewer classes than clusters.
func (f *Fleet) classes(columns []column) (of []int32, members []int) {
	of = make([]int32, len(f.candidates))
	if len(f.candidates) == 0 {
		return of, nil
	}
	members = []int{0}
	for _, col := range columns {
		if len(col.values) > 1 {
			members = refine(of, members, col)
		}
	}
	return of, members
}

// refine splits the classes in of, of which there are len(members), by col.
func refine(of []int32, members []int, col column) []int {
	width := len(col.values)
	// A table is the faster one, but must not outgrow the fleet, since it is cleared for every placement.
	// Both are by pair of class and value; they count from 1, as 0 is not yet numbered.
	var table []int
	var places map[int]int
	small := len(members)*width <= 8*len(of)+64
	if small {
		table = make([]int, len(members)*width)
	} else {
		places = map[int]int{}
	}
	members = members[:0:0]
	for i := range of {
		pair := int(of[i])*width + int(col.of[i])
		class := 0
		if small {
			class = table[pair]
		} else {
			class = places[pair]
		}
		if class == 0 {
			members = append(members, i)
			class = len(members)
			if small {
				table[pair] = class
			} else {
				places[pair] = class
			}
		}
		of[i] = int32(class - 1)
	}
	return members
}

// mark returns which candidates names holds, by position. Names that no candidate bears are left out.
func (f *Fleet) mark(names []string) []bool {
	marks := make([]bool, len(f.candidates))
	next := 0
	for _, name := range names {
		// Names are usually sorted, and often all of them.
		if next >= len(f.candidates) || f.candidates[next].Name != name {
			at, ok := f.find(name)
			if !ok {
				continue
			}
			next = at
		}
		marks[next] = true
		next++
	}
	return marks
}

// find returns the position of the candidate of that name.
func (f *Fleet) find(name string) (int, bool) {
	return slices.BinarySearchFunc(f.candidates, name, func(c Candidate, name string) int { return strings.Compare(c.Name, name) })
}

// columnsOf returns the columns that any of terms asks about, each once.
func (f *Fleet) columnsOf(terms []term) []column {
	labels, properties := map[string]bool{}, map[string]bool{}
	for _, t := range terms {
		t.keys(labels, properties)
	}
	var columns []column
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		columns = append(columns, f.label(key))
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		columns = append(columns, f.property(name))
	}
	return columns
}
