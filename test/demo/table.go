package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A row is one line of a table that kubectl or gitfleet printed, by column.
type row map[string]string

// columnName matches one name of a header: columns are at least two spaces apart, a name may hold single ones.
var columnName = regexp.MustCompile(`\S+( \S+)*`)

// parseTable reads a table whose header must be exactly these columns. Cells stand below the beginning of their column.
func parseTable(out string, columns ...string) ([]row, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if header := columnName.FindAllString(lines[0], -1); !slices.Equal(header, columns) {
		return nil, fmt.Errorf("expected the columns %s, got: %s", strings.Join(columns, ", "), lines[0])
	}
	starts := columnName.FindAllStringIndex(lines[0], -1)
	var rows []row
	for _, line := range lines[1:] {
		r := row{}
		for i, c := range columns {
			from, to := min(starts[i][0], len(line)), len(line)
			if i+1 < len(columns) {
				to = min(starts[i+1][0], len(line))
			}
			r[c] = strings.TrimSpace(line[from:to])
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// find returns the row of that name, whose cells must be as wanted.
func find(rows []row, name string, want row) (row, error) {
	i := slices.IndexFunc(rows, func(r row) bool { return r["NAME"] == name })
	if i < 0 {
		return nil, fmt.Errorf("expected a row %s, got %d rows without it", name, len(rows))
	}
	for _, column := range slices.Sorted(maps.Keys(want)) {
		if got := rows[i][column]; got != want[column] {
			return nil, fmt.Errorf("%s: expected %s %s, got %q", name, column, want[column], got)
		}
	}
	return rows[i], nil
}
