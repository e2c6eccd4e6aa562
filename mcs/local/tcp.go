package local

import (
	"context"
	"net"
	"net/netip"
)

// maxDials times the dial timeout is how long a client waits for any backend at all.
const maxDials = 5

// carry connects client with a backend and returns when the connection has ended. A client for whom there is no backend
// is reset, as a refused connection would be. ctx bounds only the dialing.
func (p *pool) carry(ctx context.Context, client *net.TCPConn, dial dialFunc) {
	l, b := p.connect(ctx, client, dial)
	if l == nil {
		reset(client)
		return
	}
	l.run()
	p.unregister(b, l)
}

// connect tries each backend once, starting with the one whose turn it is. A failed dial is invisible to the client.
func (p *pool) connect(ctx context.Context, client *net.TCPConn, dial dialFunc) (*link, *backend) {
	from := client.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	var tried []*backend
	for ctx.Err() == nil {
		b := p.pick(from, tried)
		if b == nil {
			break
		}
		tried = append(tried, b)
		server, err := dial(ctx, b.target)
		p.reached(ctx, b, err)
		if err != nil {
			continue
		}
		l := &link{client: client, server: server, in: &b.in, out: &b.out}
		if p.register(b, l) {
			return l, b
		}
		reset(server)
	}
	return nil, nil
}

// dialTCP does not take longer than the dial timeout.
func (p *Provider) dialTCP(ctx context.Context, target netip.AddrPort) (*net.TCPConn, error) {
	at, err := dialAddress(p.options.DialMap, target)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: p.options.DialTimeout}
	c, err := d.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
