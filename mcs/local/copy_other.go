//go:build !linux

package local

import "net"

// messageReader reads from a connection. Other systems than Linux have no splice, nor enough connections to save buffers.
type messageReader struct{ src *net.TCPConn }

func newMessageReader(src *net.TCPConn) (*messageReader, error) { return &messageReader{src}, nil }

// forward waits for bytes, writes them to dst and returns how many. The end of the connection is io.EOF.
func (r *messageReader) forward(dst *net.TCPConn) (int, error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	n, err := r.src.Read(buffer[:])
	if n == 0 {
		return 0, err
	}
	return dst.Write(buffer[:n])
}
