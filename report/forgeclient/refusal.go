package forgeclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// longestMessage is how many characters of a forge's own words are shown.
	longestMessage = 300
	// longestWait bounds what a forge can ask for: the longest window of the known ones is an hour.
	longestWait = time.Hour
	// secondaryWait is how long GitHub wants a client to wait at its secondary limit when it names no time.
	secondaryWait = time.Minute
)

// Refusal is an answer of the forge that says no, whatever the reason.
type Refusal struct {
	Method  string
	Path    string
	Status  int
	Header  http.Header
	Message string // the forge's own words on one line, cut
}

// Error returns the request, the status, and the forge's words.
func (r *Refusal) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", r.Method, r.Path, r.Status, http.StatusText(r.Status))
	if r.Message != "" {
		s += ": " + r.Message
	}
	return s
}

// patience tells whether the forge wants to be left alone, and for how long; 0 when it does not say. A limit shows as 429,
// or as 403 with its headers or words (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api); a
// server at its limit says 503 with Retry-After.
func (r *Refusal) patience(now time.Time) (time.Duration, bool) {
	if date, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		now = date // times are the forge's own, so its clock counts
	}
	wait := r.wait(now)
	switch {
	case r.Status == http.StatusTooManyRequests, r.Status >= http.StatusInternalServerError && wait > 0:
		return wait, true
	case r.Status == http.StatusForbidden && wait > 0:
		return wait, true
	case r.Status == http.StatusForbidden && strings.Contains(strings.ToLower(r.Message), "rate limit"):
		return secondaryWait, true
	}
	return 0, false
}

// wait reads Retry-After, then the time at which a used up limit is renewed, as GitHub and as GitLab write it.
func (r *Refusal) wait(now time.Time) time.Duration {
	if after := r.Header.Get("Retry-After"); after != "" {
		if seconds, err := strconv.ParseInt(after, 10, 64); err == nil {
			return bounded(seconds)
		}
		if at, err := http.ParseTime(after); err == nil {
			return bounded(int64(at.Sub(now) / time.Second))
		}
	}
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		reset, err := strconv.ParseInt(r.Header.Get(prefix+"Reset"), 10, 64)
		if err == nil && r.Header.Get(prefix+"Remaining") == "0" {
			return bounded(reset - now.Unix())
		}
	}
	return 0
}

// bounded returns a time to wait of at least a second, since a forge that names a time wants some.
func bounded(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, 1), int64(longestWait/time.Second))) * time.Second
}

// message finds the words for people in an answer: JSON with "message" or "error", or a line of text; not a page of HTML.
func message(body []byte) string {
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		text := strings.TrimSpace(string(body))
		if strings.HasPrefix(text, "<") || strings.HasPrefix(text, "{") {
			return ""
		}
		return oneLine(text)
	}
	var parts []string
	for _, name := range []string{"message", "error", "error_description", "errors"} {
		if text := flatten(fields[name]); text != "" && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	return oneLine(strings.Join(parts, ": "))
}

// flatten writes the values that forges nest in their messages.
func flatten(v any) string {
	var parts []string
	switch v := v.(type) {
	case string:
		return v
	case []any:
		for _, item := range v {
			if text := flatten(item); text != "" {
				parts = append(parts, text)
			}
		}
	case map[string]any:
		for name, item := range v {
			if text := flatten(item); text != "" {
				parts = append(parts, name+" "+text)
			}
		}
		slices.Sort(parts)
	}
	return strings.Join(parts, ", ")
}

// oneLine makes a text safe to print in a log or on a status: one line, no control characters, not long.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\ufffd"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if runes := []rune(text); len(runes) > longestMessage {
		text = string(runes[:longestMessage]) + "…"
	}
	return text
}
