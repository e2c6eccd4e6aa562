package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutation is one way to break a file.
type mutation struct {
	at          string // where it is listed, for messages
	file        string // in the directory of the package
	breaks      string // what it breaks, in words
	original    string
	replacement string
}

// readList reads the mutations of the package in dir.
func readList(dir string) ([]mutation, error) {
	name := filepath.Join(dir, filepath.FromSlash(listName))
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseList(filepath.ToSlash(name), string(text))
}

// parseList reads mutations from text: a line "FILE: what it breaks", the original lines after "-", and what they become
// after "+", of which there may be none. Lines after "#" and empty lines are skipped.
func parseList(name, text string) ([]mutation, error) {
	var list []mutation
	var original, replacement []string
	finish := func() error {
		if len(list) == 0 {
			return nil
		}
		m := &list[len(list)-1]
		m.original, m.replacement = strings.Join(original, "\n"), strings.Join(replacement, "\n")
		original, replacement = nil, nil
		if strings.TrimSpace(m.original) == "" || m.original == m.replacement {
			return fmt.Errorf("%s: the mutation changes nothing: give the original after - and what it becomes after +", m.at)
		}
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, i+1)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '-' && len(list) > 0:
			original = append(original, line[1:])
		case line[0] == '+' && len(list) > 0:
			replacement = append(replacement, line[1:])
		default:
			if err := finish(); err != nil {
				return nil, err
			}
			file, breaks, ok := strings.Cut(line, ": ")
			if !ok {
				return nil, fmt.Errorf("%s: %q is no line of a list: want FILE: what it breaks, or a line after -, + or #", at, line)
			}
			list = append(list, mutation{at: at, file: file, breaks: breaks})
		}
	}
	return list, finish()
}

// apply returns text with the original replaced. It must be there exactly once, or the list is out of date.
func (m mutation) apply(text string) (string, error) {
	if n := strings.Count(text, m.original); n != 1 {
		return "", fmt.Errorf("%s: %s holds the original %d times instead of once; bring the list up to date:\n%s", m.at, m.file, n, m.original)
	}
	return strings.Replace(text, m.original, m.replacement, 1), nil
}
