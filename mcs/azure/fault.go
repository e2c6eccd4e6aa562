package azure

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// cause is why a request failed, by what is to be done about it.
type cause int

const (
	transient  cause = iota // try again, later each time; what was written may have arrived
	gone                    // it is not there
	stale                   // another version stands than the one that was read: read again and decide anew
	overtaken               // another write came between: likewise
	busy                    // Azure is at work on it or on what it refers to: only this one waits
	throttled               // everything of that kind waits for as long as Azure says
	refused                 // a person has to do something
	failedLate              // it was accepted and then failed: once more, then like transient
)

// fault is a failed request in what we need of it.
type fault struct {
	cause cause
	after time.Duration // how long Azure asks to wait; 0 when it does not say
	text  string        // for a person: code and message, never the request or its headers
}

// Codes in bodies that say more than the status does.
const (
	codeRetryable  = "Retryable" // RetryableError, RetryableErrorDueToAnotherOperation: the resource is busy, nobody is throttled
	codeReferenced = "ReferencedResourceNotProvisioned"
	codeOperation  = "AnotherOperationInProgress"
	codeSuperseded = "Superseded"
	codePrecond    = "PreconditionFailed"
	codeInUse      = "CannotBeDeleted"
	codeGroupGone  = "ResourceGroupNotFound"
	codePriority   = "SecurityRuleConflict" // somebody else took it meanwhile
)

// faultOf reads an error of the SDK; nil is none.
func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	if auth, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return &fault{refused, 0, "the credentials were refused: " + refusal(auth)}
	}
	response, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return &fault{transient, 0, "no answer in time"}
		}
		return &fault{transient, 0, line(err.Error())}
	}
	codes, text := explain(response)
	f := &fault{after: retryAfter(response.RawResponse), text: text}
	has := func(part string) bool {
		return slices.ContainsFunc(codes, func(c string) bool { return strings.Contains(c, part) })
	}
	status := response.StatusCode
	switch {
	case has(codeSuperseded):
		f.cause = overtaken
	case status == http.StatusPreconditionFailed, has(codePrecond), has(codePriority):
		f.cause = stale
	case has(codeRetryable), has(codeReferenced), has(codeOperation), has(codeInUse):
		f.cause = busy
	case status == http.StatusTooManyRequests:
		f.cause = throttled
	case status == http.StatusNotFound && has(codeGroupGone): // of a group just made, some regions do not know yet
		f.cause, f.text = refused, f.text+": make the resource group, and grant the role in it"
	case status == http.StatusNotFound:
		f.cause = gone
	case status == http.StatusConflict:
		f.cause = busy
	case status == http.StatusOK: // the answer about an operation that failed
		f.cause = failedLate
	case status >= 500, status == http.StatusRequestTimeout:
		f.cause = transient
	default:
		f.cause = refused
	}
	return f
}

// refusal is what an authority says of credentials. The error itself is a dump of the whole answer.
func refusal(e *azidentity.AuthenticationFailedError) string {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if e.RawResponse != nil {
		if data, err := runtime.Payload(e.RawResponse); err == nil && json.Unmarshal(data, &body) == nil && body.Error+body.Description != "" {
			return line(strings.Trim(body.Error+": "+body.Description, ": "))
		}
	}
	return line(e.Error())
}

// armError is an error as ARM writes it, in answers and in the results of operations.
type armError struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Details []armError `json:"details"`
}

// explain returns every code of an answer, and its innermost code and message: the outer ones are general.
func explain(response *azcore.ResponseError) (codes []string, text string) {
	var body struct {
		Error armError `json:"error"`
	}
	codes = []string{response.ErrorCode}
	if response.RawResponse != nil {
		if data, err := runtime.Payload(response.RawResponse); err == nil && json.Unmarshal(data, &body) == nil {
			for e := &body.Error; ; e = &e.Details[0] {
				if e.Code != "" {
					codes = append(codes, e.Code)
				}
				if e.Message != "" || e.Code != "" {
					text = strings.Trim(e.Code+": "+e.Message, ": ")
				}
				if len(e.Details) == 0 {
					break
				}
			}
		}
	}
	if text == "" {
		text = strings.TrimSpace(response.ErrorCode + " (" + http.StatusText(response.StatusCode) + ")")
	}
	return codes, line(text)
}

// longest is how much of another program's words is told.
const longest = 300

// line makes one line of text, and not a long one.
func line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
