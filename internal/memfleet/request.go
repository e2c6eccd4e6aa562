package memfleet

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

// Class is what a request does to the cluster.
type Class string

// The classes.
const (
	Other  Class = "other"  // discovery, probes, everything that is no resource
	Read   Class = "read"   // get of one object, and access reviews
	List   Class = "list"   // get of a collection
	Watch  Class = "watch"  // a stream of changes
	Write  Class = "write"  // create, update, patch, apply, delete, and subresources other than status
	Status Class = "status" // a write to the status subresource
	DryRun Class = "dryrun" // a write of which the server keeps nothing
)

// Request is one request as the proxy saw it. It never holds a body or a header: they may hold secrets.
type Request struct {
	Seq    int // counted from 1 since the proxy was made; Reset does not restart it
	Method string
	Path   string
	Query  url.Values
	Class  Class
	Size   int // of the body, in bytes
	Code   int // HTTP status of the answer, 0 while there is none or when none was given

	Group, Version, Resource, Namespace, Name, Subresource string // empty for Other
}

// String prints the request as one line: "PATCH write /api/v1/namespaces/web".
func (r Request) String() string {
	s := r.Method + " " + string(r.Class) + " " + r.Path
	if len(r.Query) > 0 {
		s += "?" + r.Query.Encode()
	}
	return s
}

// newRequest describes r, whose body is given.
func newRequest(r *http.Request, body []byte) Request {
	req := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Size: len(body)}
	req.parsePath()
	req.Class = req.classify(body)
	return req
}

// parsePath splits a resource path: /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NS/]RESOURCE[/NAME[/SUB]].
func (r *Request) parsePath() {
	parts := strings.Split(strings.Trim(r.Path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		r.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		r.Group, r.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return
	}
	// "namespaces/web/status" is a namespace's subresource, "namespaces/web/pods" is a collection in it.
	if parts[0] == "namespaces" && len(parts) >= 3 && parts[2] != "status" && parts[2] != "finalize" {
		r.Namespace, parts = parts[1], parts[2:]
	}
	r.Resource = parts[0]
	if len(parts) > 1 {
		r.Name = parts[1]
	}
	if len(parts) > 2 {
		r.Subresource = strings.Join(parts[2:], "/")
	}
}

func (r *Request) classify(body []byte) Class {
	switch {
	case r.Resource == "":
		return Other
	case r.Method == http.MethodGet && (r.Query.Get("watch") == "true" || r.Query.Get("watch") == "1"):
		return Watch
	case r.Method == http.MethodGet && r.Name == "":
		return List
	case r.Method == http.MethodGet || r.Group == "authorization.k8s.io" || r.Group == "authentication.k8s.io":
		return Read
	case r.Query.Get("dryRun") == "All", r.Method == http.MethodDelete && bytes.Contains(body, []byte(`"dryRun":["All"]`)):
		return DryRun
	case r.Subresource == "status":
		return Status
	default:
		return Write
	}
}

// Writes tells whether the request changes what the cluster keeps.
func (r Request) Writes() bool { return r.Class == Write || r.Class == Status }
