package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
)

// maxDelay bounds ?delay=, so that a forgotten request does not outlive a test run.
const maxDelay = time.Minute

// answerer is the program that a simulated pod "runs": an HTTP server on the pod's loopback address. One worker at a
// time uses it (the queue never hands out a key twice), only page is read by other goroutines.
type answerer struct {
	uid       types.UID
	addr      netip.Addr // 10.M.x.y, as the pod's status shows it
	server    *http.Server
	listeners map[int32]net.Listener
	page      atomic.Pointer[page]
	published bool // the address was written to the API server: it can not be exchanged any more

	drainUntil time.Time     // when the pod is being deleted: until then it answers new connections
	stopped    chan struct{} // non-nil once the server was told to end, closed when it has
}

// page is what a pod answers. It is printed as one line of JSON, so that `grep addrs` shows a whole answer.
type page struct {
	Hostname  string            `json:"hostname"`
	Addrs     []string          `json:"addrs"`
	Cluster   string            `json:"cluster"`
	Namespace string            `json:"namespace"`
	Node      string            `json:"node"`
	Images    []string          `json:"images"`
	Labels    map[string]string `json:"labels,omitempty"`
	Port      int               `json:"port"`
}

func newAnswerer(uid types.UID, addr netip.Addr) *answerer {
	a := &answerer{uid: uid, addr: addr, listeners: map[int32]net.Listener{}}
	a.server = &http.Server{Handler: http.HandlerFunc(a.serve), ReadHeaderTimeout: 10 * time.Second}
	return a
}

// listen opens the ports that are not open yet. Ports never close before the pod ends: a program does not stop
// listening because a Service was deleted.
func (a *answerer) listen(ports []int32) error {
	var errs []error
	for _, port := range ports {
		if a.listeners[port] != nil {
			continue
		}
		l, err := net.Listen("tcp4", netip.AddrPortFrom(netplan.Loopback(a.addr), uint16(port)).String())
		if err != nil {
			errs = append(errs, fmt.Errorf("answer for pod address %s: %w", a.addr, err))
			continue
		}
		a.listeners[port] = l
		go func() { _ = a.server.Serve(l) }() // ends with ErrServerClosed, in close or drain
	}
	return errors.Join(errs...)
}

// show sets what the page says.
func (a *answerer) show(pod *corev1.Pod, cluster string) {
	p := &page{Hostname: pod.Name, Addrs: []string{a.addr.String()}, Cluster: cluster, Namespace: pod.Namespace,
		Node: pod.Spec.NodeName, Labels: pod.Labels}
	for _, c := range pod.Spec.Containers {
		p.Images = append(p.Images, c.Image)
	}
	a.page.Store(p)
}

// serve prints the page, after ?delay=DURATION if that is asked for (to hold a request open while something changes).
func (a *answerer) serve(w http.ResponseWriter, r *http.Request) {
	if d, err := time.ParseDuration(r.URL.Query().Get("delay")); err == nil {
		select {
		case <-time.After(min(d, maxDelay)):
		case <-r.Context().Done():
			return
		}
	}
	p := *a.page.Load()
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		p.Port = local.Port
	}
	line, err := json.Marshal(p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body := "Simulated pod: localfleet answers here, no container runs.\n" + string(line) + "\n"
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write([]byte(body)) // the client has gone: nobody is left to tell
}

// drain ends the server as a well-behaved program does on SIGTERM: no new connections, requests under way are
// finished until the deadline. It returns at once; stopped closes when all is over.
func (a *answerer) drain(deadline time.Time) {
	a.stopped = make(chan struct{})
	go func() {
		defer close(a.stopped)
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		if a.server.Shutdown(ctx) != nil {
			a.close()
		}
	}()
}

// close ends the server at once, as SIGKILL would. The listeners are closed by hand too: the server only knows those
// whose Serve has begun.
func (a *answerer) close() {
	_ = a.server.Close() // errors of closing sockets that are given up anyway
	for _, l := range a.listeners {
		_ = l.Close()
	}
}
