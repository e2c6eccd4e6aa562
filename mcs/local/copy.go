package local

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// bufferSize is what one read may bring. A read that fills the buffer tells of a stream in a hurry.
	bufferSize = 32 << 10

	// spliceSize is how many bytes move between two looks at the counters. It is what Go's pipe for splice(2) holds, so
	// that nothing is lost by asking for no more.
	spliceSize = 1 << 20
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyStream moves bytes from src to dst until src ends, and adds to count as they arrive.
//
// Both must be bare TCP connections. Messages pass through a pooled buffer, which is cheaper for them than a pipe. When
// one fills the buffer, ReadFrom takes over for the next spliceSize bytes; on Linux it splices, and the bytes never enter
// this process. Splicing throughout would hold two file descriptors for every direction of an idle connection.
func copyStream(dst, src *net.TCPConn, count *atomic.Int64) error {
	in, err := newMessageReader(src)
	if err != nil {
		return err
	}
	for {
		n, err := in.forward(dst)
		count.Add(int64(n))
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n < bufferSize:
			continue
		}
		moved, err := dst.ReadFrom(&io.LimitedReader{R: src, N: spliceSize})
		count.Add(moved)
		if err != nil || moved < spliceSize {
			return err
		}
	}
}
