package forgeclient

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/gitfleet/gitfleet/report"
)

// mark returns the first line of the comment that is written under a name: forges keep it and show nothing of it.
func mark(name string) string {
	return "<!-- plan of " + url.PathEscape(cmp.Or(name, report.StatusName)) + " -->"
}

// Comment is a comment on a pull request.
type Comment struct {
	ID     int64
	Author int64 // who wrote it; names can change hands, numbers cannot
	Body   string
}

// Thread is the comments of one pull request, as one forge reads and writes them.
type Thread struct {
	Name   string                         // under which gitfleet speaks; empty for report.StatusName
	List   func() ([]Comment, error)      // all of them, oldest first
	Self   func() (int64, error)          // the author of what gitfleet writes; asked only when there is a mark
	Create func(body string) error        // writes a comment
	Edit   func(c int64, to string) error // changes a comment
	// Harmless takes out of a body what the forge would obey instead of showing; nil where there is nothing of that kind.
	Harmless func(body string) string
}

// Upsert makes body the one comment of gitfleet's in the thread.
func (t Thread) Upsert(body string) error {
	if len(body) > report.LongestComment {
		return fmt.Errorf("a comment of %d bytes, of which forges take %d", len(body), report.LongestComment)
	}
	body = mark(t.Name) + "\n" + clean(body)
	if t.Harmless != nil {
		body = t.Harmless(body)
	}
	comments, err := t.List()
	if err != nil {
		return err
	}
	var self int64
	for _, c := range comments {
		if !marked(c.Body, t.Name) {
			continue
		}
		if self == 0 {
			if self, err = t.Self(); err != nil {
				return err
			}
			if self == 0 {
				return errors.New("the forge does not say who the credential belongs to")
			}
		}
		switch {
		case c.Author != self:
		case clean(c.Body) == clean(body):
			return nil
		default:
			return t.Edit(c.ID, body)
		}
	}
	return t.Create(body)
}

// marked tells whether a comment begins with the mark. In a quotation it stands behind a sign.
func marked(body, name string) bool { return strings.HasPrefix(strings.TrimSpace(body), mark(name)) }

// clean returns a text as forges keep it: without carriage returns, NULs, broken UTF-8, and space at its ends.
func clean(body string) string {
	body = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\ufffd").Replace(body)
	return strings.TrimSpace(strings.ToValidUTF8(body, "\ufffd"))
}
