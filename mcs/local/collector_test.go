package local

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// One series a backend and figure, which a linter of Prometheus's rules has nothing to say about.
func TestCollector(t *testing.T) {
	a, b := startBackend(t, 1), startBackend(t, 2)
	p, port := start(t, testOptions(t)), freePort(t)
	c := connect(t, address(t, p, balancerOf(port, a, b)))
	if err := c.echo("12345"); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.CollectAndLint(p.Collector())
	if err != nil || len(problems) > 0 {
		t.Errorf("the linter says %v (%v)", problems, err)
	}
	labels := func(of *backendServer) string {
		return fmt.Sprintf(`{cluster="m1",name="web",namespace="shop",port="%d/TCP",target="%s"}`, port, of.target)
	}
	want := fmt.Sprintf(`# HELP gitfleet_local_backend_connections Connections, or UDP sessions, that are open.
# TYPE gitfleet_local_backend_connections gauge
gitfleet_local_backend_connections%s 1
gitfleet_local_backend_connections%s 0
`, labels(a), labels(b))
	if err := testutil.CollectAndCompare(p.Collector(), strings.NewReader(want), "gitfleet_local_backend_connections"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(p.Collector()); n != 14 {
		t.Errorf("%d series, want 7 figures of 2 backends", n)
	}
}
