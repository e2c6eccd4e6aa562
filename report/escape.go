package report

import (
	"fmt"
	"html"
	"strings"
	"unicode"
)

// What people wrote (names, values, reasons, messages) is quoted in Markdown as code, never as text. Forges turn more into
// links and mentions than CommonMark escapes can stop, since they look at what is rendered: @team, #12, !12, GH-12, commits,
// addresses. None of them looks inside code.

// visible returns s with everything shown that would not print, so that it drives neither a terminal nor the direction of
// the text: control characters as their pictures, others by number. Invalid UTF-8 is replaced.
func visible(s string) string {
	if plainText(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r < ' ':
			b.WriteRune('\u2400' + r) // the block of pictures begins with that of NUL
		case r == 0x7f:
			b.WriteRune('\u2421')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// plainText tells whether s is printable ASCII, as nearly everything is.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sentence is visible for a message, which may have been written on several lines.
func sentence(s string) string { return visible(strings.Join(strings.FieldsFunc(s, isLineBreak), " ")) }

func isLineBreak(r rune) bool { return r == '\n' || r == '\r' }

// span quotes s as a code span of Markdown, for running text and lists.
func span(s string) string {
	s = visible(s)
	if strings.TrimSpace(s) == "" {
		return "(empty)" // an empty span would be taken for the beginning of another
	}
	mark := strings.Repeat("`", longestRun(s)+1)
	if s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' && s[len(s)-1] == ' ' {
		s = " " + s + " " // of which Markdown takes one off at each side
	}
	return mark + s + mark
}

// cell is span for a table, where a bar ends the cell even inside code.
func cell(s string) string { return span(strings.ReplaceAll(s, "|", `\u007c`)) }

// codeTag is span for the inside of an HTML block, such as a summary. Forges look for addresses and mentions in any other text.
func codeTag(s string) string { return "<code>" + html.EscapeString(visible(s)) + "</code>" }

// fence encloses lines, none of which has a line break, as a block of code in the given language that they cannot close.
func fence(language string, lines []string) string {
	longest := 2
	for _, l := range lines {
		longest = max(longest, longestRun(l))
	}
	mark := strings.Repeat("`", longest+1)
	return mark + language + "\n" + strings.Join(lines, "\n") + "\n" + mark + "\n"
}

// longestRun returns the length of the longest run of backticks in s.
func longestRun(s string) int {
	longest, run := 0, 0
	for i := range len(s) {
		if s[i] != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
