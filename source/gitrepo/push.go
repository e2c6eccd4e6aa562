package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// pushSession is one conversation in which the server takes a pack.
type pushSession struct {
	link
	conn transport.ReceivePackSession
	adv  *packp.AdvRefs
}

// dialPush opens a session for pushing. It does not talk to the server yet.
func (r *Repository) dialPush(ctx context.Context) (*pushSession, error) {
	l, err := r.link()
	if err != nil {
		return nil, err
	}
	s := &pushSession{link: l}
	s.conn, err = l.client.NewReceivePackSession(&s.endpoint, l.auth)
	return s, s.wrapPush(ctx, err)
}

// close ends the conversation and the connections behind it.
func (s *pushSession) close() {
	if s.conn != nil {
		_ = s.conn.Close() // the server has answered what became of the push, or has not; an exit code adds nothing
	}
	s.hangUp()
}

// wrapPush is wrap for what only writing needs. Most servers let a reader in and refuse him at the first word of a push.
func (s *pushSession) wrapPush(ctx context.Context, err error) error {
	err = s.wrap(ctx, err)
	if e, ok := errors.AsType[*Error](err); ok && (e.Problem == Unauthorized || e.Problem == NotFound) {
		e.Problem = ReadOnly
	}
	return err
}

// ref asks the server for the commit of a reference, the zero hash when there is none.
func (s *pushSession) ref(ctx context.Context, name plumbing.ReferenceName) (plumbing.Hash, error) {
	adv, err := s.conn.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plumbing.ZeroHash, s.wrapPush(ctx, err)
	}
	s.adv = adv
	return adv.References[name.String()], nil
}

// push moves a reference from one commit to the next, which is in pack. The server refuses when the reference is
// elsewhere by now, or by a rule of its own: refusal is its reason then, in one line. An error means that it did not
// answer, and may have done it.
func (s *pushSession) push(ctx context.Context, move packp.Command, pack []byte) (refusal string, err error) {
	req := packp.NewReferenceUpdateRequestFromCapabilities(s.adv.Capabilities)
	req.Commands = []*packp.Command{&move}
	req.Packfile = io.NopCloser(bytes.NewReader(pack))
	var said strings.Builder // by the hooks of the server
	if s.adv.Capabilities.Supports(capability.Sideband64k) {
		if err := req.Capabilities.Set(capability.Sideband64k); err != nil {
			return "", s.wrap(ctx, err)
		}
		req.Progress = &said
	}
	report, err := s.conn.ReceivePack(ctx, req)
	switch {
	case report != nil && report.UnpackStatus != "ok":
		refusal = "it cannot store what is pushed: " + report.UnpackStatus
	case report != nil && report.Error() != nil:
		refusal = report.CommandStatuses[0].Status
	case err != nil:
		return "", s.wrapPush(ctx, err)
	case report == nil:
		return "", s.wrap(ctx, errors.New("the server does not say what became of a push"))
	default:
		return "", nil
	}
	if said.Len() > 0 {
		refusal += ": " + said.String()
	}
	return oneLine(s.secret.scrub(refusal)), nil
}
