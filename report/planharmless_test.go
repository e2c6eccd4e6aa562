package report

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// ownLine matches what a comment consists of once everything quoted is taken out: words of ours, which hold none of what
// forges act upon.
var (
	ownLine = regexp.MustCompile(`^[A-Za-z0-9 ,.;:()…*#|⚠️-]*$`)
	ownTag  = regexp.MustCompile(`</?(details|summary|details open)>`)
	ownLink = regexp.MustCompile(`^\[The whole plan\]\(<https?://[^<>\s\\]+>\)$`)
	mention = regexp.MustCompile(`#[0-9]|GH-|[0-9a-f]{12}|www\.|:[a-z]+:|\[|--`)
)

// checkHarmless reads a comment as Markdown does, from the left, and wants nothing outside of code but words of ours.
func checkHarmless(t *testing.T, comment string) {
	t.Helper()
	if !utf8.ValidString(comment) {
		t.Error("the comment is no valid UTF-8")
	}
	for _, r := range comment {
		if r != '\n' && r != '️' && !unicode.IsPrint(r) {
			t.Errorf("the comment contains %U, which does not print", r)
		}
	}
	fenced := ""
	for _, line := range strings.Split(comment, "\n") {
		if strings.HasPrefix(line, "/") {
			t.Errorf("a line that GitLab may take for a command: %q", line)
		}
		mark := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fenced != "":
			// A fence is closed by as many backticks or more, indented by up to three spaces and followed by nothing.
			if body := strings.TrimLeft(line, " "); len(line)-len(body) < 4 && strings.HasPrefix(body, fenced) && strings.Trim(body, "` ") == "" {
				if line != fenced {
					t.Errorf("a fence %s is closed by %q", fenced, line)
				}
				fenced = ""
			}
		case len(mark) >= 3 && (line == mark || line == mark+"diff"):
			fenced = mark
		default:
			checkOwn(t, line)
		}
	}
	if fenced != "" {
		t.Errorf("a fence %s is never closed", fenced)
	}
}

func checkOwn(t *testing.T, line string) {
	t.Helper()
	if ownLink.MatchString(line) || line == "|---|--:|--:|--:|" {
		return
	}
	own := withoutSpans(line)
	if strings.HasPrefix(line, "<details") || strings.HasPrefix(line, "</details") {
		own = withoutTags(t, line)
	}
	own = ownTag.ReplaceAllString(own, "")
	if !ownLine.MatchString(own) || mention.MatchString(own) {
		t.Errorf("outside of code stands %q\nof the line %q", own, line)
	}
}

// withoutSpans takes out code spans as CommonMark finds them: from a run of backticks to the next run of the same length.
func withoutSpans(line string) string {
	var out strings.Builder
	for line != "" {
		i := strings.IndexByte(line, '`')
		if i < 0 {
			break
		}
		out.WriteString(line[:i])
		run := leading(line[i:])
		rest := line[i+run:]
		end, at := -1, 0
		for at < len(rest) {
			if rest[at] != '`' {
				at++
				continue
			}
			n := leading(rest[at:])
			if n == run {
				end = at
				break
			}
			at += n
		}
		if end < 0 {
			out.WriteString(line[i : i+run])
			line = rest
			continue
		}
		line = rest[end+run:]
	}
	return out.String() + line
}

func leading(s string) int { return len(s) - len(strings.TrimLeft(s, "`")) }

// withoutTags takes out code elements of a line of HTML, inside of which nothing may be HTML.
func withoutTags(t *testing.T, line string) string {
	t.Helper()
	return regexp.MustCompile(`<code>(.*?)</code>`).ReplaceAllStringFunc(line, func(code string) string {
		inside := strings.TrimSuffix(strings.TrimPrefix(code, "<code>"), "</code>")
		if strings.ContainsAny(inside, `<>"`) || html.EscapeString(html.UnescapeString(inside)) != inside {
			t.Errorf("HTML inside of code: %q", inside)
		}
		return ""
	})
}
