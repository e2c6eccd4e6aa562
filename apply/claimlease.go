package apply

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
)

// Annotations of a lease, besides api.AnnotationSource.
const (
	annotationHolder    = "gitfleet.dev/holder"    // the holder's description
	annotationChallenge = "gitfleet.dev/challenge" // "NONCE by INSTANCE": the holder is asked whether it lives
	annotationAnswered  = "gitfleet.dev/answered"  // NONCE of the challenge that the holder answered last
)

// maxDescription bounds a description, in characters; it is printed in errors.
const maxDescription = 128

// String prints "host.example (instance 3f2a1b)".
func (i Instance) String() string {
	if i.Description == "" {
		return "instance " + oneLine(i.ID)
	}
	return oneLine(i.Description) + " (instance " + oneLine(i.ID) + ")"
}

// oneLine makes what others wrote fit to be printed.
func oneLine(s string) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	return string(r[:min(len(r), maxDescription)])
}

// ClaimLease is the lease behind a claim, as far as claims go. Its times are by the holder's clock and only shown.
type ClaimLease struct {
	ResourceVersion string // empty when there is no lease; what a write is based on
	UID             types.UID
	Source          string   // where the wish of its holder comes from
	Holder          Instance // without an ID when nobody holds it
	Since           time.Time
	Renewed         time.Time // when the holder wrote last
	Transitions     int32     // how often the holder changed
	Challenge       string    // empty when none stands
	Answered        string    // the last challenge that the holder answered
}

// Exists tells whether there is a lease.
func (l ClaimLease) Exists() bool { return l.ResourceVersion != "" }

// Released returns l with nobody holding it, at once free for everybody.
func (l ClaimLease) Released(now time.Time) ClaimLease {
	l.Holder, l.Since, l.Renewed = Instance{}, time.Time{}, now
	l.Challenge, l.Answered = "", ""
	return l
}

func (l ClaimLease) heldBy(i Instance, now time.Time) ClaimLease {
	if l.Exists() {
		l.Transitions++
	}
	l.Holder, l.Since, l.Renewed = i, now, now
	l.Challenge, l.Answered = "", ""
	return l
}

func (l ClaimLease) challenge(nonce string, by Instance) ClaimLease {
	l.Challenge = nonce + " by " + by.String()
	return l
}

// answer takes whatever stands for a challenge: refusing to answer one that somebody wrote wrongly could cost the lease.
func (l ClaimLease) answer(i Instance, now time.Time) ClaimLease {
	nonce, _, _ := strings.Cut(strings.TrimSpace(l.Challenge), " ")
	l.Holder, l.Renewed = i, now
	l.Challenge, l.Answered = "", nonce
	return l
}

// ClaimName returns the name of the Lease in api.SystemNamespace that claims a member for source. Other sources have
// other leases, and may manage the same member.
func ClaimName(source string) string {
	return fmt.Sprintf("gitfleet-%.6x", sha256.Sum256([]byte(source)))
}

// EncodeClaim returns the Lease that holds l. With a resourceVersion and a UID it is only good for replacing just that one.
func EncodeClaim(l ClaimLease) *coordinationv1.Lease {
	out := &coordinationv1.Lease{
		TypeMeta: metav1.TypeMeta{APIVersion: coordinationv1.SchemeGroupVersion.String(), Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{Namespace: api.SystemNamespace, Name: ClaimName(l.Source),
			ResourceVersion: l.ResourceVersion, UID: l.UID, Annotations: map[string]string{api.AnnotationSource: l.Source}},
		Spec: coordinationv1.LeaseSpec{AcquireTime: microTime(l.Since), RenewTime: microTime(l.Renewed), LeaseTransitions: &l.Transitions},
	}
	if l.Holder.ID != "" {
		out.Spec.HolderIdentity = &l.Holder.ID
	}
	for key, value := range map[string]string{
		annotationHolder: oneLine(l.Holder.Description), annotationChallenge: l.Challenge, annotationAnswered: l.Answered} {
		if value != "" {
			out.Annotations[key] = value
		}
	}
	return out
}

// DecodeClaim reads what EncodeClaim made, for source. Whatever others made of it has a meaning: a lease that names
// nobody is free, and any challenge is one.
func DecodeClaim(lease *coordinationv1.Lease, source string) ClaimLease {
	l := ClaimLease{
		ResourceVersion: lease.ResourceVersion,
		UID:             lease.UID,
		Source:          source,
		Challenge:       lease.Annotations[annotationChallenge],
		Answered:        lease.Annotations[annotationAnswered],
	}
	if id := lease.Spec.HolderIdentity; id != nil && *id != "" {
		l.Holder = Instance{ID: *id, Description: lease.Annotations[annotationHolder]}
	}
	if t := lease.Spec.AcquireTime; t != nil {
		l.Since = t.Time
	}
	if t := lease.Spec.RenewTime; t != nil {
		l.Renewed = t.Time
	}
	if n := lease.Spec.LeaseTransitions; n != nil {
		l.Transitions = *n
	}
	return l
}

// microTime leaves a time that is not set out of the object.
func microTime(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return &metav1.MicroTime{Time: t.UTC()}
}

// ClaimedError tells that another live instance manages a member from the same source. Nothing may be changed there.
type ClaimedError struct {
	Source string
	Holder Instance
	Since  time.Time // by the holder's clock; zero when it does not say
}

// Error names the other one, and what to do.
func (e *ClaimedError) Error() string {
	since := ""
	if !e.Since.IsZero() {
		since = " since " + e.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("another gitfleet manages this member from the same source, %q: %s%s; nothing is changed here until that one stops: "+
		"stop one of the two, or give them different repositories, branches or paths (Lease %s/%s)",
		e.Source, e.Holder, since, api.SystemNamespace, ClaimName(e.Source))
}

// ClaimPendingError tells that it is not yet, or at this moment not, known whether this instance may manage a member.
type ClaimPendingError struct {
	Source string
	Reason string
}

// Error names the lease and what is going on.
func (e *ClaimPendingError) Error() string {
	return fmt.Sprintf("the claim on this member (Lease %s/%s) is not held yet: %s", api.SystemNamespace, ClaimName(e.Source), e.Reason)
}
