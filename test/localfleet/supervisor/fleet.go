// Package supervisor runs the control planes of a local fleet as child processes: it makes their files, starts them
// side by side, keeps them alive, and takes them away without a trace.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
)

// Hub is the name, and the kubeconfig context, of the cluster that is not a member.
const Hub = "fleet"

// NodesPerMember is how many nodes are simulated on each member.
const NodesPerMember = 2

// Config says which fleet to run.
type Config struct {
	Layout  Layout
	Members []string
	Version string        // of Kubernetes, as nodes report it
	Timeout time.Duration // for all clusters to become ready
	Audit   bool          // every write request is logged: see Layout.AuditLog
	// DualStack are the members whose Services may have addresses of both families. Pods have IPv4 everywhere.
	DualStack []string
	Log       *slog.Logger
	Say       func(Event) // told about progress; it must not block for long
}

// Event is one step on the way up. The last one of a start has Ready or Error set.
type Event struct {
	Cluster string `json:"cluster,omitempty"`
	Message string `json:"message,omitempty"`
	Ready   bool   `json:"ready,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Validate returns what is wrong with the names of the members.
func Validate(members []string) error {
	if len(members) == 0 || len(members) >= netplan.MaxClusters {
		return fmt.Errorf("a fleet has 1 to %d members, not %d", netplan.MaxClusters-1, len(members))
	}
	seen := map[string]bool{Hub: true}
	for _, name := range members {
		if seen[name] {
			return fmt.Errorf("member name %q is used twice (%q is the hub)", name, Hub)
		}
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			return fmt.Errorf("member name %q: %s", name, problems[0])
		}
		seen[name] = true
	}
	return nil
}

// location returns the region of the i-th member: the tutorial has two in one region and the others elsewhere.
func location(i int) string {
	if i < 2 {
		return "eastus"
	}
	return "westus"
}

type fleet struct {
	Config
	plan     netplan.Plan
	clusters []*cluster // the hub first
	down     context.CancelCauseFunc
	started  time.Time

	stateMu sync.Mutex // orders writes of the state file
}

// ErrDown is the cause with which a fleet ends when it was asked to.
var ErrDown = errors.New("the fleet was taken down")

// Run brings the fleet up and keeps it up until ctx ends or it is told to go down through its control socket, then
// removes it. It returns an error when it could not come up.
func Run(ctx context.Context, config Config) error {
	lock, err := config.Layout.Lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := config.Layout.Clean(); err != nil {
		return fmt.Errorf("leftovers of an earlier fleet: %w", err)
	}
	defer func() {
		if err := config.Layout.Clean(); err != nil {
			config.Log.Error("remove the fleet's files", "err", err)
		}
	}()
	plan, release, err := netplan.Claim()
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	ctx, down := context.WithCancelCause(ctx)
	defer down(nil)
	f := &fleet{Config: config, plan: plan, down: down, started: time.Now()}
	return f.run(ctx)
}

func (f *fleet) run(ctx context.Context) error {
	if err := f.build(); err != nil {
		return err
	}
	control, err := f.listen()
	if err != nil {
		return err
	}
	defer control.close()
	// The parts outlive ctx until halt, so that they end in order.
	defer f.halt()
	for _, c := range f.clusters {
		c.changed, c.say = f.saveState, f.progress
		c.start(context.WithoutCancel(ctx))
	}
	f.saveState()
	go control.serve(ctx)
	if err := f.waitReady(ctx); err != nil {
		return err
	}
	f.Say(Event{Ready: true, Message: fmt.Sprintf("all ready after %.1f s", time.Since(f.started).Seconds())})
	<-ctx.Done()
	f.Log.Info("going down", "cause", context.Cause(ctx))
	return nil
}

func (f *fleet) build() error {
	names := append([]string{Hub}, f.Members...)
	var all []access
	for i, name := range names {
		s := spec{name: name, index: i, version: f.Version, audit: f.Audit, dualStack: slices.Contains(f.DualStack, name)}
		if i > 0 {
			s.nodes, s.location = NodesPerMember, location(i-1)
		}
		c, err := newCluster(s, f.plan, f.Layout, f.Log)
		if err != nil {
			return err
		}
		f.clusters = append(f.clusters, c)
		all = append(all, c.access)
		if err := writeKubeconfig(f.Layout.KubeconfigOf(name), c.access); err != nil {
			return err
		}
	}
	if err := writeKubeconfig(f.Layout.Kubeconfig(), all...); err != nil {
		return err
	}
	return writeFile(f.Layout.Members(), membersManifest(f.Members))
}

func (f *fleet) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("waited %s", f.Timeout))
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(f.clusters))
	for i, c := range f.clusters {
		wg.Go(func() { errs[i] = c.waitReady(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *fleet) halt() {
	var wg sync.WaitGroup
	for _, c := range f.clusters {
		wg.Go(func() {
			c.halt()
			c.remove()
		})
	}
	wg.Wait()
}

func (f *fleet) progress(cluster, message string) {
	f.Say(Event{Cluster: cluster, Message: fmt.Sprintf("%s (%.1f s)", message, time.Since(f.started).Seconds())})
}

func (f *fleet) state() State {
	s := State{PID: os.Getpid(), Range: fmt.Sprintf("127.%d.0.0/16", f.plan.M)}
	for _, c := range f.clusters {
		s.Clusters = append(s.Clusters, c.state())
	}
	return s
}

func (f *fleet) saveState() {
	f.stateMu.Lock()
	defer f.stateMu.Unlock()
	if err := f.Layout.writeState(f.state()); err != nil {
		f.Log.Error("write the state file", "err", err)
	}
}

func (f *fleet) find(name string) (*cluster, error) {
	i := slices.IndexFunc(f.clusters, func(c *cluster) bool { return c.name == name })
	if i < 0 {
		names := append([]string{Hub}, f.Members...)
		return nil, fmt.Errorf("no cluster %q in this fleet: there are %q", name, names)
	}
	return f.clusters[i], nil
}
