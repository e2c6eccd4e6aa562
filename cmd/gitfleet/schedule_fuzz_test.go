package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzSchedule: nothing on standard input crashes the command, and it either prints a decision or says what is wrong and where.
func FuzzSchedule(f *testing.F) {
	for _, path := range scheduleStories(f) {
		s := readScheduleStory(f, path)
		var all []string
		for _, file := range s.inputs {
			if filepath.Ext(file.Name) != ".json" {
				all = append(all, string(file.Data))
			}
		}
		f.Add([]byte(joinDocuments(all)))
		f.Add([]byte(s.stdin))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkSchedule(t, string(data)) })
}

// checkSchedule holds for whatever stands on standard input.
func checkSchedule(t *testing.T, stdin string) {
	t.Helper()
	args := []string{"-f", "-", "--now", "2026-03-01T12:00:00Z"}
	table, encoded := runSchedules(args, stdin), runSchedules(append(args, "-o", "json"), stdin)
	switch {
	case table.code != encoded.code:
		t.Fatalf("exit code %d with a table and %d with JSON", table.code, encoded.code)
	case table.code == exitError && (table.stdout != "" || table.stderr == ""):
		t.Fatalf("exit code 1, and on standard output %q, on standard error %q", table.stdout, table.stderr)
	case table.code == exitError:
		for line := range strings.Lines(table.stderr) {
			if !strings.HasPrefix(line, stdinName+": document ") && !strings.HasPrefix(line, "gitfleet: no placement was found") {
				t.Fatalf("the mistake %q cannot be found", line)
			}
		}
	case !json.Valid([]byte(encoded.stdout)) || encoded.stderr != "":
		t.Fatalf("standard output %q, standard error %q", encoded.stdout, encoded.stderr)
	}
}
