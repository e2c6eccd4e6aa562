// Package armsim is a simulator of the part of Azure Resource Manager that gitfleet uses: load balancers, public IPs and network security
// groups, for the real SDK to talk to. It keeps what it is told, answers as Azure does where that was recorded or is documented, and
// says which pod a packet would reach.
//
// It is not Azure: what it refuses Azure refuses, too, as far as is known, but what it takes Azure may refuse. Where nobody knows
// what Azure does, it does the less convenient thing. Its bodies are JSON as it comes, so that nothing here depends on the SDK.
package armsim

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// APIVersion is the one version of Microsoft.Network that is served.
const APIVersion = "2025-05-01"

// Options of a simulator. The zero value is one that takes no time and forbids nothing.
type Options struct {
	Now func() time.Time // time.Now unless set
	// Latency is how long a write takes until it has come to its end, by the kind of resource: loadBalancers, backendAddressPools,
	// publicIPAddresses, securityRules.
	Latency map[string]time.Duration
	// Role is the list of actions that the client may take; nil allows all.
	Role []string
	// Throttle turns on Azure's limits on requests.
	Throttle bool
	// MostPublicIPs is a quota; 0 for none.
	MostPublicIPs int
}

// Server is a simulator. It is an http.Handler, and its methods may be called from several goroutines.
type Server struct {
	opt Options

	mu         sync.Mutex
	groups     map[string]bool       // resource groups, by lower-cased ID
	networks   map[string]*network   // by lower-cased ID
	resources  map[string]*resource  // by lower-cased ID
	operations map[string]*operation // by ID
	labels     map[string]string     // DNS names in use, to IDs of public IPs
	clusters   []Cluster
	exchanges  []Exchange
	faults     []*Fault
	used       map[string]bool // actions that were needed
	throttle   throttle
	counter    int
	first      map[string]answer // to each read
	base       string            // scheme and host of the request that is being answered
}

// New returns a simulator in which nothing stands.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{opt: o, groups: map[string]bool{}, networks: map[string]*network{}, resources: map[string]*resource{}, operations: map[string]*operation{},
		labels: map[string]string{}, first: map[string]answer{}, used: map[string]bool{}, throttle: throttle{buckets: map[string]*bucket{}}}
}

// resource is one that stands. Children of load balancers and network security groups are in their properties.
type resource struct {
	id, kind, name string
	region         string
	tags           map[string]any
	sku            map[string]any
	zones          []any
	properties     map[string]any
	etag           string
	state          string
	op             *operation // that is under way
}

// operation is a write on its way.
type operation struct {
	id      string
	of      string // lower-cased ID of the resource
	ends    time.Time
	status  string // InProgress, Succeeded, Failed, Canceled
	failure *failure
	finish  func()
	region  string
	never   bool
}

// Exchange is one request and the status of its answer.
type Exchange struct {
	Method, Path, IfMatch string
	Body                  any // decoded JSON; nil for none
	Status                int
	At                    time.Time
}

// IsWrite tells whether an exchange asks for a change.
func (e Exchange) IsWrite() bool {
	return e.Method != http.MethodGet && !strings.HasSuffix(e.Path, "/health")
}

// Exchanges returns all so far, without those that ask how a write goes.
func (s *Server) Exchanges() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.exchanges)
}

// Forget forgets the exchanges so far.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges = nil
}

// Used returns the actions that requests so far needed, sorted.
func (s *Server) Used() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.used))
}

// Client returns an HTTP client whose requests are answered here, whatever host they are for.
func (s *Server) Client() *http.Client { return &http.Client{Transport: direct{s}} }

type direct struct{ s *Server }

func (d direct) RoundTrip(r *http.Request) (response *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			response, err = nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, io.ErrUnexpectedEOF)
		} else if p != nil {
			panic(p)
		}
	}()
	recorder := httptest.NewRecorder()
	d.s.ServeHTTP(recorder, r)
	response = recorder.Result()
	response.Request = r
	return response, nil
}

// failure is an answer that is an error.
type failure struct {
	status  int
	code    string
	message string
	detail  string // code of the inner error
	header  map[string]string
}

func refuse(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func (f *failure) body() map[string]any {
	e := map[string]any{"code": f.code, "message": f.message}
	if f.detail != "" {
		e["details"] = []any{map[string]any{"code": f.detail, "message": f.message}}
	}
	return map[string]any{"error": e}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.base = baseOf(r)
	body, err := decode(r.Body)
	if strings.HasPrefix(r.URL.Path, "/armsim/") {
		s.serveOwn(w, r, body)
		return
	}
	sent := clone(body) // what is kept gets IDs and more
	fault := s.faultFor(r)
	if fault != nil && fault.Before {
		fault.strike(w)
		return
	}
	a := &answer{status: http.StatusOK, header: http.Header{}}
	var f *failure
	switch {
	case err != nil:
		f = refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: %v.", err)
	case r.URL.Query().Get("api-version") != APIVersion:
		f = refuse(http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are '%s'.", r.URL.Query().Get("api-version"), APIVersion)
	default:
		f = s.answer(r, body, a)
	}
	if f != nil {
		a.status, a.body = f.status, f.body()
		for key, value := range f.header {
			a.header.Set(key, value)
		}
	}
	if !strings.Contains(r.URL.Path, "/operations/") && !strings.Contains(r.URL.Path, "/operationResults/") {
		s.exchanges = append(s.exchanges, Exchange{r.Method, r.URL.Path, r.Header.Get("If-Match"), sent, a.status, s.opt.Now()})
	}
	if r.Method == http.MethodGet {
		if first, asked := s.first[r.URL.String()]; !asked {
			s.first[r.URL.String()] = *a
		} else if fault != nil && fault.Stale {
			a = &first
		}
	}
	if fault != nil {
		fault.strikeAfter(w, a)
		return
	}
	a.write(w)
}

// baseOf is where the client asks, so that links lead back here.
func baseOf(r *http.Request) string {
	if r.URL.Host != "" {
		return r.URL.Scheme + "://" + r.URL.Host
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func decode(r io.Reader) (any, error) {
	if r == nil {
		return nil, nil
	}
	data, err := io.ReadAll(r)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	var v any
	return v, json.Unmarshal(data, &v)
}

// answer is what is answered.
type answer struct {
	status int
	header http.Header
	body   any
}

func (a *answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	if a.body != nil {
		data, _ := json.Marshal(a.body) // it is made of what was decoded, or of strings and numbers
		w.Write(data)
	}
}

// path is a request's path taken apart.
type path struct {
	subscription, group string
	kind, name          string
	child, childName    string
	location, asyncKind string // of operations
	operation           string
	id                  string
}

func parsePath(text string) (p path, ok bool) {
	parts := strings.Split(strings.Trim(text, "/"), "/")
	if len(parts) < 2 || !strings.EqualFold(parts[0], "subscriptions") {
		return p, false
	}
	p.subscription = parts[1]
	rest := parts[2:]
	if len(rest) >= 2 && strings.EqualFold(rest[0], "resourceGroups") {
		p.group, rest = rest[1], rest[2:]
	}
	if len(rest) < 3 || !strings.EqualFold(rest[0], "providers") || !strings.EqualFold(rest[1], "Microsoft.Network") {
		return p, false
	}
	rest = rest[2:]
	if strings.EqualFold(rest[0], "locations") && len(rest) == 4 {
		p.location, p.asyncKind, p.operation = rest[1], rest[2], rest[3]
		return p, true
	}
	at := func(i int) string {
		if i < len(rest) {
			return rest[i]
		}
		return ""
	}
	p.kind, p.name, p.child, p.childName = at(0), at(1), at(2), at(3)
	p.id = "/subscriptions/" + p.subscription + "/resourceGroups/" + p.group + "/providers/Microsoft.Network/" + p.kind + "/" + p.name
	return p, len(rest) <= 5
}

// kinds that are served, with the children that can be written by themselves.
var kinds = map[string][]string{
	"loadBalancers":         {"backendAddressPools"},
	"publicIPAddresses":     nil,
	"networkSecurityGroups": {"securityRules"},
}

// answer answers a request for a resource or an operation.
func (s *Server) answer(r *http.Request, body any, a *answer) *failure {
	p, ok := parsePath(r.URL.Path)
	if !ok {
		return refuse(http.StatusNotFound, "InvalidResourceType", "The resource type could not be found in the namespace 'Microsoft.Network' for api version '%s'.", APIVersion)
	}
	if p.operation != "" {
		if f := s.allow("Microsoft.Network/locations/" + p.asyncKind + "/read"); f != nil {
			return f
		}
		return s.answerOperation(p, a)
	}
	if _, served := kinds[p.kind]; !served {
		return refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found in the namespace 'Microsoft.Network' for api version '%s'.", p.kind, APIVersion)
	}
	if f := s.throttled(p, r.Method, a); f != nil {
		return f
	}
	if f := s.allow(action(p, r.Method)); f != nil {
		return f
	}
	if p.group != "" && !s.groups[strings.ToLower("/subscriptions/"+p.subscription+"/resourceGroups/"+p.group)] {
		f := refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", p.group)
		f.header = map[string]string{"x-ms-failure-cause": "gateway"}
		return f
	}
	switch {
	case p.name == "" && r.Method == http.MethodGet:
		return s.list(p, r, a)
	case p.child != "":
		return s.answerChild(p, r, body, a)
	case r.Method == http.MethodGet:
		return s.get(p, a)
	case r.Method == http.MethodPut:
		return s.put(p, r, body, a)
	case r.Method == http.MethodPatch:
		return s.patch(p, r, body, a)
	case r.Method == http.MethodDelete:
		return s.delete(p, a)
	}
	return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method %s is not allowed here.", r.Method)
}

// pageSize is how many a list returns at once.
const pageSize = 50

func (s *Server) list(p path, r *http.Request, a *answer) *failure {
	prefix := strings.ToLower("/subscriptions/" + p.subscription + "/")
	if p.group != "" {
		prefix += strings.ToLower("resourceGroups/" + p.group + "/")
	}
	var ids []string
	for id, res := range s.resources {
		if res.kind == p.kind && strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	after := r.URL.Query().Get("$skiptoken")
	items := []any{}
	for _, id := range ids {
		if id <= after {
			continue
		}
		if len(items) == pageSize {
			q := r.URL.Query()
			q.Set("$skiptoken", strings.ToLower(items[len(items)-1].(map[string]any)["id"].(string)))
			a.body = map[string]any{"value": items, "nextLink": s.base + r.URL.Path + "?" + q.Encode()}
			return nil
		}
		items = append(items, s.resources[id].json())
	}
	a.body = map[string]any{"value": items}
	return nil
}

// notFound is what ARM's gateway answers for a resource that is not there.
func notFound(p path) *failure {
	f := refuse(http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.Network/%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", p.kind, p.name, p.group)
	f.header = map[string]string{"x-ms-failure-cause": "gateway"}
	return f
}

func (s *Server) get(p path, a *answer) *failure {
	res := s.resources[strings.ToLower(p.id)]
	if res == nil {
		return notFound(p)
	}
	a.body = res.json()
	a.header.Set("ETag", res.etag)
	return nil
}

// json is the resource as it is answered: a copy.
func (res *resource) json() map[string]any {
	properties := clone(res.properties).(map[string]any)
	properties["provisioningState"] = res.state
	properties["resourceGuid"] = guid(res.id)
	out := map[string]any{"id": res.id, "name": res.name, "type": "Microsoft.Network/" + res.kind, "location": res.region, "etag": res.etag, "properties": properties}
	if len(res.tags) > 0 {
		out["tags"] = clone(res.tags)
	}
	if res.sku != nil {
		out["sku"] = clone(res.sku)
	}
	if len(res.zones) > 0 {
		out["zones"] = clone(res.zones)
	}
	for _, list := range childLists(res.kind) {
		children, _ := properties[list].([]any)
		for _, c := range children {
			child := c.(map[string]any)
			child["etag"] = res.etag // a child has its parent's
			childProperties, _ := child["properties"].(map[string]any)
			if childProperties != nil {
				childProperties["provisioningState"] = res.state
			}
			if list == "backendAddressPools" {
				spread(childProperties)
			}
		}
	}
	return out
}

// spread writes a pool's network at its addresses, where recordings have it.
func spread(pool map[string]any) {
	network, ok := pool["virtualNetwork"]
	if !ok {
		return
	}
	delete(pool, "virtualNetwork")
	for _, a := range items(pool, "loadBalancerBackendAddresses") {
		object(a, "properties")["virtualNetwork"] = network
	}
}

func childLists(kind string) []string {
	switch kind {
	case "loadBalancers":
		return []string{"frontendIPConfigurations", "backendAddressPools", "probes", "loadBalancingRules", "inboundNatRules", "outboundRules"}
	case "networkSecurityGroups":
		return []string{"securityRules"}
	}
	return nil
}

func clone(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, value := range x {
			out[key] = clone(value)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, value := range x {
			out[i] = clone(value)
		}
		return out
	}
	return v
}
