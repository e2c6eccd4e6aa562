package local

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// pipes counts the ends of pipes that this process holds.
func pipes(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// The kernel moves a stream through a pipe; a copy through this process would have none. The streams stop in the middle, so
// that all the pipes are in use at once.
func TestStreamsAreSplicedAndMessagesAreNot(t *testing.T) {
	const streams, message, stream = 32, 100, 8 << 20
	before := pipes(t)
	var counts [streams]atomic.Int64
	var clients, servers []*net.TCPConn
	done := make(chan error, streams)
	for i := range streams {
		client, in := tcpPair(t)
		out, server := tcpPair(t)
		clients, servers = append(clients, client), append(servers, server)
		go func() { done <- copyStream(out, in, &counts[i]) }()
	}
	send := func(size int) {
		t.Helper()
		for i := range streams {
			go func() { _, _ = clients[i].Write(make([]byte, size)) }() // what is lost shows below
			if n, err := io.CopyN(io.Discard, bare{servers[i]}, int64(size)); err != nil {
				t.Fatalf("after %d of %d bytes: %v", n, size, err)
			}
		}
	}
	send(message)
	if got := pipes(t); got > before {
		t.Errorf("%d connections that carry messages hold %d ends of pipes more than before", streams, got-before)
	}
	send(stream)
	if got := pipes(t) - before; got < streams { // one that the sender lets wait may have gone back to messages
		t.Errorf("%d connections in the middle of a stream hold %d ends of pipes, want 2 for most", streams, got)
	}
	for i := range streams {
		if got := counts[i].Load(); got < stream-spliceSize-bufferSize {
			t.Errorf("%d of %d bytes are counted while the stream is open", got, stream)
		}
		clients[i].Close()
		if err := <-done; err != nil {
			t.Errorf("the end of a stream: %v", err)
		}
	}
	for i := range streams {
		if got := counts[i].Load(); got != message+stream {
			t.Errorf("%d bytes are counted at the end, %d were sent", got, message+stream)
		}
	}
}

// bare hides what would let io.Copy splice.
type bare struct{ io.Reader }
