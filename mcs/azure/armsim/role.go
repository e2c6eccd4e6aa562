package armsim

import (
	"net/http"
	"slices"
	"strings"
)

// action is what a request needs to be allowed.
func action(p path, method string) string {
	what := "Microsoft.Network/" + p.kind
	if p.child != "" {
		what += "/" + p.child
	}
	switch method {
	case http.MethodGet:
		return what + "/read"
	case http.MethodDelete:
		return what + "/delete"
	}
	return what + "/write"
}

// allow notes that an action is needed, and refuses it when the role does not have it.
func (s *Server) allow(action string) *failure {
	s.used[action] = true
	if s.opt.Role == nil || slices.ContainsFunc(s.opt.Role, func(granted string) bool { return strings.EqualFold(granted, action) }) {
		return nil
	}
	code := "AuthorizationFailed"
	if strings.HasSuffix(action, "/join/action") || strings.HasSuffix(action, "/joinLoadBalancer/action") {
		code = "LinkedAuthorizationFailed"
	}
	return refuse(http.StatusForbidden, code, "The client does not have authorization to perform action '%s' or the scope is invalid.", action)
}
