package realfleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// Write is one request that asked an API server for a change, as its audit log tells (audit.k8s.io/v1, Event).
type Write struct {
	UserAgent string
	Verb      string // create, update, patch, delete or deletecollection
	Code      int    // HTTP status of the answer: 201 for a patch that created the object

	Group, Resource, Namespace, Name, Subresource string

	DryRun bool // nothing came of it
}

// String prints the write as one line: "201 patch configmaps web/settings".
func (w Write) String() string {
	resource := w.Resource
	if w.Group != "" {
		resource += "." + w.Group
	}
	if w.Subresource != "" {
		resource += "/" + w.Subresource
	}
	name := w.Name
	if w.Namespace != "" {
		name = w.Namespace + "/" + name
	}
	return fmt.Sprintf("%d %s %s %s", w.Code, w.Verb, resource, name)
}

// AuditMark is a place in the audit log of one cluster.
type AuditMark int

// Audit returns the writes that the API server of a cluster has answered since a mark, in the order in which it was done with
// them, and the mark of now. Before it reads it writes something itself and waits until that shows. The fleet must have been
// started by StartAudited.
func (f *Fleet) Audit(t testing.TB, cluster string, since AuditMark) ([]Write, AuditMark) {
	t.Helper()
	agent := fmt.Sprintf("realfleet-fence/%d", time.Now().UnixNano())
	f.touch(t, cluster, agent)
	var writes []Write
	now := since
	Eventually(t, time.Minute, func() error {
		data, err := os.ReadFile(filepath.Join(f.Dir, "log", cluster+"-audit.log"))
		if err != nil {
			return err
		}
		writes, now = nil, since
		for line := range bytes.Lines(data[since:]) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // being written
			}
			w, err := parseAudit(line)
			if err != nil {
				return err
			}
			now += AuditMark(len(line))
			if w.UserAgent == agent {
				return nil
			}
			writes = append(writes, w)
		}
		return fmt.Errorf("the audit log of %s does not show a write that was answered", cluster)
	})
	return writes, now
}

// touch asks for the deletion of what is not there, as a client of that name: it shows in the audit log and changes nothing.
func (f *Fleet) touch(t testing.TB, cluster, agent string) {
	t.Helper()
	config := f.Config(t, cluster)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, config.Host+"/api/v1/namespaces/default/configmaps/realfleet-fence", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("User-Agent", agent)
	answer, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", cluster, err)
	}
	_ = answer.Body.Close() // that it was answered is all that matters
}

func parseAudit(line []byte) (Write, error) {
	var event struct {
		UserAgent  string
		Verb       string
		RequestURI string
		ObjectRef  struct {
			APIGroup, Resource, Namespace, Name, Subresource string
		}
		ResponseStatus struct{ Code int }
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return Write{}, fmt.Errorf("audit log: %w: %s", err, line)
	}
	at, err := url.Parse(event.RequestURI)
	if err != nil {
		return Write{}, fmt.Errorf("audit log: %w", err)
	}
	o := event.ObjectRef
	if o.Resource == "namespaces" {
		o.Namespace = "" // which says the name once more
	}
	return Write{UserAgent: event.UserAgent, Verb: event.Verb, Code: event.ResponseStatus.Code, Group: o.APIGroup, Resource: o.Resource,
		Namespace: o.Namespace, Name: o.Name, Subresource: o.Subresource, DryRun: at.Query().Get("dryRun") == "All"}, nil
}
