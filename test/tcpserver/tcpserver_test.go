package tcpserver

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A killed server resets the connections there are, and refuses new ones.
func TestKill(t *testing.T) {
	s, err := Listen("127.0.0.1:0", func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer := make([]byte, 1)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'x' {
		t.Fatalf("answered %q, %v", answer, err)
	}
	s.Kill()
	if _, err := conn.Read(answer); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
	if _, err := net.Dial("tcp4", s.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting gave %v, want refused", err)
	}
	s.Kill() // again is harmless
}
