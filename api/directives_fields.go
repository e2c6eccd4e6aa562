package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// ParseFieldPath reads the path of a field that may be given away:
//
//	spec.replicas
//	spec.template.spec.containers[name=app].resources.limits.cpu
//	spec.ports[port=80,protocol=TCP].nodePort
//	metadata.labels["app.kubernetes.io/version"]
//	metadata.finalizers[="example.com/keep"]
//
// Names that hold more than letters, digits, - and _ are put in brackets and double quotes. An item of a list is named by
// its key fields, or by its value; a value in brackets is a number or a boolean when it looks like one and has no quotes.
// What names the object, what only a server sets and what gitfleet itself lives on is refused.
func ParseFieldPath(s string) (fieldpath.Path, error) {
	p := pathReader{rest: s}
	path, err := p.path()
	if err == nil {
		err = mayGiveAway(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", s, err)
	}
	return path, nil
}

// PrintFieldPath prints p as ParseFieldPath reads it.
func PrintFieldPath(p fieldpath.Path) string {
	var b strings.Builder
	for i, e := range p {
		switch {
		case e.FieldName != nil && strings.Trim(*e.FieldName, bareName) == "" && *e.FieldName != "":
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(*e.FieldName)
		case e.FieldName != nil:
			b.WriteString("[" + quote(*e.FieldName) + "]")
		case e.Key != nil:
			var keys []string
			for _, f := range *e.Key {
				keys = append(keys, printName(f.Name)+"="+printValue(f.Value))
			}
			b.WriteString("[" + strings.Join(keys, ",") + "]")
		case e.Value != nil:
			b.WriteString("[=" + printValue(*e.Value) + "]")
		}
	}
	return b.String()
}

func printName(name string) string {
	if strings.Trim(name, bareName) == "" {
		return name
	}
	return quote(name)
}

// printValue quotes a text that without quotes would be read as something else.
func printValue(v value.Value) string {
	s, ok := v.Unstructured().(string)
	if !ok {
		return fmt.Sprint(v.Unstructured())
	}
	p := pathReader{rest: s}
	if again, err := p.value(); err == nil && p.rest == "" && again.Unstructured() == any(s) {
		return s
	}
	return quote(s)
}

// mayGiveAway returns why gitfleet must keep the field.
func mayGiveAway(p fieldpath.Path) error {
	var names [3]string // "" for an item of a list
	for i := range min(len(p), len(names)) {
		if p[i].FieldName != nil {
			names[i] = *p[i].FieldName
		}
	}
	switch names[0] {
	case "":
		return errors.New("must begin with a field, such as spec")
	case "apiVersion", "kind":
		return errors.New("says what the object is and cannot be given away")
	case "status":
		return errors.New("is never applied, so there is nothing to give away")
	case "metadata":
		return mayGiveMetadata(len(p), names[1], names[2])
	}
	last := len(p) - 1
	if last > 0 && p[last].FieldName != nil && p[last-1].Key != nil {
		for _, f := range *p[last-1].Key {
			if f.Name == *p[last].FieldName {
				return errors.New("tells the items of the list apart and cannot be given away")
			}
		}
	}
	return nil
}

func mayGiveMetadata(length int, field, key string) error {
	switch field {
	case "finalizers":
		return nil
	case "labels", "annotations":
		prefix, _, _ := strings.Cut(key, "/")
		switch {
		case length != 3 || key == "":
			return fmt.Errorf("gitfleet keeps some of its own there; name one of them: metadata.%s[\"KEY\"]", field)
		case OwnPrefix(prefix):
			return errors.New("is gitfleet's own and cannot be given away")
		}
		return nil
	}
	return errors.New("of metadata only labels, annotations and finalizers can be given away")
}

// OwnPrefix tells whether label and annotation keys of that prefix ("gitfleet.dev" of "gitfleet.dev/wave") are
// gitfleet's own.
func OwnPrefix(prefix string) bool {
	return prefix == "gitfleet.dev" || prefix == "applyset.kubernetes.io"
}

// pathReader reads a path from left to right.
type pathReader struct{ rest string }

// bare are the characters that a name or value without quotes consists of. Values may hold some more.
const (
	bareName  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_$"
	bareValue = bareName + "./:@+"
)

func (p *pathReader) path() (fieldpath.Path, error) {
	var path fieldpath.Path
	for first := true; first || p.rest != ""; first = false {
		if p.take("[") {
			e, err := p.bracket()
			if err != nil {
				return nil, err
			}
			path = append(path, e)
			continue
		}
		if !first && !p.take(".") {
			return nil, p.expected(". or [")
		}
		name := p.span(bareName)
		if name == "" {
			return nil, p.expected("the name of a field")
		}
		path = append(path, fieldpath.PathElement{FieldName: &name})
	}
	return path, nil
}

// bracket reads what stands in brackets, and the closing one: a quoted name, =VALUE, or KEY=VALUE, …
func (p *pathReader) bracket() (fieldpath.PathElement, error) {
	var e fieldpath.PathElement
	if p.take("=") {
		v, err := p.value()
		if err != nil {
			return e, err
		}
		e.Value = &v
		return e, p.closing()
	}
	quoted := strings.HasPrefix(p.rest, `"`)
	name, err := p.name()
	if err != nil {
		return e, err
	}
	if quoted && p.take("]") {
		e.FieldName = &name
		return e, nil
	}
	if _, err := strconv.Atoi(name); err == nil && p.take("]") {
		return e, errors.New("items of a list are not counted; name the item by its key, such as [name=app]")
	}
	e.Key, err = p.key(name)
	return e, err
}

// key reads the rest of KEY=VALUE, …] after the first KEY.
func (p *pathReader) key(name string) (*value.FieldList, error) {
	var fields value.FieldList
	for {
		if !p.take("=") {
			return nil, p.expected("= and the value of the key")
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			if f.Name == name {
				return nil, fmt.Errorf("names key %s twice", name)
			}
		}
		fields = append(fields, value.Field{Name: name, Value: v})
		if !p.take(",") {
			break
		}
		if name, err = p.name(); err != nil {
			return nil, err
		}
	}
	fields.Sort()
	return &fields, p.closing()
}

func (p *pathReader) name() (string, error) {
	p.rest = strings.TrimLeft(p.rest, " ")
	if strings.HasPrefix(p.rest, `"`) {
		return p.quoted()
	}
	if name := p.span(bareName); name != "" {
		return name, nil
	}
	return "", p.expected("the key of an item, such as name=app, or a name in double quotes")
}

func (p *pathReader) value() (value.Value, error) {
	if strings.HasPrefix(p.rest, `"`) {
		s, err := p.quoted()
		return value.NewValueInterface(s), err
	}
	word := p.span(bareValue)
	n, err := strconv.ParseInt(word, 10, 64)
	switch {
	case word == "":
		return nil, p.expected("a value")
	case err == nil:
		return value.NewValueInterface(n), nil
	case word == "true" || word == "false":
		return value.NewValueInterface(word == "true"), nil
	}
	return value.NewValueInterface(word), nil
}

// quoted reads a string as JSON writes it.
func (p *pathReader) quoted() (string, error) {
	end := 1
	for end < len(p.rest) && p.rest[end] != '"' {
		if p.rest[end] == '\\' {
			end++
		}
		end++
	}
	var s string
	if end >= len(p.rest) || json.Unmarshal([]byte(p.rest[:end+1]), &s) != nil || s == "" {
		return "", fmt.Errorf("%s is no text in double quotes", p.rest)
	}
	p.rest = p.rest[end+1:]
	return s, nil
}

func (p *pathReader) closing() error {
	if !p.take("]") {
		return p.expected("]")
	}
	return nil
}

// take consumes token, if it is next.
func (p *pathReader) take(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

// span consumes as many of the characters as follow.
func (p *pathReader) span(characters string) string {
	n := len(p.rest) - len(strings.TrimLeft(p.rest, characters))
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

func (p *pathReader) expected(what string) error {
	if p.rest == "" {
		return fmt.Errorf("ends where %s is missing", what)
	}
	return fmt.Errorf("%s is expected before %q", what, p.rest)
}

// splitList splits s at commas and line breaks that stand outside brackets and quotes, and leaves blanks out. Neither
// brackets nor quotes go over several lines.
func splitList(s string) []string {
	var items []string
	for line := range strings.Lines(s) {
		for line != "" {
			end := itemEnd(line)
			if item := strings.TrimSpace(line[:end]); item != "" {
				items = append(items, item)
			}
			line = strings.TrimPrefix(line[end:], ",")
		}
	}
	return items
}

// itemEnd returns where the first item of line ends.
func itemEnd(line string) int {
	depth, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
			if c == '\\' {
				i++
			}
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && depth <= 0:
			return i
		}
	}
	return len(line)
}
