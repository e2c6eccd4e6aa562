package fleet

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Cause is why a member cannot be used, as the operator who must act sees it.
type Cause string

// The causes.
const (
	CauseNetwork     Cause = "network"     // nothing answers at the API server's address, or it stopped answering
	CauseCertificate Cause = "certificate" // the API server's certificate is not the one the kubeconfig trusts
	CauseCredentials Cause = "credentials" // the API server rejects the credentials, or there are none to show
	CauseNotReady    Cause = "not ready"   // the API server answers that it cannot serve
)

// remedy tells the operator what to do about a cause.
func (c Cause) remedy() string {
	switch c {
	case CauseCertificate:
		return "check certificate-authority-data and server in its kubeconfig"
	case CauseCredentials:
		return "renew the credentials in its kubeconfig"
	case CauseNotReady:
		return "see its API server"
	default:
		return "check that its API server runs and can be reached from here"
	}
}

// UnreachableError tells that a member cannot be used, why, and what the operator can do. It is the error of
// Session.State, and of every request made while the session knows that the member would not answer. It never holds
// credentials.
type UnreachableError struct {
	Member string
	Cause  Cause
	Err    error
}

// Error prints the reason and the remedy on one line.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("member %s is unreachable (%s): %v: %s", e.Member, e.Cause, e.Err, e.Cause.remedy())
}

// Unwrap returns the error underneath.
func (e *UnreachableError) Unwrap() error { return e.Err }

// unreachable classifies err, which ended a request to member.
func unreachable(member string, err error) *UnreachableError {
	if known, ok := errors.AsType[*UnreachableError](err); ok {
		return known
	}
	// The URL says nothing that the address inside does not say, and it is long.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &UnreachableError{Member: member, Cause: causeOf(err), Err: err}
}

func causeOf(err error) Cause {
	if status, ok := errors.AsType[*statusError](err); ok {
		if status.code == http.StatusUnauthorized {
			return CauseCredentials
		}
		return CauseNotReady
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return CauseCertificate
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return CauseCertificate
	}
	// A TLS alert is the server's word on our certificate.
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return CauseCredentials
	}
	// client-go gives credential plugins and the server's alerts no type of their own; these are its and crypto/tls' words.
	if text := err.Error(); strings.Contains(text, "getting credentials:") || strings.Contains(text, "remote error: tls:") {
		return CauseCredentials
	}
	return CauseNetwork
}

// statusError is an HTTP answer that tells that the server as a whole cannot be used.
type statusError struct {
	code int
	body string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%d %s", e.code, http.StatusText(e.code))
	if e.body != "" {
		text += ": " + e.body
	}
	return text
}
