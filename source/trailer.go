package source

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
)

// Confirmations returns the plan digests ("sha256:" and 64 hexadecimal digits) that api.TrailerConfirm trailers of a commit message confirm, in lower case, sorted, each once.
// Mistyped are the lines that begin with the key and confirm nothing, as they stand: the value is no digest, or the line
// is not in the trailers, so that Git does not see it either. They are for telling the author, and may hold any text.
func Confirmations(message string) (digests, mistyped []string) {
	found, wrong := map[string]bool{}, map[string]bool{}
	lines := strings.Split(message, "\n")
	block := trailerBlock(lines)
	for i, line := range lines {
		key, value, ok := trailer(line)
		switch {
		case !ok || !strings.EqualFold(key, api.TrailerConfirm):
		case i >= block && digest.MatchString(value) && !continues(lines[i+1:]):
			found[strings.ToLower(value)] = true
		default:
			wrong[strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD")] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(wrong))
}

var digest = regexp.MustCompile(`^(?i:sha256:[0-9a-f]{64})$`)

// trailerBlock returns the index of the first line of the trailers, or the number of lines where there are none. It
// follows git-interpret-trailers(1): the last paragraph, unless it is the title, if all its lines are trailers, or if
// Git wrote one of them and at least a quarter are. Lines that begin with # are comments.
func trailerBlock(lines []string) int {
	title := slices.IndexFunc(lines, func(l string) bool { return !comment(l) && blank(l) })
	var trailers, others, folded int // folded: lines that may continue the line above
	var generated bool
	for i := len(lines) - 1; i >= title && title >= 0; i-- {
		line := lines[i]
		_, _, isTrailer := trailer(line)
		switch {
		case comment(line):
			others, folded = others+folded, 0
		case blank(line):
			if trailers+others+folded == 0 {
				continue
			}
			others += folded
			if trailers > 0 && (others == 0 || generated && 3*trailers >= others) {
				return i + 1
			}
			return len(lines)
		case writtenByGit(line):
			trailers, folded, generated = trailers+1, 0, true
		case isTrailer:
			trailers, folded = trailers+1, 0
		case indented(line):
			folded++
		default:
			others, folded = others+1+folded, 0
		}
	}
	return len(lines)
}

// trailer splits "Key: value". Keys are ASCII letters, digits and dashes; space is allowed before the colon.
func trailer(line string) (key, value string, ok bool) {
	before, value, ok := strings.Cut(line, ":")
	key = strings.TrimRight(before, " \t")
	if !ok || key == "" || strings.Trim(key, keyCharacters) != "" {
		return "", "", false
	}
	return key, strings.TrimSpace(value), true
}

const keyCharacters = "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// continues tells whether the first of the lines belongs to the value of the line before. A digest is never folded.
func continues(lines []string) bool {
	return len(lines) > 0 && indented(lines[0]) && !blank(lines[0])
}

func writtenByGit(line string) bool {
	return strings.HasPrefix(line, "Signed-off-by: ") || strings.HasPrefix(line, "(cherry picked from commit ")
}

func comment(line string) bool  { return strings.HasPrefix(line, "#") }
func blank(line string) bool    { return strings.Trim(line, space) == "" }
func indented(line string) bool { return line != "" && strings.ContainsRune(space, rune(line[0])) }

const space = " \t\r\v\f"
