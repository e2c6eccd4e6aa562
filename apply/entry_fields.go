package apply

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
)

// hashFields digests an API version and a field set, whatever the order of the set's keys: the order in which an API server
// prints them depends on whether they passed through a Go struct or a map. The digest is digest's, over the version and
// canonical's form of the set.
func hashFields(version string, raw []byte) string {
	var room [2048]byte // most sets fit, and are digested without any garbage
	buf := append(append(append(room[:0], version...), 0), raw...)
	s := fieldSorter{buf: buf, pos: len(version) + 1}
	if !s.object(maxFieldDepth) || s.pos != len(buf) {
		return digest([]byte(version), canonical(raw))
	}
	sum := sha256.Sum256(append(buf, 0))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
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

// fieldSorter sorts the keys of a field set in place. It knows the JSON that field sets are made of, and gives the very
// bytes that canonical gives: objects of objects without any space, and keys of ASCII that JSON does not escape, but for
// quotes and backslashes. Of anything else it says that it is something else.
type fieldSorter struct {
	buf     []byte
	pos     int // in buf
	members []fieldMember
	scratch []byte
}

// fieldMember is where a member of an object is in the buffer: its key without quotes, and all of it.
type fieldMember struct{ from, keyEnd, to int }

// object sorts the object at the position, and those in it, and moves behind it.
func (s *fieldSorter) object(depth int) bool {
	if depth == 0 || !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	first, sorted := len(s.members), true
	for {
		m := fieldMember{from: s.pos}
		if !s.key() {
			return false
		}
		m.keyEnd = s.pos - 1
		if !s.take(':') || !s.object(depth-1) {
			return false
		}
		m.to = s.pos
		if n := len(s.members); n > first {
			sorted = sorted && s.compare(s.members[n-1], m) < 0
		}
		s.members = append(s.members, m)
		if s.take('}') {
			break
		}
		if !s.take(',') {
			return false
		}
	}
	ok := sorted || s.sort(s.members[first:])
	s.members = s.members[:first]
	return ok
}

// key moves behind a key.
func (s *fieldSorter) key() bool {
	if !s.take('"') {
		return false
	}
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		s.pos++
		switch {
		case c == '"':
			return true
		case c == '\\':
			if !s.take('"') && !s.take('\\') {
				return false
			}
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&': // encoding/json escapes these
			return false
		}
	}
	return false
}

func (s *fieldSorter) take(c byte) bool {
	if s.pos == len(s.buf) || s.buf[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// sort puts the members of one object in order. It is false when two have the same key.
func (s *fieldSorter) sort(members []fieldMember) bool {
	begin, end := members[0].from, members[len(members)-1].to
	slices.SortFunc(members, s.compare)
	s.scratch = s.scratch[:0]
	for i, m := range members {
		if i > 0 {
			if s.compare(members[i-1], m) == 0 {
				return false
			}
			s.scratch = append(s.scratch, ',')
		}
		s.scratch = append(s.scratch, s.buf[m.from:m.to]...)
	}
	copy(s.buf[begin:end], s.scratch)
	return true
}

// compare compares keys as they are without their backslashes.
func (s *fieldSorter) compare(a, b fieldMember) int {
	x, y := s.buf[a.from+1:a.keyEnd], s.buf[b.from+1:b.keyEnd]
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
