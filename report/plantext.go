package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// JSON writes p as one indented document; lists are [] rather than null.
func (p Plan) JSON(w io.Writer) error {
	p.Changes, p.Placements, p.Moves = orEmpty(p.Changes), orEmpty(p.Placements), orEmpty(p.Moves)
	p.Services, p.Risks, p.Errors = orEmpty(p.Services), orEmpty(p.Risks), orEmpty(p.Errors)
	p.Placements = slices.Clone(p.Placements)
	for i := range p.Placements {
		p.Placements[i].Verdicts = orEmpty(p.Placements[i].Verdicts)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // diffs hold ->
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p); err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Text writes p for a terminal: moved placements, changed objects, services, risks and errors, the same change on
// several clusters once. color adds ANSI colours.
func (p Plan) Text(w io.Writer, color bool) error {
	t := &planText{color: color}
	t.header(p)
	t.moves(p.Moves)
	t.changes(p.Changes)
	t.services(p.Services)
	t.risks(p.Risks)
	t.errors(p)
	_, err := w.Write(t.b.Bytes())
	return err
}

// planText collects the text of one plan.
type planText struct {
	b     bytes.Buffer
	color bool
}

// The colours, as ANSI SGR parameters.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
)

func (t *planText) paint(sgr, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

func (t *planText) printf(format string, args ...any) { fmt.Fprintf(&t.b, format, args...) }

func (t *planText) title(s string) { t.printf("\n%s\n", t.paint(bold, s)) }

func (t *planText) header(p Plan) {
	base := "nothing"
	if p.Base != "" {
		base = shortCommit(p.Base)
	}
	t.printf("Plan from %s to %s: ", base, shortCommit(p.Head))
	if len(p.Errors) > 0 {
		t.printf("%s\n", t.paint(red, count(len(p.Errors), "error")+", nothing would be applied"))
		return
	}
	clusters, done := map[string]bool{}, map[apply.Action]int{}
	for _, c := range p.Changes {
		clusters[c.Cluster] = true
		done[c.Action]++
	}
	if len(p.Changes) == 0 {
		t.printf("no change on any member")
	} else {
		t.printf("%d to create, %d to update, %d to delete on %s",
			done[apply.Create], done[apply.Update], done[apply.Delete], count(len(clusters), "member"))
	}
	t.printf("\nDigest %s\n", p.Digest)
}

func (t *planText) moves(moves []Move) {
	if len(moves) > 0 {
		t.title("Placements")
	}
	for _, m := range moves {
		line := t.paint(green, fmt.Sprintf("+ %s comes to %s", m.Placement, m.Cluster))
		if m.Action == Lose {
			line = t.paint(red, fmt.Sprintf("- %s leaves %s", m.Placement, m.Cluster))
		}
		t.printf("  %s: %s\n", line, m.Reason)
	}
}

// changes prints what happens to each object once, with the clusters on which the very same happens.
func (t *planText) changes(changes []Change) {
	if len(changes) > 0 {
		t.title("Objects")
	}
	var order []Change // with an empty Cluster
	clusters := map[Change][]string{}
	for _, c := range changes {
		on := c.Cluster
		c.Cluster = ""
		if _, seen := clusters[c]; !seen {
			order = append(order, c)
		}
		clusters[c] = append(clusters[c], on)
	}
	slices.SortStableFunc(order, func(a, b Change) int { return a.Ref().Compare(b.Ref()) })
	for _, c := range order {
		t.change(c, clusters[c])
	}
}

// Ref returns the identity of the object that changes.
func (c Change) Ref() api.Ref {
	gv, err := schema.ParseGroupVersion(c.APIVersion)
	if err != nil {
		gv = schema.GroupVersion{Version: c.APIVersion}
	}
	return api.Ref{Group: gv.Group, Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}
}

func (t *planText) change(c Change, clusters []string) {
	mark, sgr, source := "~", yellow, c.Source
	switch c.Action {
	case apply.Create:
		mark, sgr = "+", green
	case apply.Delete:
		mark, sgr, source = "-", red, "formerly "+c.Source
	}
	slices.Sort(clusters)
	t.printf("  %s\n", t.paint(sgr, fmt.Sprintf("%s %s %s", mark, c.Action, c.Ref())))
	t.printf("      on %s\n", strings.Join(clusters, ", "))
	t.printf("      placement %s, %s: %s\n", c.Placement, source, c.Reason)
	if c.Diff == "" {
		return
	}
	for _, line := range strings.Split(c.Diff, "\n") {
		t.printf("        %s\n", line)
	}
}

func (t *planText) services(services []ServiceChange) {
	if len(services) > 0 {
		t.title("Multi-cluster services")
	}
	for _, s := range services {
		t.printf("  %s %s/%s: %s\n", s.Action, s.Namespace, s.Name, s.Reason)
	}
}

func (t *planText) risks(risks []Risk) {
	if len(risks) > 0 {
		t.title("Risks")
	}
	for _, r := range risks {
		t.printf("  %s %s\n", t.paint(red, "! "+r.Kind+":"), r.Message)
	}
}

func (t *planText) errors(p Plan) {
	if len(p.Errors) > 0 {
		t.title("Errors")
	}
	for _, e := range p.Errors {
		t.printf("  %s\n", t.paint(red, oneLine(e.Error())))
	}
}
