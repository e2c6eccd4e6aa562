// localfleet runs a fleet of real Kubernetes control planes on one machine, with simulated nodes and pods, for tests
// and demonstrations. See README.md beside this file.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/gitfleet/gitfleet/test/localfleet/supervisor"
)

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" { // a symlink to this binary is kubectl
		runKubectl(os.Args[1:], defaultDir())
	}
	args := os.Args[1:]
	if len(args) > 0 && becomeComponent(args) {
		return
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "localfleet:", err)
		os.Exit(1)
	}
}

// becomeComponent turns this process into a part of a control plane, if that is what args ask for. The programs read
// os.Args themselves.
func becomeComponent(args []string) bool {
	os.Args = args
	switch args[0] {
	case supervisor.Etcd:
		etcdmain.Main(args)
	case supervisor.APIServer:
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case supervisor.ControllerManager:
		os.Exit(cli.Run(manager.NewControllerManagerCommand()))
	case supervisor.Scheduler:
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	default:
		return false
	}
	return true
}

// runKubectl is kubectl with the fleet's kubeconfig, unless KUBECONFIG or --kubeconfig says otherwise. It ends the
// process.
func runKubectl(args []string, dir string) {
	os.Args = append([]string{"kubectl"}, args...)
	layout := supervisor.Layout{Dir: dir}
	if _, err := os.Stat(layout.Kubeconfig()); err == nil && os.Getenv("KUBECONFIG") == "" {
		if err := os.Setenv("KUBECONFIG", layout.Kubeconfig()); err != nil {
			fmt.Fprintln(os.Stderr, "localfleet:", err)
			os.Exit(1)
		}
		// A flag, for kubectl has read its environment before main.
		os.Args = slices.Insert(os.Args, 1, "--cache-dir="+layout.KubectlCache())
	}
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints as kubectl does, and exits with its code
	}
	os.Exit(0)
}
