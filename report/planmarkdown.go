package report

import (
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
)

// MarkdownOptions is what a plan does not know of itself.
type MarkdownOptions struct {
	Title   string // of the pull request, as its author wrote it; empty for none
	URL     string // where the whole plan can be seen, http or https; empty for nowhere
	Offline bool   // no cluster was asked
}

// Markdown writes p as a comment of at most limit bytes for a forge: GitHub, GitLab, Gitea or Forgejo. What does not fit is
// left out in the order in which it is missed least: the ends of diffs, diffs, the names of objects, the ends of lists. The
// comment says what, and how to see it. Nothing that people wrote can act as Markdown, HTML or a mention.
func (p Plan) Markdown(limit int, o MarkdownOptions) string {
	shared := share(p.Changes)
	m := markdown{
		Plan: p, options: o, extent: extentOf(p), risks: rankedRisks(p.Risks), moves: shareMoves(p.Moves),
		chapters: chapters(shared), groups: groupClusters(shared), all: volumeOf(shared),
	}
	for _, r := range rooms {
		if text := m.in(r); len(text) <= limit {
			return text
		}
	}
	return cutBytes("gitfleet plan: "+m.figures()+"\n", limit)
}

// markdown writes one plan, again and again until it fits.
type markdown struct {
	Plan
	options  MarkdownOptions
	extent   extent
	risks    []Risk
	moves    []sharedMove
	chapters []chapter
	groups   []clusterGroup

	b    strings.Builder
	room room // what is left of it
	all  volume
	told volume
	cuts cuts
}

// in writes the plan as it fits r, however long that is.
func (m *markdown) in(r room) string {
	m.b.Reset()
	m.room, m.told, m.cuts = r, volume{}, cuts{}
	m.head()
	m.writeErrors()
	m.writeRisks()
	m.table()
	m.writeMoves()
	m.services()
	m.details()
	m.foot()
	return m.b.String()
}

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(&m.b, format, args...) }

// quote is span for text that may be long.
func (m *markdown) quote(s string) string { return span(m.short(sentence(s))) }

// short cuts s to the width there is room for, and counts that.
func (m *markdown) short(s string) string {
	if m.cuts.of("long lines", len([]rune(s)) > m.room.width) {
		return shorten(s, m.room.width)
	}
	return s
}

// head is a headline with the figures, and what was compared.
func (m *markdown) head() {
	if m.nothing() {
		m.printf("**gitfleet plan**: nothing changes on any cluster. %s", m.compared())
		if m.Digest != "" {
			m.printf(" Digest %s.", m.quote(m.Digest))
		}
		m.b.WriteString("\n")
		return
	}
	m.b.WriteString("### gitfleet plan")
	if m.options.Title != "" {
		m.b.WriteString(": " + span(Describe(m.options.Title, 120)))
	}
	m.printf("\n\n**%s.** %s\n", m.figures(), m.compared())
}

// nothing tells whether there is nothing to tell.
func (p Plan) nothing() bool {
	return len(p.Changes)+len(p.Moves)+len(p.Services)+len(p.Risks)+len(p.Errors) == 0
}

// compared says what the plan is between.
func (m *markdown) compared() string {
	text := "From nothing to "
	switch {
	case m.Base != "":
		text = "From " + span(shortCommit(m.Base)) + " to "
	case len(m.Errors) > 0: // a head that does not render is compared with nothing, whatever there is
		text = "At "
	}
	text += span(shortCommit(m.Head)) + "."
	if m.options.Offline {
		text += " Planned from Git alone: no cluster was asked."
	}
	return text
}

// figures is the plan in numbers, in words of ours alone.
func (m *markdown) figures() string {
	if n := len(m.Errors); n > 0 {
		return count(n, "error") + " in the manifests: nothing would be applied"
	}
	var parts []string
	for _, s := range []string{m.extent.objects(done, "cluster"), m.extent.placements()} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if n := m.extent.services; n > 0 {
		parts = append(parts, count(n, "multi-cluster service")+" touched")
	}
	if len(parts) == 0 {
		parts = append(parts, "Nothing changes on any cluster")
	}
	if n := len(m.risks); n > 0 {
		parts = append(parts, count(n, "risk"))
	}
	return strings.Join(parts, "; ")
}

// list writes all under a title, the first few open to the eye. noun, a plural, names what there is no room for.
func (m *markdown) list(title, noun string, open int, all []string) {
	if len(all) == 0 {
		return
	}
	m.printf("\n#### %s\n\n", title)
	shown := all[:min(len(all), m.room.rows)]
	m.cuts.some(noun, len(all)-len(shown), len(all))
	folded := len(shown) > open+open/2 // folding a few is not worth the click
	for i, e := range shown {
		if folded && i == open {
			m.printf("\n<details><summary>%d more</summary>\n\n", len(shown)-open)
		}
		m.printf("- %s\n", e)
	}
	if folded {
		m.b.WriteString("\n</details>\n")
	}
	if more := len(all) - len(shown); more > 0 {
		m.printf("\n… and %d more (of %d)\n", more, len(all))
	}
}

// entries writes the entries of a list for which there is room; the others, which are only counted, are empty.
func entries[T any](m *markdown, all []T, write func(T) string) []string {
	list := make([]string, len(all))
	for i, e := range all[:min(len(all), m.room.rows)] {
		list[i] = write(e)
	}
	return list
}

func (m *markdown) writeErrors() {
	m.list("Errors", "errors", 30, entries(m, m.Errors, func(e render.ManifestError) string {
		where := m.quote(e.File)
		if e.Document > 0 {
			where += fmt.Sprintf(", document %d", e.Document)
		}
		if e.Field != "" {
			where += ", " + m.quote(e.Field)
		}
		return where + ": " + m.quote(e.Message)
	}))
}

func (m *markdown) writeRisks() {
	m.list("⚠️ "+count(len(m.risks), "risk"), "risks", 20, entries(m, m.risks, func(r Risk) string {
		title := m.quote(r.Kind)
		if i := r.rank(); i < len(riskWords) {
			title = riskWords[i].words
		}
		return "**" + title + ":** " + m.quote(r.Message)
	}))
	if m.room.rows < len(m.risks) {
		m.printf("\n%s\n", m.riskFigures())
	}
	if trailer := m.trailer(); trailer != "" {
		m.printf("\nThe line by which a commit message confirms it:\n\n%s", fence("", []string{visible(trailer)}))
	}
}

// riskFigures counts the risks of every kind, where not all of them are listed.
func (m *markdown) riskFigures() string {
	counts := make([]int, len(riskWords)+1)
	for _, r := range m.risks {
		counts[r.rank()]++
	}
	var parts []string
	for i, n := range counts {
		switch {
		case n == 0:
		case i == len(riskWords):
			parts = append(parts, fmt.Sprintf("others: %d", n))
		default:
			parts = append(parts, fmt.Sprintf("%s: %d", riskWords[i].words, n))
		}
	}
	return strings.Join(parts, "; ")
}

// table counts what happens on every cluster.
func (m *markdown) table() {
	if len(m.groups) == 0 {
		return
	}
	m.b.WriteString("\n| On each of | created | changed | deleted |\n|---|--:|--:|--:|\n")
	shown := min(len(m.groups), m.room.rows)
	for _, g := range m.groups[:shown] {
		m.row(someOf(g.clusters, m.room.names, func(s string) string { return cell(m.short(s)) }), g.each)
	}
	if rest := m.groups[shown:]; len(rest) > 0 {
		var all tally
		clusters := 0
		for _, g := range rest {
			clusters += len(g.clusters)
			for range g.clusters {
				all = all.plus(g.each)
			}
		}
		m.row(count(clusters, "more cluster")+", together", all)
		m.cuts.some("rows of the table", len(rest), len(m.groups))
	}
}

func (m *markdown) row(title string, t tally) {
	m.printf("| %s | %d | %d | %d |\n", title, t.created, t.changed, t.deleted)
}

func (m *markdown) writeMoves() {
	m.list("Placements", "moves of placements", 10, entries(m, m.moves, func(move sharedMove) string {
		verb := "comes to"
		if move.Action == Lose {
			verb = "leaves"
		}
		on := someOf(move.clusters, m.room.names, m.quote)
		return fmt.Sprintf("%s **%s** %s: %s", m.quote(move.Placement), verb, on, m.quote(move.Reason))
	}))
}

func (m *markdown) services() {
	m.list("Multi-cluster services", "services", 10, entries(m, m.Services, func(s ServiceChange) string {
		var t tally
		t.add(apply.Action(s.Action), 1)
		verb := strings.TrimPrefix(t.words(done), "1 ")
		return fmt.Sprintf("%s **%s**: %s", m.quote(s.Namespace+"/"+s.Name), verb, m.quote(s.Reason))
	}))
}

// details tells every change once, folded where it is more than a glance.
func (m *markdown) details() {
	if len(m.chapters) == 0 {
		return
	}
	m.b.WriteString("\n#### Objects\n")
	shown := m.chapters[:min(len(m.chapters), m.room.rows)]
	var blocks [][]string
	lines := 0
	for _, c := range shown {
		block := m.chapter(c)
		blocks = append(blocks, block)
		lines += len(block)
	}
	const glance = 30 // lines
	open := ""
	if lines <= glance {
		open = " open"
	}
	for i, c := range shown {
		on := someOf(c.clusters, m.room.names, func(s string) string { return codeTag(m.short(s)) })
		m.printf("\n<details%s><summary>On %s: %s</summary>\n\n%s\n</details>\n", open, on, c.tally().words(done), fence("diff", blocks[i]))
	}
	m.cuts.some("sets of clusters", len(m.chapters)-len(shown), len(m.chapters))
	m.cuts.some("names of objects", m.all.objects-m.told.objects, m.all.objects)
	m.cuts.some("fields of diffs", m.all.fields-m.told.fields, m.all.fields)
}

// chapter writes what happens on some clusters as the lines of a diff: what comes begins with +, what goes with -.
func (m *markdown) chapter(c chapter) []string {
	var lines []string
	for _, p := range c.paragraphs[:min(len(c.paragraphs), m.room.rows)] {
		lines = append(lines, m.line(fmt.Sprintf("@@ %s @@", p.title())))
		named := min(len(p.changes), m.room.objects)
		m.room.objects -= named
		m.told.objects += named
		for _, change := range p.changes[:named] {
			lines = append(lines, m.change(change.Change)...)
		}
		lines = append(lines, m.kinds(p.changes[named:], named > 0)...)
	}
	m.cuts.some("groups of objects", len(c.paragraphs)-m.room.rows, len(c.paragraphs))
	return lines
}

// line is a line of a block of code.
func (m *markdown) line(s string) string { return m.short(sentence(s)) }

func (m *markdown) change(c Change) []string {
	title := fmt.Sprintf("%s %s", signOf(c.Action), c.title())
	fields := c.fields()
	if len(fields) == 0 {
		return []string{m.line(title)}
	}
	shown := fields[:min(len(fields), m.room.fields, m.room.diffs)]
	m.room.diffs -= len(shown)
	m.told.fields += len(shown)
	if len(shown) == 0 {
		return []string{m.line(title + ": " + count(len(fields), "field"))}
	}
	lines := []string{m.line(title)}
	for _, f := range shown {
		for _, side := range sidesOf(f) {
			lines = append(lines, m.line(side))
		}
	}
	if more := len(fields) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("      … and %s", count(more, "more field")))
	}
	return lines
}

// signOf begins a line of a diff about an object. Forges colour + and -, some also !.
func signOf(a apply.Action) string {
	switch a {
	case apply.Create:
		return "+"
	case apply.Delete:
		return "-"
	}
	return "!"
}

// sidesOf splits a line of Mask.Diff, "path: before -> after", into what goes and what comes.
func sidesOf(field string) []string {
	path, values, isField := cutUnquoted(field, ": ")
	before, after, hasSides := cutUnquoted(values, " -> ")
	if !isField || !hasSides {
		return []string{"!     " + field}
	}
	var sides []string
	if before != missing {
		sides = append(sides, "-     "+path+": "+before)
	}
	if after != missing {
		sides = append(sides, "+     "+path+": "+after)
	}
	return sides
}

// cutUnquoted is strings.Cut at the first separator that does not stand in quotes.
func cutUnquoted(s, separator string) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(s[i:], separator):
			return s[:i], s[i+len(separator):], true
		}
	}
	return s, "", false
}

// kinds counts changes by what happens to which kind; more tells that others stand before.
func (m *markdown) kinds(changes []sharedChange, more bool) []string {
	type kind struct {
		action apply.Action
		schema.GroupKind
	}
	counts := map[kind]int{}
	var order []kind
	for _, c := range changes {
		k := kind{c.Action, c.Ref().GroupKind()}
		if counts[k] == 0 {
			order = append(order, k)
		}
		counts[k]++
	}
	var lines []string
	for _, k := range order[:min(len(order), m.room.rows)] {
		what := fmt.Sprintf("%d %s", counts[k], k.GroupKind)
		if more {
			what = fmt.Sprintf("%d more %s", counts[k], k.GroupKind)
		}
		lines = append(lines, m.line(fmt.Sprintf("%s %s %s", signOf(k.action), k.action, what)))
	}
	m.cuts.some("kinds", len(order)-m.room.rows, len(order))
	return lines
}

// foot tells what is not there, and which plan this is.
func (m *markdown) foot() {
	if left := m.cuts.words(); left != "" {
		m.printf("\nLeft out, to fit into a comment: %s. To see everything: %s\n", left, span(m.command()))
	}
	if where := webAddress(m.options.URL); where != "" {
		m.printf("\n[The whole plan](<%s>)\n", where)
	}
	if m.Digest != "" && !m.nothing() {
		m.printf("\nDigest %s\n", m.quote(m.Digest))
	}
}

// command is how somebody makes the same plan on a terminal.
func (m *markdown) command() string {
	words := []string{"gitfleet plan --kubeconfig FILE"}
	if m.options.Offline {
		words = []string{"gitfleet plan --offline"}
	}
	if m.Base != "" {
		words = append(words, "--base", m.Base)
	}
	return strings.Join(append(words, "--head", m.Head), " ")
}

// webAddress returns address as it can stand between angle brackets; nothing when it is none of the web.
func webAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return strings.NewReplacer("<", "%3C", ">", "%3E", `\`, "%5C", " ", "%20").Replace(u.String())
}
