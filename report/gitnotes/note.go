package gitnotes

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gitfleet/gitfleet/report"
)

// note is the text of a note on a commit: a line for each status, and a second one where the status has an address.
//
//	gitfleet/apply: pending: 3 of 5 clusters
//	    see https://gitfleet.example.com/commits/1f2e3d
//
// All other lines are somebody else's and stay as they are, byte for byte.
type note []part

// part is a status with its lines, or one line of others.
type part struct {
	text   string // with its line endings
	status *report.CommitStatus
}

// seeURL begins the line with a status's address.
const seeURL = "    see "

func valid(s report.State) bool {
	return s == report.StatePending || s == report.StateSuccess || s == report.StateFailure || s == report.StateError
}

// parseNote reads a note. Every text is one: what is no status belongs to others.
func parseNote(text string) note {
	var n note
	for line := range strings.Lines(text) {
		plain := strings.TrimRight(line, "\r\n")
		if url, ok := strings.CutPrefix(plain, seeURL); ok && len(n) > 0 {
			if s := n[len(n)-1].status; s != nil && s.URL == "" && url != "" {
				s.URL = unquote(url)
				n[len(n)-1].text += line
				continue
			}
		}
		n = append(n, part{text: line, status: parseStatus(plain)})
	}
	return n
}

// parseStatus reads "context: state: description", nil when line is something else.
func parseStatus(line string) *report.CommitStatus {
	context, rest, ok := strings.Cut(line, ": ")
	state, description, described := strings.Cut(rest, ": ")
	if !described {
		state, ok = strings.TrimSuffix(rest, ":"), ok && strings.HasSuffix(rest, ":")
	}
	if !ok || context == "" || strings.ContainsFunc(context, unicode.IsSpace) || !valid(report.State(state)) {
		return nil
	}
	return &report.CommitStatus{Context: unquote(context), State: report.State(state), Description: unquote(description)}
}

// format returns the lines of a status.
func format(s report.CommitStatus) string {
	line := quote(s.Context, true) + ": " + string(s.State) + ":"
	if s.Description != "" {
		line += " " + quote(s.Description, false)
	}
	if s.URL != "" {
		line += "\n" + seeURL + quote(s.URL, true)
	}
	return line + "\n"
}

// statuses returns the statuses, sorted, one for each context: the last where somebody's edit made two.
func (n note) statuses() []report.CommitStatus {
	last := map[string]report.CommitStatus{}
	for _, p := range n {
		if p.status != nil {
			last[p.status.Context] = *p.status
		}
	}
	var all []report.CommitStatus
	for _, s := range last {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b report.CommitStatus) int { return cmp.Compare(a.Context, b.Context) })
	return all
}

// set makes s the one status for its context, and tells whether that changes anything.
func (n *note) set(s report.CommitStatus) bool {
	first, count := -1, 0
	for i, p := range *n {
		if p.status != nil && p.status.Context == s.Context {
			if first < 0 {
				first = i
			}
			count++
		}
	}
	if count == 1 && *(*n)[first].status == s {
		return false
	}
	next := part{text: format(s), status: &s}
	if first < 0 {
		n.insert(next)
		return true
	}
	(*n)[first] = next
	kept := (*n)[:first+1]
	for _, p := range (*n)[first+1:] {
		if p.status == nil || p.status.Context != s.Context {
			kept = append(kept, p)
		}
	}
	*n = kept
	return true
}

// insert adds a status where it belongs among the others by its context, or below what others wrote.
func (n *note) insert(p part) {
	at := -1
	for i, other := range *n {
		if other.status != nil && (at < 0 || other.status.Context < p.status.Context) {
			at = i
			if other.status.Context < p.status.Context {
				at = i + 1
			}
		}
	}
	if at < 0 {
		at = len(*n)
	}
	if at > 0 {
		before := &(*n)[at-1]
		if !strings.HasSuffix(before.text, "\n") {
			before.text += "\n"
		}
		if before.status == nil && strings.TrimSpace(before.text) != "" {
			p.text = "\n" + p.text
		}
	}
	*n = slices.Insert(*n, at, p)
}

// String returns the note's text.
func (n note) String() string {
	var b strings.Builder
	for _, p := range n {
		b.WriteString(p.text)
	}
	return b.String()
}

// quote writes what could not be read back, or would play with a terminal, as \xNN: control characters, bytes that are not
// UTF-8, the backslash, spaces at the end, which git notes cuts off, and in a word all spaces and a # at its beginning.
func quote(s string, word bool) string {
	var b strings.Builder
	end := len(strings.TrimRightFunc(s, unicode.IsSpace))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		raw := s[i : i+size]
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r), i >= end,
			word && unicode.IsSpace(r), word && i == 0 && r == '#':
			for _, c := range []byte(raw) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		default:
			b.WriteString(raw)
		}
		i += size
	}
	return b.String()
}

// unquote undoes quote. A backslash that begins nothing stands for itself: people write them too.
func unquote(s string) string {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, `\`)
		b.WriteString(plain)
		if !found {
			return b.String()
		}
		code, err := uint64(0), strconv.ErrSyntax
		if len(rest) >= 3 && rest[0] == 'x' {
			code, err = strconv.ParseUint(rest[1:3], 16, 8)
		}
		switch {
		case strings.HasPrefix(rest, `\`):
			b.WriteByte('\\')
			rest = rest[1:]
		case err == nil:
			b.WriteByte(byte(code))
			rest = rest[3:]
		default:
			b.WriteByte('\\')
		}
		s = rest
	}
}
