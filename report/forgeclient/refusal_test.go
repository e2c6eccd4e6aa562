package forgeclient

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestMessage(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"message":"Not Found","documentation_url":"https://docs.github.com"}`, "Not Found"},
		{`{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom","message":"too long"}]}`,
			"Validation Failed: code custom, message too long, resource Status"},
		{`{"message":{"status":["Cannot transition via \"run\""]}}`, `status Cannot transition via "run"`},
		{`{"error":"insufficient_scope","error_description":"The request requires higher privileges"}`,
			"insufficient_scope: The request requires higher privileges"},
		{`{"message":"same","error":"same"}`, "same"},
		{"Retry later\n", "Retry later"},
		{"<html><body>502", ""},
		{`{"message":`, ""},
		{"", ""},
		{"null", ""},
		{"a\r\nb\x1b[31m\x00c\xff", "a b [31m c\ufffd"},
	} {
		if got := message([]byte(c.body)); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.body, got, c.want)
		}
	}
}

// FuzzMessage wants what any forge or proxy answers to become one short line.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"message":{"a":[["b"],{"c":"d"}]},"errors":[1,null,"x"]}`))
	f.Add([]byte("plain \x00\xff\n text"))
	f.Add([]byte(`{"message":"` + strings.Repeat("ü", 400) + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := message(body)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || utf8.RuneCountInString(got) > longestMessage+1 {
			t.Errorf("%q is shown as %q", body, got)
		}
		if message(body) != got {
			t.Errorf("%q is shown in several ways", body)
		}
	})
}
