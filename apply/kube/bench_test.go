package kube

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
)

// serverEnv makes the test binary an API server in memory, so that its CPU time is not ours.
const serverEnv = "GITFLEET_BENCH_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) == "" {
		os.Exit(m.Run())
	}
	s := memfleet.NewServer()
	c := s.Config()
	raw, err := json.Marshal(address{c.Host, c.CAData})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(raw))
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the benchmark closes it
	s.Close()
}

// address is how the server process is reached.
type address struct {
	Host string
	CA   []byte
}

// BenchmarkApply creates objects of a kilobyte, and tells what CPU time each takes on our side: to plan, send, observe and
// record. The server is another process.
func BenchmarkApply(b *testing.B) {
	config := serverProcess(b)
	m, err := open(config)
	if err != nil {
		b.Fatal(err)
	}
	p := m.(process)
	defer p.Close()
	const objects = 600
	filler := strings.Repeat("x", 1000)
	for round := range b.N {
		set := apply.Set{Name: fmt.Sprintf("round-%d", round), Revision: "1"}
		ns := fmt.Sprintf("round-%d", round)
		set.Objects = append(set.Objects, benchTarget(b, fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, ns)))
		for i := range objects {
			set.Objects = append(set.Objects, benchTarget(b, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":%q,"name":"c-%d"},"data":{"k":%q}}`, ns, i, filler)))
		}
		p.Track(apply.Kinds(map[string]apply.Parent{"": {Items: []apply.Item{{Ref: set.Objects[0].Ref, Version: "v1"}, {Ref: set.Objects[1].Ref, Version: "v1"}}}}))
		if !until(b.Context(), func() bool { return p.Live().Complete }) {
			b.Fatal("the view never was complete")
		}
		before := cpuTime(b)
		plan := apply.Diff("aks-1", []apply.Set{set}, p.Live(), time.Now())
		if err := p.Execute(b.Context(), plan).Err(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((cpuTime(b)-before).Seconds()*1000/objects, "cpu-ms/object")
	}
}

func benchTarget(b *testing.B, manifest string) *apply.Target {
	b.Helper()
	o := render.Object{Unstructured: &unstructured.Unstructured{}}
	if err := o.UnmarshalJSON([]byte(manifest)); err != nil {
		b.Fatal(err)
	}
	return apply.NewTarget(o, nil)
}

// serverProcess starts this very binary as an API server.
func serverProcess(b *testing.B) *rest.Config {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		b.Fatal(err)
	}
	var a address
	if err := json.Unmarshal(line, &a); err != nil {
		b.Fatal(err)
	}
	return &rest.Config{Host: a.Host, TLSClientConfig: rest.TLSClientConfig{CAData: a.CA}}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
