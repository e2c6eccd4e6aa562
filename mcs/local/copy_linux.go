package local

import (
	"io"
	"net"
	"os"
	"syscall"
)

// messageReader reads from a connection without holding a buffer while there is nothing to read.
type messageReader struct {
	raw    syscall.RawConn
	buffer *[bufferSize]byte // between a read that brought something and its being written
	n      int
	err    error
	try    func(fd uintptr) bool // tryRead, bound once
}

func newMessageReader(src *net.TCPConn) (*messageReader, error) {
	raw, err := src.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &messageReader{raw: raw}
	r.try = r.tryRead
	return r, nil
}

// tryRead is false when the connection has nothing to read yet.
func (r *messageReader) tryRead(fd uintptr) bool {
	buffer := buffers.Get().(*[bufferSize]byte)
	for {
		r.n, r.err = syscall.Read(int(fd), buffer[:])
		if r.err != syscall.EINTR {
			break
		}
	}
	if r.n > 0 {
		r.buffer = buffer
		return true
	}
	buffers.Put(buffer)
	return r.err != syscall.EAGAIN
}

// forward waits for bytes, writes them to dst and returns how many. The end of the connection is io.EOF.
func (r *messageReader) forward(dst *net.TCPConn) (int, error) {
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	if r.err != nil {
		return 0, os.NewSyscallError("read", r.err)
	}
	if r.n == 0 {
		return 0, io.EOF
	}
	n, err := dst.Write(r.buffer[:r.n])
	buffers.Put(r.buffer)
	r.buffer = nil
	return n, err
}
