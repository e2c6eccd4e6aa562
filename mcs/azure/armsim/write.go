package armsim

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// checkETag wants the version that a client has read to be the one that stands.
func checkETag(res *resource, r *http.Request) *failure {
	want := r.Header.Get("If-Match")
	if want == "" || want == "*" || res != nil && want == res.etag {
		return nil
	}
	have := "none"
	if res != nil {
		have = res.etag
	}
	f := refuse(http.StatusPreconditionFailed, "PreconditionFailed", "Precondition failed.")
	f.detail, f.message = "PreconditionFailedEtagMismatch", fmt.Sprintf("Etag provided in if-match header %s does not match etag %s of resource.", want, have)
	return f
}

func (s *Server) put(p path, r *http.Request, body any, a *answer) *failure {
	if p.kind == "networkSecurityGroups" {
		return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "This simulator writes security rules one by one.")
	}
	in, ok := body.(map[string]any)
	if !ok {
		return refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content is not an object.")
	}
	have := s.resources[strings.ToLower(p.id)]
	if f := checkETag(have, r); f != nil {
		return f
	}
	if len(p.name) > 80 {
		return refuse(http.StatusBadRequest, "InvalidResourceName", "Resource name %s is invalid. The name can be up to 80 characters long.", p.name)
	}
	next := &resource{id: p.id, kind: p.kind, name: p.name, region: strings.ToLower(text(in, "location")), tags: object(in, "tags"), sku: object(in, "sku"),
		properties: orEmpty(object(in, "properties")), zones: items(in, "zones")}
	if have != nil {
		next.id, next.name, next.op = have.id, have.name, have.op
		if have.region != next.region {
			return refuse(http.StatusConflict, "InvalidResourceLocation", "The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'.", p.name, have.region, p.group, next.region)
		}
	}
	if next.region == "" {
		return refuse(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	}
	validate := s.validateLB
	if p.kind == "publicIPAddresses" {
		validate = s.validateIP
	}
	if f := validate(next, have); f != nil {
		return f
	}
	s.resources[strings.ToLower(p.id)] = next
	s.begin(next, p.kind, a)
	a.status = http.StatusOK
	if have == nil {
		a.status = http.StatusCreated
	}
	a.body = next.json()
	return nil
}

// begin starts an operation on res, which overtakes the one that is under way.
func (s *Server) begin(res *resource, kind string, a *answer) *operation {
	if res.op != nil && res.op.status == "InProgress" {
		res.op.status = "Canceled"
		f := refuse(http.StatusOK, "Canceled", "Operation was canceled.")
		f.detail, f.message = "CanceledAndSupersededDueToAnotherOperation", "Operation was canceled and superseded by another operation on "+res.id+"."
		res.op.failure = f
	}
	latency := s.opt.Latency[kind]
	s.counter++
	op := &operation{id: guid(fmt.Sprint("operation", s.counter)), of: strings.ToLower(res.id), ends: s.opt.Now().Add(latency), status: "InProgress", region: res.region}
	res.op, res.state, res.etag = op, "Updating", s.newETag()
	op.finish = func() { s.finish(res, op) }
	s.operations[op.id] = op
	if f := s.lateFault(kind, res.id); f != nil {
		op.failure, op.never = f.failure(), f.Hang
	}
	if latency == 0 && op.failure == nil && !op.never {
		s.settle()
	}
	a.header.Set("Azure-AsyncOperation", fmt.Sprintf("%s/subscriptions/%s/providers/Microsoft.Network/locations/%s/operations/%s?api-version=%s", s.base, strings.Split(res.id, "/")[2], res.region, op.id, APIVersion))
	if latency > 0 {
		a.header.Set("Retry-After", fmt.Sprint(min(10, max(1, int(latency.Seconds())/2))))
	}
	return op
}

// finish ends an operation on a resource that stands.
func (s *Server) finish(res *resource, op *operation) {
	if res.op != op {
		return
	}
	res.op, res.etag = nil, s.newETag()
	if op.failure != nil {
		res.state, op.status = "Failed", "Failed" // what was written stays
		return
	}
	res.state, op.status = "Succeeded", "Succeeded"
	if res.kind == "publicIPAddresses" && text(res.properties, "ipAddress") == "" {
		res.properties["ipAddress"] = s.allocatePublic(res)
	}
}

// settle ends the operations whose time has come.
func (s *Server) settle() {
	now := s.opt.Now()
	for _, id := range slices.Sorted(maps.Keys(s.operations)) {
		if op := s.operations[id]; op.status == "InProgress" && !op.never && !now.Before(op.ends) {
			op.finish()
		}
	}
}

func (s *Server) newETag() string {
	s.counter++
	return `W/"` + guid(fmt.Sprint("etag", s.counter)) + `"`
}

// guid is one that depends on seed alone, so that runs can be compared.
func guid(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func (s *Server) answerOperation(p path, a *answer) *failure {
	op := s.operations[p.operation]
	if op == nil {
		return refuse(http.StatusNotFound, "OperationNotFound", "The operation '%s' was not found.", p.operation)
	}
	a.body = map[string]any{"status": op.status}
	if op.status == "InProgress" {
		a.header.Set("Retry-After", "2")
	}
	if op.failure != nil && op.status != "InProgress" {
		body := op.failure.body()
		body["status"] = op.status
		a.body = body
	}
	return nil
}

func (s *Server) patch(p path, r *http.Request, body any, a *answer) *failure {
	res := s.resources[strings.ToLower(p.id)]
	if res == nil {
		return notFound(p)
	}
	if f := checkETag(res, r); f != nil {
		return f
	}
	in, _ := body.(map[string]any)
	res.tags = object(in, "tags")
	res.etag = s.newETag()
	a.body = res.json()
	return nil
}

func (s *Server) delete(p path, a *answer) *failure {
	id := strings.ToLower(p.id)
	res := s.resources[id]
	if res == nil {
		a.status = http.StatusNoContent
		return nil
	}
	if f := s.validateDelete(res); f != nil {
		return f
	}
	op := s.begin(res, p.kind, a)
	if res.state != "Succeeded" {
		res.state = "Deleting"
	}
	op.finish = func() {
		if op.failure != nil {
			s.finish(res, op)
			return
		}
		op.status = "Succeeded"
		delete(s.resources, id)
		for label, of := range s.labels {
			if of == id {
				delete(s.labels, label)
			}
		}
	}
	if op.status == "Succeeded" { // it took no time
		op.finish()
	}
	a.status = http.StatusAccepted
	location := strings.Replace(a.header.Get("Azure-AsyncOperation"), "/operations/", "/operationResults/", 1)
	a.header.Set("Location", location)
	return nil
}

// answerChild answers for a pool of a load balancer, or a rule of a network security group.
func (s *Server) answerChild(p path, r *http.Request, body any, a *answer) *failure {
	if !slices.Contains(kinds[p.kind], p.child) {
		return refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s/%s' is not served here.", p.kind, p.child)
	}
	res := s.resources[strings.ToLower(p.id)]
	if res == nil {
		f := refuse(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s/%s', because the parent resource '%s' could not be found.", strings.ToLower(r.Method), p.kind, p.child, p.id)
		f.header = map[string]string{"x-ms-failure-cause": "gateway"}
		return f
	}
	children := items(res.properties, p.child)
	i := slices.IndexFunc(children, func(c any) bool { return strings.EqualFold(text(c, "name"), p.childName) })
	switch {
	case r.Method == http.MethodGet && i < 0, r.Method == http.MethodDelete && i < 0 && p.kind == "loadBalancers":
		return refuse(http.StatusNotFound, "NotFound", "Resource %s not found.", r.URL.Path)
	case r.Method == http.MethodGet:
		list, _ := res.json()["properties"].(map[string]any)[p.child].([]any)
		a.body = list[i]
		return nil
	case r.Method == http.MethodDelete:
		if i >= 0 {
			res.properties[p.child] = slices.Delete(slices.Clone(children), i, i+1)
		}
		s.begin(res, p.child, a)
		a.status = http.StatusAccepted
		return nil
	case r.Method != http.MethodPut:
		return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method %s is not allowed here.", r.Method)
	}
	is := res
	if i < 0 {
		is = nil // what is not there has no ETag, whatever its parent's is
	}
	if f := checkETag(is, r); f != nil {
		return f
	}
	in, ok := body.(map[string]any)
	if !ok {
		return refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content is not an object.")
	}
	child := clone(in).(map[string]any)
	child["name"] = p.childName
	next := *res
	next.properties = clone(res.properties).(map[string]any)
	list := items(next.properties, p.child)
	if i >= 0 {
		list[i] = child
	} else {
		list = append(list, child)
	}
	next.properties[p.child] = list
	f := s.validateGroup(&next)
	if p.kind == "loadBalancers" {
		f = s.validateLB(&next, res)
	}
	if f != nil {
		return f
	}
	res.properties = next.properties
	s.begin(res, p.child, a)
	a.status = http.StatusOK
	if i < 0 {
		a.status = http.StatusCreated
	}
	for _, c := range res.json()["properties"].(map[string]any)[p.child].([]any) {
		if strings.EqualFold(text(c, "name"), p.childName) {
			a.body = c
		}
	}
	return nil
}

// The functions below read decoded JSON; what is not there, or is of another type, is empty.

func object(v any, key string) map[string]any {
	m, _ := v.(map[string]any)
	out, _ := m[key].(map[string]any)
	return out
}

func items(v any, key string) []any {
	m, _ := v.(map[string]any)
	out, _ := m[key].([]any)
	return out
}

func text(v any, key string) string {
	m, _ := v.(map[string]any)
	out, _ := m[key].(string)
	return out
}

func number(v any, key string) int {
	m, _ := v.(map[string]any)
	out, _ := m[key].(float64)
	return int(out)
}

func truth(v any, key string) bool {
	m, _ := v.(map[string]any)
	out, _ := m[key].(bool)
	return out
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
