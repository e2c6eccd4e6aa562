package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/test/realfleet"
	"github.com/gitfleet/gitfleet/test/tcpserver"
)

// podPort is where the pods of these tests listen. They are this process's own, so that one can be killed alone.
const podPort = 18491

// lonePod answers every line with its name, at 127.253.0.n for 10.253.0.n.
type lonePod struct {
	*tcpserver.Server
	name, address string
}

func startPod(t *testing.T, n int) *lonePod {
	t.Helper()
	p := &lonePod{name: fmt.Sprintf("pod-%d", n), address: fmt.Sprintf("10.253.0.%d", n)}
	var err error
	p.Server, err = tcpserver.Listen(fmt.Sprintf("127.253.0.%d:%d", n, podPort), func(conn net.Conn) {
		for in := bufio.NewReader(conn); ; {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			if _, err := io.WriteString(conn, p.name+"\n"); err != nil {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// crowd is clients of one address: some ask on a connection for each question, the others stay on one as long as it lasts.
type crowd struct {
	t    *testing.T
	addr string
	stop chan struct{}
	work sync.WaitGroup

	mu       sync.Mutex
	answers  map[string]int
	failures []string
	broken   map[string]int // connections that ended, by who had answered on them
}

// askers is how many questions are under way at once, each on a connection of its own.
const askers = 4

func gather(t *testing.T, addr string) *crowd {
	c := &crowd{t: t, addr: addr, stop: make(chan struct{}), answers: map[string]int{}, broken: map[string]int{}}
	for range askers {
		c.work.Go(c.ask)
	}
	return c
}

// stay opens n connections that go on until they are broken.
func (c *crowd) stay(n int) {
	for range n {
		c.work.Go(c.hold)
	}
}

func (c *crowd) disperse() {
	close(c.stop)
	c.work.Wait()
}

// pause is false when the crowd disperses.
func (c *crowd) pause(tick *time.Ticker) bool {
	select {
	case <-c.stop:
		return false
	case <-tick.C:
		return true
	}
}

func question(conn net.Conn, in *bufio.Reader) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "?\n"); err != nil {
		return "", err
	}
	name, err := in.ReadString('\n')
	return strings.TrimSpace(name), err
}

func (c *crowd) ask() {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for c.pause(tick) {
		name, err := func() (string, error) {
			conn, err := net.DialTimeout("tcp", c.addr, 20*time.Second)
			if err != nil {
				return "", err
			}
			defer conn.Close()
			return question(conn, bufio.NewReader(conn))
		}()
		c.mu.Lock()
		if err != nil {
			c.failures = append(c.failures, err.Error())
		} else {
			c.answers[name]++
		}
		c.mu.Unlock()
	}
}

func (c *crowd) hold() {
	conn, err := net.DialTimeout("tcp", c.addr, 20*time.Second)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	at := "nobody"
	for in := bufio.NewReader(conn); c.pause(tick); {
		name, err := question(conn, in)
		if err != nil {
			c.mu.Lock()
			c.broken[at]++
			c.mu.Unlock()
			return
		}
		at = name
	}
}

// awaitAnswers forgets who has answered so far, and waits until exactly these do.
func (c *crowd) awaitAnswers(what string, pods ...*lonePod) {
	c.t.Helper()
	var want []string
	for _, p := range pods {
		want = append(want, p.name)
	}
	slices.Sort(want)
	const enough = 60 // for round robin to reach everybody
	c.forgetAnswers()
	realfleet.Eventually(c.t, patience, func() error {
		got, total := c.answered()
		if total >= enough && slices.Equal(got, want) {
			return nil
		}
		if total >= enough {
			c.forgetAnswers()
		}
		return fmt.Errorf("%s: %d answers are from %v, want %v; failures: %v", what, total, got, want, c.failed())
	})
}

func (c *crowd) forgetAnswers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.answers)
}

// answered returns who has answered, and how often all of them together.
func (c *crowd) answered() (names []string, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.answers {
		total += n
	}
	return slices.Sorted(maps.Keys(c.answers)), total
}

// forget forgets failures and connections that ended: nobody could have helped it.
func (c *crowd) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures, c.broken = nil, map[string]int{}
}

func (c *crowd) failed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.failures)
}

// check wants that no question failed, but so many that were under way, and that no connection ended but those to these pods. What it
// has seen it forgets.
func (c *crowd) check(what string, underWay int, dead ...*lonePod) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) > underWay {
		c.t.Errorf("%s: %d questions failed: %v", what, len(c.failures), c.failures[:min(3, len(c.failures))])
	}
	for name, n := range c.broken {
		if !slices.ContainsFunc(dead, func(p *lonePod) bool { return p.name == name }) {
			c.t.Errorf("%s: %d connections to %s ended", what, n, name)
		}
	}
	c.failures, c.broken = nil, map[string]int{}
}

// endpoints makes pods the ready endpoints of hello on member i.
func (c *clusterset) endpoints(i int, pods ...*lonePod) {
	c.t.Helper()
	var list []string
	for _, p := range pods {
		list = append(list, readyEndpoint(p.address))
	}
	c.apply(i, endpointSlice(c.ns, "IPv4", "tcp", corev1.ProtocolTCP, podPort, list...))
}

// loneService is hello on member i, with that port and no selector.
func (c *clusterset) loneService(i int) {
	c.t.Helper()
	c.apply(i, serviceWithoutSelector(c.ns, "hello", "{name: tcp, port: 18490}"))
}

// balanced asks for a load balancer of hello on member i and returns where it is reached.
func (c *clusterset) balanced(i int) string {
	c.t.Helper()
	c.apply(i, multiClusterService(c.ns, "hello"))
	return c.address(i) + ":18490"
}
