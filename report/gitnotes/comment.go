package gitnotes

import (
	"strings"
	"unicode"
)

// The comment of gitfleet is what stands between these lines, which Markdown does not show. Lines outside are somebody
// else's and stay as they are.
const (
	commentBegin = "<!-- gitfleet: the plan begins -->"
	commentEnd   = "<!-- gitfleet: the plan ends -->"
)

// findComment returns where in a note the comment is, with its marks: the first mark that begins one and is not followed
// by another such mark before one that ends it.
func findComment(text string) (from, to int, ok bool) {
	from, at := -1, 0
	for line := range strings.Lines(text) {
		switch strings.TrimSpace(line) {
		case commentBegin:
			from = at
		case commentEnd:
			if from >= 0 {
				return from, at + len(line), true
			}
		}
		at += len(line)
	}
	return 0, 0, false
}

func hasComment(text string) bool {
	_, _, ok := findComment(text)
	return ok
}

// setComment returns the note with body as the comment, in the place of the one that is there or below what others wrote.
func setComment(text, body string) string {
	ours := commentBegin + "\n" + shown(body) + commentEnd + "\n"
	if from, to, ok := findComment(text); ok {
		return text[:from] + ours + text[to:]
	}
	if text == "" {
		return ours
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + "\n" + ours
}

// shown returns body as it stands in a note: valid text without what plays with a terminal, which is where notes are read,
// and with a line break at its end. Lines that look like a mark, which a plan may quote from a manifest, are made harmless.
func shown(body string) string {
	body = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(strings.ReplaceAll(body, "\r\n", "\n"), "\ufffd"))
	var b strings.Builder
	for line := range strings.Lines(body) {
		if mark := strings.TrimSpace(line); mark == commentBegin || mark == commentEnd {
			line = strings.Replace(line, "<!--", "&lt;!--", 1)
		}
		b.WriteString(line)
	}
	if !strings.HasSuffix(body, "\n") {
		b.WriteByte('\n')
	}
	return b.String()
}
