package fleet

import (
	"fmt"
	"net/http"
	"strings"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// Clients are two views of a member, with the same identity.
type Clients struct {
	Dynamic  dynamic.Interface  // whole objects
	Metadata metadata.Interface // their metadata alone
}

// As returns clients that act with the rights of a service account of the member, given as "namespace/name", and of
// nobody else. They share everything with the session's own but their identity. gitfleet's own user must be allowed to impersonate the
// account; when it is not, the API server's refusal is told apart by ImpersonationDenied. The API server adds the groups
// of service accounts itself, and does not ask whether the account exists: one that does not has no rights of its own.
// When account is no such name, or the kubeconfig itself impersonates somebody, every request fails with an error that
// says so: an API server knows no impersonation on another's behalf, and the user behind the kubeconfig may do more than
// gitfleet should.
func (s *Session) As(account string) Clients {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.accounts[account]; ok {
		return known
	}
	as := &impersonator{member: s.name, guard: s.guard}
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		as.refused = fmt.Errorf("member %s: %q names no service account: want namespace/name", s.name, account)
	}
	as.user = "system:serviceaccount:" + namespace + ":" + name
	clients, err := s.newClients(as)
	if err != nil {
		// The same clients without the account could be made when the session was opened.
		panic(fmt.Sprintf("fleet: member %s: clients for service account %s: %v", s.name, account, err))
	}
	s.accounts[account] = clients
	return clients
}

// newClients returns clients on rt.
func (s *Session) newClients(rt http.RoundTripper) (c Clients, err error) {
	client := &http.Client{Transport: rt}
	if c.Dynamic, err = dynamic.NewForConfigAndClient(s.clientConfig(), client); err != nil {
		return Clients{}, err
	}
	c.Metadata, err = metadata.NewForConfigAndClient(s.clientConfig(), client)
	return c, err
}

// clientConfig is what the clients know: the member by its name, and no limit of their own, because the API server's
// priority and fairness is the limit. The rest is the guard's.
func (s *Session) clientConfig() *rest.Config {
	return &rest.Config{Host: "https://" + s.name, QPS: -1, WarningHandler: rest.NoWarnings{}}
}

// impersonator sends requests in a user's name.
type impersonator struct {
	member  string
	guard   *guard
	user    string
	refused error // why there is no such user; nil when there may be
}

// RoundTrip implements http.RoundTripper.
func (i *impersonator) RoundTrip(req *http.Request) (*http.Response, error) {
	refused := i.refused
	if refused == nil && i.guard.wire.impersonates() {
		refused = fmt.Errorf("member %s: cannot act for %s because the kubeconfig impersonates a user itself: give gitfleet a user of its own there", i.member, i.user)
	}
	if refused != nil {
		if req.Body != nil {
			_ = req.Body.Close() // RoundTrip must close it and has nothing to read from it
		}
		return nil, refused
	}
	req = req.Clone(req.Context())
	req.Header.Set(transport.ImpersonateUserHeader, i.user)
	return i.guard.RoundTrip(req)
}
