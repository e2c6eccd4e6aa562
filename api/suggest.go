package api

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// suggest ends the message about an unknown field with what was probably meant.
func suggest(key string, fields map[string]reflect.Type) string {
	if best := Nearest(key, slices.Sorted(maps.Keys(fields))); best != "" {
		return "; did you mean " + best + "?"
	}
	return "; remove it or mend its name"
}

// Nearest returns the candidate that word was probably meant to be, or "" when none is close. Among equally close ones
// it is the first.
func Nearest(word string, candidates []string) string {
	best, limit := "", 1+len(word)/4
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the number of single-character edits between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
