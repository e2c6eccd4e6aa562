package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/mcs/service"
	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/report"
)

// runOptions is what `gitfleet run` was told.
type runOptions struct {
	repository    repositoryOptions
	paths         []string
	kubeconfigs   []string
	hubKubeconfig string
	hubContext    string
	loadBalancer  string
	serviceLease  time.Duration
	mcsAPI        bool
	local         localOptions
	azure         azureOptions
	serving       servingOptions
	forge         forgeOptions
	stateDir      string
	interval      time.Duration
	once          bool
	takeOver      bool
	verify        time.Duration
	timeout       time.Duration
	limitOptions
}

// repositoryOptions names a repository and how to reach it.
type repositoryOptions struct {
	url, ref, authFile, caFile string
}

func (o *repositoryOptions) addFlags(cmd *cobra.Command, ref string) {
	flags := cmd.Flags()
	flags.StringVar(&o.url, "repo", "", "URL of the fleet repository (https:// or file://), or a directory to take as it is, committed or not")
	flags.StringVar(&o.ref, "ref", ref, "branch to follow")
	flags.StringVar(&o.authFile, "repo-auth-file", "", "file with a token or user:password for the repository, read at each use")
	flags.StringVar(&o.caFile, "repo-ca-file", "", "PEM file of certificates to trust besides the system's")
}

// The values of --load-balancer.
const loadBalancerNone, loadBalancerService, loadBalancerAzure, loadBalancerLocal = "none", "service", "azure", "local"

func newRun() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run --repo URL --kubeconfig FILE",
		Short: "Keep the fleet in step with the repository",
		Long: `run polls the repository, applies it to the member clusters and keeps load balancers in step, until it is stopped.

The repository's MemberCluster manifests are the registry of members. The credentials of a member are those of the
context of the same name in the files or directories given by --kubeconfig. No kubeconfig is read unless it is named.`,
		Example: `  gitfleet run --repo https://git.example.com/fleet.git --kubeconfig ~/fleet.kubeconfig
  gitfleet run --once --repo file:///srv/git/fleet.git --kubeconfig members/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.repository.addFlags(cmd, "main")
	flags := cmd.Flags()
	flags.StringArrayVar(&o.paths, "path", nil, "directory of the repository to render; may be given again (default all)")
	flags.StringArrayVar(&o.kubeconfigs, "kubeconfig", nil, "kubeconfig file, or directory of them, with a context for each member; may be given again")
	flags.StringVar(&o.hubKubeconfig, "hub-kubeconfig", "", "kubeconfig of a cluster to publish status in (optional)")
	flags.StringVar(&o.hubContext, "hub-context", "", "context in --hub-kubeconfig (default its current one)")
	flags.StringVar(&o.loadBalancer, "load-balancer", loadBalancerService, "what serves MultiClusterServices: service for a Service of type LoadBalancer in the member that asks, azure for load balancers of Azure that belong to the fleet, local for a proxy on this machine, or none")
	flags.DurationVar(&o.serviceLease, "service-lease", 15*time.Minute, "how long the endpoints of a member that is out of reach are handed on, as long as another member has some that are ready; 0 for ever")
	flags.BoolVar(&o.mcsAPI, "mcs-api", false, "define ServiceExport and ServiceImport of multicluster.x-k8s.io (KEP-1645) on members that do not have them; where they are defined they are served in any case")
	o.local.addFlags(cmd)
	o.azure.addFlags(cmd)
	o.serving.addFlags(cmd)
	o.forge.addFlags(cmd)
	o.limitOptions.addFlags(cmd)
	flags.StringVar(&o.stateDir, "state-dir", defaultStateDir(), "directory for the repository cache and the state file")
	flags.DurationVar(&o.interval, "interval", 15*time.Second, "time between two looks at the repository")
	flags.BoolVar(&o.once, "once", false, "make one full pass, then exit: 0 when converged, 1 when not")
	flags.BoolVar(&o.takeOver, "take-over", false, "own what was placed from another repository, branch or --path under the same placement names: once, after the repository moved; and statuses of services that another controller wrote before it ended")
	flags.DurationVar(&o.verify, "verify-every", 24*time.Hour, "time in which every object is verified once by a dry run, for what its metadata cannot show; 0 for never")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "with --once: how long to wait for health")
	return cmd
}

func defaultStateDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "gitfleet")
}

func (o *runOptions) validate() error {
	switch {
	case o.repository.url == "":
		return errors.New("no repository: name it with --repo URL, or --repo DIR for a directory as it is")
	case len(o.kubeconfigs) == 0:
		return errors.New("no credentials for members: name a kubeconfig file or directory with --kubeconfig")
	case o.stateDir == "":
		return errors.New("no state directory: name one with --state-dir")
	case !slices.Contains([]string{loadBalancerNone, loadBalancerService, loadBalancerAzure, loadBalancerLocal}, o.loadBalancer):
		return fmt.Errorf("--load-balancer %q: want service, azure, local or none", o.loadBalancer)
	case o.once && o.loadBalancer == loadBalancerLocal:
		return errors.New("--once cannot be combined with --load-balancer local: its proxy lives only as long as the process")
	case o.hubContext != "" && o.hubKubeconfig == "":
		return errors.New("--hub-context needs --hub-kubeconfig")
	case o.interval <= 0:
		return fmt.Errorf("--interval %s: must be positive", o.interval)
	case o.verify < 0:
		return fmt.Errorf("--verify-every %s: must not be negative", o.verify)
	case o.serviceLease < 0:
		return fmt.Errorf("--service-lease %s: must not be negative", o.serviceLease)
	case o.timeout <= 0:
		return fmt.Errorf("--timeout %s: must be positive", o.timeout)
	}
	watched := !strings.Contains(o.repository.url, "://")
	return errors.Join(o.local.validate(o.loadBalancer == loadBalancerLocal), o.azure.validate(o.loadBalancer == loadBalancerAzure), o.limitOptions.validate(), o.serving.validate(o.once, watched), o.forge.validate(o.repository.url))
}

// source names what is followed, without credentials.
func (o runOptions) source() string {
	repository := o.repository.url
	if !strings.Contains(repository, "://") {
		repository = absolute(repository)
	}
	if u, err := url.Parse(repository); err == nil {
		u.User = nil
		repository = u.String()
	}
	return strings.Join(append([]string{repository, o.repository.ref}, o.paths...), " ")
}

// instance is who this process is to another one on the same members.
func instance(store *reconcile.Store) apply.Instance {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	// A copy of the state directory on another machine is somebody else.
	return apply.Instance{ID: store.Instance() + "@" + host, Description: fmt.Sprintf("%s, process %d", host, os.Getpid())}
}

// run wires the stages and runs the loop.
func run(ctx context.Context, o runOptions, stdout, stderr io.Writer) (err error) {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	store, err := reconcile.OpenStore(o.stateDir, o.source())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	repository, err := openRepository(ctx, o.repository, o.stateDir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.close()) }()
	confinements, err := o.confinements()
	if err != nil {
		return err
	}
	opt := reconcile.Options{Repository: repository, Store: store, SourceChanged: repository.changed, Paths: o.paths, Interval: o.interval,
		TakeOver: o.takeOver, Confinements: confinements, Threshold: o.threshold(), Verify: o.verify, ServiceLease: o.serviceLease, Log: log}
	if opt.Builder, err = newBuilder(); err != nil {
		return err
	}
	closeForge, err := o.forge.wire(ctx, &opt, o.repository, o.stateDir, repository.Repository)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeForge()) }()
	self := instance(store)
	members, err := openMembers(o.kubeconfigs, &self, apply.DefaultClaimTiming())
	if err != nil {
		return err
	}
	defer members.close()
	if o.mcsAPI {
		members.definitions = append(members.definitions, crd.Standard()...)
	}
	opt.Fleet = members
	if o.hubKubeconfig != "" {
		h, err := openHub(o, self)
		if err != nil {
			return err
		}
		defer h.close()
		opt.Hub, opt.HubChanged = h, h.changed
	}
	bell := web.NewBell(lookEvery)
	serve := web.Options{BadgeTokenFile: o.serving.badgeTokens, HookSecretFile: o.serving.hookSecrets, Look: bell.Ring, Log: log}
	switch o.loadBalancer {
	case loadBalancerService:
		opt.Provider = service.New()
	case loadBalancerAzure:
		if opt.Provider, err = o.azure.open(o.source(), o.takeOver); err != nil {
			return err
		}
	case loadBalancerLocal:
		provider, err := o.local.open()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, provider.Close()) }()
		opt.Provider = provider
		serve.Collectors = append(serve.Collectors, provider.Collector())
	}
	if o.serving.hookSecrets != "" {
		opt.SourceChanged = bell.Signals()
	}
	loop := reconcile.New(opt)
	if o.once {
		return runOnce(ctx, loop, o.timeout, stdout)
	}
	serve.Latest = loop.Report
	return runServing(ctx, loop, o.serving, serve, stdout)
}

// lookEvery is the time between two looks at the repository that webhooks ask for: forges send several for one push.
const lookEvery = 2 * time.Second

// runOnce makes one pass and prints what it came to.
func runOnce(ctx context.Context, loop *reconcile.Loop, timeout time.Duration, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := loop.RunOnce(ctx)
	if err != nil && !errors.Is(err, reconcile.ErrNotConverged) {
		return err
	}
	fmt.Fprint(stdout, report.Summary(loop.Report()))
	if err != nil {
		return exitCode(exitError)
	}
	return nil
}
