package apply

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
)

// hashFields digests an API version and a field set, whatever the order of the set's keys: the order in which an API server
// prints them depends on whether they passed through a Go struct or a map. The digest is digest's, over the version and
// canonical's form of the set.
func hashFields(version string, raw []byte) string {
	var room [2048]byte // most sets fit, and are digested without any garbage
	buf := append(append(append(room[:0], version...), 0), raw...)
	s := fieldSorter{members: make([]fieldMember, 0, 16)}
	if s.object(buf, len(version)+1, maxFieldDepth) != len(buf) {
		return digest([]byte(version), canonical(raw))
	}
	sum := sha256.Sum256(append(buf, 0))
	return shortDigest(sum[:])
}

// canonical sorts the keys of any JSON document. What is no JSON is returned as it is, to be digested byte for byte.
func canonical(raw []byte) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

// maxFieldDepth is how deep a fieldSorter follows a field set; no API has fields as deep as that.
const maxFieldDepth = 200

// fieldSorter sorts the keys of a field set in place. It knows the JSON that field sets are made of, and leaves the very
// bytes that canonical gives: objects of objects without any space, and keys of ASCII that encoding/json does not escape, but
// for quotes and backslashes. Its methods return the position behind what they read, or -1 where it is anything else.
type fieldSorter struct {
	members []fieldMember // of the objects around the position
	scratch []byte
}

// fieldMember is where a member of an object is in the buffer: its key, without quotes, and all of it.
type fieldMember struct{ from, keyEnd, to int }

// object sorts the object at pos, and those in it.
func (s *fieldSorter) object(buf []byte, pos, depth int) int {
	pos = skip(buf, pos, '{')
	if pos < 0 || depth == 0 {
		return -1
	}
	if end := skip(buf, pos, '}'); end > 0 {
		return end
	}
	first, sorted := len(s.members), true
	for {
		m := fieldMember{from: pos}
		if pos = skipKey(buf, pos); pos < 0 {
			return -1
		}
		m.keyEnd = pos - 1
		if m.to = s.object(buf, skip(buf, pos, ':'), depth-1); m.to < 0 {
			return -1
		}
		if n := len(s.members); n > first {
			sorted = sorted && compareKeys(buf, s.members[n-1], m) < 0
		}
		s.members = append(s.members, m)
		if pos = skip(buf, m.to, ','); pos < 0 {
			pos = skip(buf, m.to, '}')
			break
		}
	}
	if !sorted && !s.sort(buf, s.members[first:]) {
		return -1
	}
	s.members = s.members[:first]
	return pos
}

// sort puts the members of one object in order. It is false when two have the same key.
func (s *fieldSorter) sort(buf []byte, members []fieldMember) bool {
	begin, end := members[0].from, members[len(members)-1].to
	slices.SortFunc(members, func(a, b fieldMember) int { return compareKeys(buf, a, b) })
	s.scratch = s.scratch[:0]
	for i, m := range members {
		if i > 0 {
			if compareKeys(buf, members[i-1], m) == 0 {
				return false
			}
			s.scratch = append(s.scratch, ',')
		}
		s.scratch = append(s.scratch, buf[m.from:m.to]...)
	}
	copy(buf[begin:end], s.scratch)
	return true
}

// compareKeys compares keys as they are without their backslashes.
func compareKeys(buf []byte, a, b fieldMember) int {
	x, y := buf[a.from+1:a.keyEnd], buf[b.from+1:b.keyEnd]
	for len(x) > 0 && len(y) > 0 {
		if x[0] == '\\' {
			x = x[1:]
		}
		if y[0] == '\\' {
			y = y[1:]
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Compare(len(x), len(y))
}

// skip returns the position behind c at pos, or -1 when something else is there.
func skip(buf []byte, pos int, c byte) int {
	if pos < 0 || pos >= len(buf) || buf[pos] != c {
		return -1
	}
	return pos + 1
}

// skipKey returns the position behind the key at pos.
func skipKey(buf []byte, pos int) int {
	if pos = skip(buf, pos, '"'); pos < 0 {
		return -1
	}
	for pos < len(buf) {
		c := buf[pos]
		pos++
		switch {
		case c == '"':
			return pos
		case c == '\\':
			if pos == len(buf) || buf[pos] != '"' && buf[pos] != '\\' {
				return -1
			}
			pos++
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&':
			return -1
		}
	}
	return -1
}

// appendFields prints a field set that was decoded, in no order: hashFields sorts. It is false when it is none.
func appendFields(out []byte, fields map[string]any) ([]byte, bool) {
	out = append(out, '{')
	for key, value := range fields {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(out, '"')
		for i := range len(key) {
			switch c := key[i]; {
			case c < ' ':
				return nil, false
			case c == '"', c == '\\':
				out = append(out, '\\', c)
			default:
				out = append(out, c)
			}
		}
		out = append(out, '"', ':')
		if out, ok = appendFields(out, inner); !ok {
			return nil, false
		}
	}
	return append(out, '}'), true
}
