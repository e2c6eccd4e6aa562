package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gitfleet/gitfleet/placement"
)

// scheduledPlacement is one decision as `gitfleet schedule -o json` prints it. Unlike placement.Decision it always has a
// namespace, which is empty for a ClusterResourcePlacement.
type scheduledPlacement struct {
	Name      string              `json:"name"`
	Namespace string              `json:"namespace"`
	Scheduled placement.Scheduled `json:"scheduled"`
	Unfilled  int                 `json:"unfilled"`
	Clusters  []placement.Verdict `json:"clusters"`
}

// ScheduleJSON writes decisions in their order, as one indented document: a contract, fields are added and never renamed.
func ScheduleJSON(w io.Writer, decisions []placement.Decision) error {
	out := struct {
		Placements []scheduledPlacement `json:"placements"`
	}{[]scheduledPlacement{}}
	for _, d := range decisions {
		out.Placements = append(out.Placements, scheduledPlacement{Name: d.Name, Namespace: d.Namespace, Scheduled: d.Scheduled,
			Unfilled: d.Unfilled, Clusters: orEmpty(d.Verdicts)})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // reasons hold < and >
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return fmt.Errorf("encode schedule: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Columns of text: what a page is wide, and what a reason needs at least, however long the names before it are.
const (
	scheduleWidth    = 120
	leastReasonWidth = 48
)

// ScheduleTable writes decisions in their order for a terminal: for each placement what became of it, and a line or more
// for every cluster. Reasons are wrapped to stay in their column.
func ScheduleTable(w io.Writer, decisions []placement.Decision) error {
	var b bytes.Buffer
	for i, d := range decisions {
		if i > 0 {
			b.WriteByte('\n')
		}
		writeSchedule(&b, d)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeSchedule(b *bytes.Buffer, d placement.Decision) {
	fmt.Fprintf(b, "%s: Scheduled %s, %s", d.Key(), d.Scheduled.Status, d.Scheduled.Reason)
	if d.Unfilled > 0 {
		fmt.Fprintf(b, ", %d unfilled", d.Unfilled)
	}
	b.WriteByte('\n')
	for _, line := range wrap(oneLine(d.Scheduled.Message), scheduleWidth-2) {
		fmt.Fprintf(b, "  %s\n", line)
	}
	if len(d.Verdicts) == 0 {
		return
	}
	rows := [][]string{{"CLUSTER", "SELECTED", "AFFINITY", "SPREAD", "REASON"}}
	for _, v := range d.Verdicts {
		rows = append(rows, []string{oneLine(v.Cluster), strconv.FormatBool(v.Selected), strconv.Itoa(v.Affinity),
			strconv.Itoa(v.TopologySpread), oneLine(v.Reason)})
	}
	b.WriteByte('\n')
	writeWrapped(b, rows, "  ")
}

// writeWrapped writes rows as a table whose last column is wrapped.
func writeWrapped(b *bytes.Buffer, rows [][]string, indent string) {
	last := len(rows[0]) - 1
	widths := make([]int, last)
	start := len(indent)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		start += widths[i] + len("   ")
	}
	for _, row := range rows {
		b.WriteString(indent)
		for i, width := range widths {
			fmt.Fprintf(b, "%-*s   ", width, row[i])
		}
		for n, line := range wrap(row[last], max(scheduleWidth-start, leastReasonWidth)) {
			if n > 0 {
				b.WriteString(strings.Repeat(" ", start))
			}
			b.WriteString(line + "\n")
		}
	}
}

// wrap breaks text between words into lines of at most width characters. A longer word has a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	return append(lines, line)
}
