package main

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
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
func checkSchedule(t *testing.T, stdin string) scheduleOutcome {
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
	return table
}

// FuzzScheduleValues changes values in the stories' documents, which comes further than changing letters does: to what passes as
// YAML and is wrong, or strange, as a placement or a member.
func FuzzScheduleValues(f *testing.F) {
	stories := scheduleStories(f)
	for seed := range uint64(50 * len(stories)) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 3))
		var documents []any
		for _, file := range readScheduleStory(t, stories[seed%uint64(len(stories))]).inputs {
			for _, text := range splitDocuments(string(file.Data)) {
				var content map[string]any
				if yaml.Unmarshal([]byte(text), &content) == nil && content != nil {
					documents = append(documents, content)
				}
			}
		}
		m := mutator{Rand: random, values: []any{nil, "", "x", "-1", "1e400", "5m", "-3Ki", true, int64(-1), int64(0), int64(1 << 40), 0.5, []any{}, map[string]any{}}}
		m.collect(documents)
		for range 1 + random.IntN(3) {
			m.mutate(documents)
		}
		data, err := json.Marshal(map[string]any{"kind": "List", "apiVersion": "v1", "items": documents})
		if err != nil {
			t.Fatal(err)
		}
		if got := checkSchedule(t, string(data)); t.Failed() {
			t.Logf("seed %d: %s\n%+v", seed, data, got)
		}
	})
}

// mutator changes values of decoded documents at random places.
type mutator struct {
	*rand.Rand
	values []any // what is put in
}

// collect adds the scalars in v to the values, so that a name comes where another was.
func (m *mutator) collect(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m.collect(v[key])
		}
	case []any:
		for _, e := range v {
			m.collect(e)
		}
	default:
		m.values = append(m.values, v)
	}
}

// mutate changes something in v, in place where that is possible.
func (m *mutator) mutate(v any) any {
	const rare = 8
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || m.IntN(rare) == 0 {
			return m.values[m.IntN(len(m.values))]
		}
		keys := slices.Sorted(maps.Keys(v))
		key := keys[m.IntN(len(keys))]
		switch m.IntN(rare) {
		case 0:
			delete(v, key)
		case 1:
			v[keys[m.IntN(len(keys))]] = v[key]
		default:
			v[key] = m.mutate(v[key])
		}
		return v
	case []any:
		if len(v) == 0 {
			return m.values[m.IntN(len(m.values))]
		}
		i := m.IntN(len(v))
		v[i] = m.mutate(v[i])
		return v
	}
	return m.values[m.IntN(len(m.values))]
}
