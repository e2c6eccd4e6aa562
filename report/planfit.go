package report

import (
	"fmt"
	"slices"
	"strings"
)

// room is how much of everything a comment has room for.
type room struct {
	fields  int // lines of one diff
	diffs   int // lines of all diffs
	width   int // characters of a line or a message
	objects int // by name; the others are counted by kind
	rows    int // of a list or a table
	names   int // of clusters in a row
}

// plenty is more than any comment holds.
const plenty = 1 << 30

// rooms are tried one after the other, until everything fits.
var rooms = []room{
	{fields: 400, diffs: plenty, width: 600, objects: plenty, rows: 200, names: mostNamed},
	{fields: 40, diffs: plenty, width: 400, objects: plenty, rows: 200, names: mostNamed},
	{fields: 10, diffs: plenty, width: 300, objects: plenty, rows: 100, names: mostNamed},
	{fields: 3, diffs: plenty, width: 200, objects: plenty, rows: 100, names: mostNamed},
	{fields: 3, diffs: 300, width: 200, objects: plenty, rows: 100, names: mostNamed},
	{fields: 3, diffs: 100, width: 200, objects: plenty, rows: 100, names: mostNamed},
	{fields: 3, diffs: 30, width: 200, objects: plenty, rows: 100, names: mostNamed},
	{width: 200, objects: plenty, rows: 100, names: mostNamed},
	{width: 200, objects: 400, rows: 100, names: mostNamed},
	{width: 200, objects: 150, rows: 100, names: mostNamed},
	{width: 200, rows: 100, names: mostNamed},
	{width: 160, rows: 30, names: 3},
	{width: 120, rows: 10, names: 3},
	{width: 100, rows: 3, names: 3},
	{width: 80, rows: 0, names: 1},
}

// volume is how much there is to tell of changes.
type volume struct{ objects, fields int }

func volumeOf(changes []sharedChange) volume {
	v := volume{objects: len(changes)}
	for _, c := range changes {
		v.fields += len(c.fields())
	}
	return v
}

// cuts counts what is left out, by what it is.
type cuts struct {
	nouns       []string
	left, total map[string]int
}

// some counts left of total things. A negative left is none.
func (c *cuts) some(noun string, left, total int) {
	if c.left == nil {
		c.left, c.total = map[string]int{}, map[string]int{}
	}
	c.total[noun] += total
	if left <= 0 {
		return
	}
	if c.left[noun] == 0 {
		c.nouns = append(c.nouns, noun)
	}
	c.left[noun] += left
}

// of counts one thing, and returns whether it is left out.
func (c *cuts) of(noun string, left bool) bool {
	n := 0
	if left {
		n = 1
	}
	c.some(noun, n, 1)
	return left
}

// words lists what is left out.
func (c *cuts) words() string {
	var parts []string
	for _, noun := range slices.Sorted(slices.Values(c.nouns)) {
		parts = append(parts, fmt.Sprintf("%d of %d %s", c.left[noun], c.total[noun], noun))
	}
	return strings.Join(parts, ", ")
}

// cutBytes cuts s to at most limit bytes, between characters.
func cutBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:max(0, limit)], "")
}
