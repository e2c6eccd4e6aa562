package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

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
// several clusters once. What people wrote cannot drive the terminal. color adds ANSI colours.
func (p Plan) Text(w io.Writer, color bool) error {
	t := &planText{color: color}
	t.header(p)
	t.moves(p.Moves)
	t.changes(p.Changes)
	t.services(p.Services)
	t.risks(p)
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

// columns is how wide a line gets where it can be broken at a space.
const columns = 100

// line prints s, which people may have written, indented and broken into lines; sgr colours it, "" does not.
func (t *planText) line(indent int, sgr, s string) {
	margin := strings.Repeat(" ", indent)
	for i, part := range broken(sentence(s), columns-indent, columns-indent-2) {
		if i == 1 {
			margin += "  "
		}
		if sgr != "" {
			part = t.paint(sgr, part)
		}
		t.printf("%s%s\n", margin, part)
	}
}

// broken cuts s at spaces, which go, into a line of at most first characters and more of at most others. What has no space stays whole.
func broken(s string, first, others int) []string {
	var lines []string
	line, width := "", first
	for i, word := range strings.Split(s, " ") {
		switch {
		case i == 0:
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line, width = word, others
		}
	}
	return append(lines, line)
}

func (t *planText) header(p Plan) {
	base := "nothing"
	if p.Base != "" {
		base = shortCommit(p.Base)
	}
	between := fmt.Sprintf("Plan from %s to %s: ", base, shortCommit(p.Head))
	if len(p.Errors) > 0 {
		t.line(0, red, between+count(len(p.Errors), "error")+", nothing would be applied")
		return
	}
	t.line(0, "", between+cmp.Or(extentOf(p).objects(toDo, "member"), "no change on any member"))
	t.printf("Digest %s\n", visible(p.Digest))
}

func (t *planText) moves(moves []Move) {
	if len(moves) > 0 {
		t.title("Placements")
	}
	for _, m := range shareMoves(moves) {
		sign, verb, sgr := "+", "comes to", green
		if m.Action == Lose {
			sign, verb, sgr = "-", "leaves", red
		}
		t.line(2, sgr, fmt.Sprintf("%s %s %s %s: %s", sign, m.Placement, verb, someOf(m.clusters, mostNamed, visible), m.Reason))
	}
}

// mostNamed is how many clusters are named where many are alike.
const mostNamed = 5

// changes prints what happens to each object once, below the clusters on which the very same happens.
func (t *planText) changes(changes []Change) {
	for _, c := range chapters(share(changes)) {
		t.title(fmt.Sprintf("On %s: %s", someOf(c.clusters, mostNamed, visible), c.tally().words(toDo)))
		for _, p := range c.paragraphs {
			t.line(2, "", p.title())
			for _, change := range p.changes {
				t.change(change.Change)
			}
		}
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

func (t *planText) change(c Change) {
	mark, sgr := "~", yellow
	switch c.Action {
	case apply.Create:
		mark, sgr = "+", green
	case apply.Delete:
		mark, sgr = "-", red
	}
	t.line(4, sgr, mark+" "+c.title())
	for _, field := range c.fields() {
		t.line(8, "", field)
	}
}

func (t *planText) services(services []ServiceChange) {
	if len(services) > 0 {
		t.title("Multi-cluster services")
	}
	for _, s := range services {
		t.line(2, "", fmt.Sprintf("%s %s/%s: %s", s.Action, s.Namespace, s.Name, s.Reason))
	}
}

func (t *planText) risks(p Plan) {
	if len(p.Risks) > 0 {
		t.title("Risks")
	}
	for _, r := range rankedRisks(p.Risks) {
		t.line(2, red, "! "+r.Kind+": "+r.Message)
	}
	if trailer := p.trailer(); trailer != "" {
		t.printf("  The line by which a commit message confirms it:\n    %s\n", visible(trailer))
	}
}

func (t *planText) errors(p Plan) {
	if len(p.Errors) > 0 {
		t.title("Errors")
	}
	for _, e := range p.Errors {
		t.line(2, red, e.Error())
	}
}
