package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gitfleet/gitfleet/test/tcpserver"
)

const (
	readySamples = 100 // a run
	deathSamples = 10  // a run
	serviceCount = 100 // of the figure for memory
	endpoints    = 100 // of each of them

	trafficGoal = time.Second     // of p99
	deathGoal   = 2 * time.Second // of p99
	memoryGoal  = 200             // MiB

	servicePort = 18480
	podPort     = 18481
)

// serviceSuite measures how soon what happens to an endpoint of a member shows elsewhere. The controllers of the members are stopped: the
// benchmark writes EndpointSlices itself, as they would when a pod becomes Ready, and time counts from sending that. The limit is when a
// bare watch shows the slice.
func serviceSuite(s settings, shared *sharedFleet) suite {
	return suite{
		names: []string{"service-ready-to-traffic-p50", "service-ready-to-traffic-p99", "service-ready-to-import-p50", "service-ready-to-import-p99",
			"service-death-to-last-failure-p50", "service-death-to-last-failure-p99"},
		measure: func(ctx context.Context, notes *notebook) (err error) {
			v, err := startServices(ctx, s, shared)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.close(ctx)) }()
			if err := v.export(ctx, "web"); err != nil {
				return err
			}
			at, err := v.balance(ctx, "web")
			if err != nil {
				return err
			}
			for range runs {
				if err := v.measureReady(ctx, at, notes); err != nil {
					return fmt.Errorf("becoming ready: %w", err)
				}
				if err := v.measureDeath(ctx, at, notes); err != nil {
					return fmt.Errorf("dying: %w", err)
				}
			}
			return nil
		},
	}
}

// serviceMemorySuite measures what gitfleet holds when ten thousand endpoints of one member are imported on all.
func serviceMemorySuite(s settings, shared *sharedFleet) suite {
	return suite{
		names: []string{"service-memory-10000", "service-memory-10000-peak"},
		measure: func(ctx context.Context, notes *notebook) (err error) {
			v, err := startServices(ctx, s, shared)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.close(ctx)) }()
			for n := range serviceCount {
				name := fmt.Sprintf("web-%03d", n)
				if err := v.export(ctx, name); err != nil {
					return err
				}
				var addresses []string
				for e := range endpoints {
					addresses = append(addresses, fmt.Sprintf("10.251.%d.%d", n, e+1))
				}
				if err := v.putSlice(ctx, name, addresses...); err != nil {
					return err
				}
			}
			for range runs {
				if err := v.awaitImported(ctx); err != nil {
					return err
				}
				m, err := memoryOf(v.product.cmd.Process.Pid)
				if err != nil {
					return err
				}
				goal := fmt.Sprintf("goal %d MiB", memoryGoal)
				notes.add("service-memory-10000", m.resident, "MiB", goal, memoryGoal)
				notes.add("service-memory-10000-peak", m.peak, "MiB", goal, memoryGoal)
				if _, err := v.restart(ctx); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// serviceWorld is a world whose first member exports to all.
type serviceWorld struct{ *world }

func startServices(ctx context.Context, s settings, shared *sharedFleet) (*serviceWorld, error) {
	fleet, err := shared.get(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := fleet.bareClients()
	if err != nil {
		return nil, err
	}
	w, err := newWorld(ctx, s.gitfleet, clients, fleet.kubeconfig, nil)
	if err != nil {
		return nil, err
	}
	// What an earlier suite left in the inventory for services is this one's to remove.
	w.options.more = []string{"--take-over", "--mcs-api", "--load-balancer", "local", "--local-dial-map", "10.0.0.0/8=127.0.0.0/8"}
	if _, err := w.restart(ctx); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return &serviceWorld{w}, nil
}

// close removes the namespace from the members, and with it what the benchmark made there.
func (v *serviceWorld) close(ctx context.Context) error {
	var errs []error
	for _, c := range v.clients {
		for _, path := range []string{"/apis/multicluster.x-k8s.io/v1beta1/namespaces/%s/serviceexports", "/apis/networking.fleet.azure.com/v1alpha1/namespaces/%s/multiclusterservices",
			"/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices"} {
			_, err := c.send(ctx, http.MethodDelete, fmt.Sprintf(path, v.namespace), jsonContent, []byte(`{}`))
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, v.world.close(ctx))...)
}

// apply applies an object of the namespace on the first member.
func (v *serviceWorld) apply(ctx context.Context, root, plural, name, body string) error {
	path := fmt.Sprintf("%s/namespaces/%s/%s/%s", root, v.namespace, plural, name)
	return v.clients[0].apply(ctx, appliedObject{path: path, body: []byte(body)})
}

// export makes a Service and its export. It selects nothing: the benchmark says what its endpoints are.
func (v *serviceWorld) export(ctx context.Context, name string) error {
	return errors.Join(
		v.apply(ctx, "/api/v1", "services", name, fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q},"spec":{"ports":[{"port":%d}]}}`, name, servicePort)),
		v.apply(ctx, "/apis/multicluster.x-k8s.io/v1beta1", "serviceexports", name, fmt.Sprintf(`{"apiVersion":"multicluster.x-k8s.io/v1beta1","kind":"ServiceExport","metadata":{"name":%q}}`, name)))
}

func slicePath(namespace string) string {
	return "/apis/discovery.k8s.io/v1/namespaces/" + namespace + "/endpointslices"
}

// putSlice makes these addresses the ready endpoints of a Service.
func (v *serviceWorld) putSlice(ctx context.Context, service string, addresses ...string) error {
	var list []any
	for _, a := range addresses {
		list = append(list, map[string]any{"addresses": []string{a}, "conditions": map[string]any{"ready": true}})
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": list,
		"metadata": map[string]any{"name": service, "labels": map[string]any{"kubernetes.io/service-name": service}}, "ports": []any{map[string]any{"name": "", "port": podPort, "protocol": "TCP"}}})
	if err != nil {
		return err
	}
	return v.apply(ctx, "/apis/discovery.k8s.io/v1", "endpointslices", service, string(body))
}

// balance asks for a load balancer and returns where it is reached.
func (v *serviceWorld) balance(ctx context.Context, name string) (string, error) {
	const root = "/apis/networking.fleet.azure.com/v1alpha1"
	if err := v.apply(ctx, root, "multiclusterservices", name, fmt.Sprintf(
		`{"apiVersion":"networking.fleet.azure.com/v1alpha1","kind":"MultiClusterService","metadata":{"name":%q},"spec":{"serviceImport":{"name":%q}}}`, name, name)); err != nil {
		return "", err
	}
	var at string
	err := v.product.await(ctx, func() error {
		data, err := v.clients[0].send(ctx, http.MethodGet, fmt.Sprintf("%s/namespaces/%s/multiclusterservices/%s", root, v.namespace, name), "", nil)
		if err != nil {
			return err
		}
		var s struct {
			Status struct {
				LoadBalancer struct{ Ingress []struct{ IP string } }
			}
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		if len(s.Status.LoadBalancer.Ingress) == 0 {
			return errors.New("the load balancer has no address")
		}
		at = fmt.Sprintf("%s:%d", s.Status.LoadBalancer.Ingress[0].IP, servicePort)
		return nil
	})
	return at, err
}

// pod says its address on every connection, at 127.251.0.n for 10.251.0.n, until it is killed.
type pod struct {
	*tcpserver.Server
	address string
}

func startPod(n int) (*pod, error) {
	p := &pod{address: fmt.Sprintf("10.251.0.%d", n)}
	var err error
	p.Server, err = tcpserver.Listen(fmt.Sprintf("127.251.0.%d:%d", n, podPort), func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			_, _ = io.WriteString(conn, p.address) // the client sees what does not arrive
		}
	})
	return p, err
}

// request returns which pod answers.
func request(ctx context.Context, addr string) (string, error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("?")); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && len(answer) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return string(answer), err
}

// awaitAnswer asks until that pod answers, and returns when it did. The same client asks again at once: a sleep would be measured.
func awaitAnswer(ctx context.Context, addr, want string) (time.Time, error) {
	last := ""
	for end := time.Now().Add(patience); ctx.Err() == nil && time.Now().Before(end); {
		answer, err := request(ctx, addr)
		if answer == want {
			return time.Now(), nil
		}
		last = fmt.Sprintf("%q, %v", answer, err)
	}
	return time.Time{}, errors.Join(ctx.Err(), fmt.Errorf("%s did not answer at %s, the last answer was %s", want, addr, last))
}

// measureReady replaces the one endpoint there is by another one, again and again.
func (v *serviceWorld) measureReady(ctx context.Context, addr string, notes *notebook) error {
	watch, err := watchAll(ctx, v.clients[:2], v.namespace, []kind{{group: "discovery.k8s.io", version: "v1", plural: "endpointslices"}}, true)
	if err != nil {
		return err
	}
	defer watch.close()
	var traffic, imported, limit []float64
	for n := range readySamples {
		s, err := v.becomeReady(ctx, addr, n+1, watch)
		if err != nil {
			return err
		}
		traffic, imported, limit = append(traffic, float64(s.traffic)), append(imported, float64(s.imported)), append(limit, float64(s.bare))
	}
	for name, q := range map[string]float64{"-p50": 0.5, "-p99": 0.99} {
		bare := time.Duration(quantile(limit, q))
		took := time.Duration(quantile(traffic, q))
		notes.addTime("service-ready-to-traffic"+name, took, "bare watch", bare)
		notes.addGoal("service-ready-to-traffic"+name, took, trafficGoal)
		notes.addTime("service-ready-to-import"+name, time.Duration(quantile(imported, q)), "bare watch", bare)
	}
	return nil
}

// readiness is how long after an endpoint was said to be ready each of these saw it.
type readiness struct{ traffic, imported, bare time.Duration }

// becomeReady makes pod n the only endpoint.
func (v *serviceWorld) becomeReady(ctx context.Context, addr string, n int, watch *watching) (readiness, error) {
	p, err := startPod(n)
	if err != nil {
		return readiness{}, err
	}
	defer p.Kill()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan error, 1)
	var accepted time.Time
	sent := time.Now()
	go func() {
		var err error
		accepted, err = awaitAnswer(ctx, addr, p.address)
		answered <- err
	}()
	if err := v.putSlice(ctx, "web", p.address); err != nil {
		cancel()
		<-answered
		return readiness{}, err
	}
	var atSource, elsewhere time.Time
	_, err = watch.await(ctx, func(e seen) bool {
		switch {
		case !slices.Contains(e.ready, p.address):
		case e.path == slicePath(v.namespace)+"/web":
			atSource = e.at
		case e.member == v.clients[1].member:
			elsewhere = e.at
		}
		return !atSource.IsZero() && !elsewhere.IsZero()
	})
	err = errors.Join(err, <-answered)
	return readiness{accepted.Sub(sent), elsewhere.Sub(sent), atSource.Sub(sent)}, err
}

// measureDeath kills one of two endpoints while clients ask all the time, again and again.
func (v *serviceWorld) measureDeath(ctx context.Context, addr string, notes *notebook) error {
	var took []float64
	for range deathSamples {
		last, err := v.dieUnderLoad(ctx, addr)
		if err != nil {
			return err
		}
		took = append(took, float64(last))
	}
	notes.addGoal("service-death-to-last-failure-p50", time.Duration(quantile(took, 0.5)), deathGoal)
	notes.addGoal("service-death-to-last-failure-p99", time.Duration(quantile(took, 0.99)), deathGoal)
	return nil
}

// dieUnderLoad returns when the last request failed after an endpoint was killed; 0 when none did. Half a second after its death it is not
// ready any more, as a kubelet would have noticed.
func (v *serviceWorld) dieUnderLoad(ctx context.Context, addr string) (last time.Duration, err error) {
	const noticed = 500 * time.Millisecond
	stays, err := startPod(201)
	if err != nil {
		return 0, err
	}
	defer stays.Kill()
	dies, err := startPod(202)
	if err != nil {
		return 0, err
	}
	defer dies.Kill()
	if err := v.putSlice(ctx, "web", stays.address, dies.address); err != nil {
		return 0, err
	}
	for _, p := range []*pod{stays, dies} {
		if _, err := awaitAnswer(ctx, addr, p.address); err != nil {
			return 0, err
		}
	}
	died := time.Now()
	dies.Kill()
	var mu sync.Mutex
	clients, within := errgroup.WithContext(ctx)
	for range 8 {
		clients.Go(func() error {
			for time.Since(died) < 2*noticed && within.Err() == nil {
				if _, err := request(within, addr); err != nil {
					mu.Lock()
					last = max(last, time.Since(died))
					mu.Unlock()
				}
			}
			return nil
		})
	}
	select {
	case <-time.After(noticed):
	case <-ctx.Done():
	}
	err = errors.Join(v.putSlice(ctx, "web", stays.address), clients.Wait(), ctx.Err())
	return last, err
}

// awaitImported waits until every endpoint is imported on the second member.
func (v *serviceWorld) awaitImported(ctx context.Context) error {
	return v.product.await(ctx, func() error {
		data, err := v.clients[1].send(ctx, http.MethodGet, slicePath(v.namespace)+"?labelSelector=multicluster.kubernetes.io%2Fservice-name", "", nil)
		if err != nil {
			return err
		}
		if n := strings.Count(string(data), `"addresses":["10.251.`); n < serviceCount*endpoints {
			return fmt.Errorf("%d of %d endpoints are imported", n, serviceCount*endpoints)
		}
		return nil
	})
}
