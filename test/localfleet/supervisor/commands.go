package supervisor

import (
	"fmt"
	"net/netip"
	"strings"
)

// Names of the components, which are also the first argument that makes this binary become one of them.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
)

// Files in a cluster's directory, which is its components' working directory.
const (
	caCert        = "ca.crt"
	apiCert       = "apiserver.crt"
	apiKey        = "apiserver.key"
	accountKey    = "service-accounts.key"
	managerConfig = "controller-manager.kubeconfig"
	schedConfig   = "scheduler.kubeconfig"
	auditConfig   = "audit-policy.yaml"
)

// auditPolicy records who asked for which write, and what the answer was, without any object.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
omitManagedFields: true
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
`

// serviceRange is where ClusterIPs come from. It is the default of AKS and disjoint from every 10.M (M is 2 or more).
const serviceRange = "10.0.0.0/16"

// serviceRangeOf6 is the second range of clusters whose Services may have both families.
const serviceRangeOf6 = "fd00:a::/112"

// etcdArgs: the sockets' names look like host and port because etcd wants them to; they are files in the directory.
func etcdArgs() []string {
	const client, peer = "unix://etcd.sock:0", "unix://peer.sock:0"
	return []string{Etcd, "--name=localfleet", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=localfleet=" + peer}
}

func apiServerArgs(listen netip.AddrPort, advertised netip.Addr, dualStack bool) []string {
	services := serviceRange
	if dualStack {
		services += "," + serviceRangeOf6
	}
	return []string{APIServer,
		"--etcd-servers=unix://etcd.sock:0",
		"--bind-address=" + listen.Addr().String(), "--secure-port=" + fmt.Sprint(listen.Port()),
		"--advertise-address=" + advertised.String(),
		"--tls-cert-file=" + apiCert, "--tls-private-key-file=" + apiKey, "--client-ca-file=" + caCert,
		"--authorization-mode=Node,RBAC", "--allow-privileged", "--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range=" + services,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + accountKey, "--service-account-key-file=" + accountKey,
		// Services are dialled by the addresses of their pods: nothing here answers a ClusterIP.
		"--egress-selector-config-file=" + egressConfig, "--enable-aggregator-routing",
		// Fairness between users costs objects and CPU and has nobody to be fair to.
		"--enable-priority-and-fairness=false", "--profiling=false",
	}
}

// auditArgs: the log is written before a request is done with, so that nothing of it is lost when the server is killed.
func auditArgs(log string) []string {
	return []string{"--audit-policy-file=" + auditConfig, "--audit-log-path=" + log, "--audit-log-mode=blocking"}
}

// hubControllers is what a cluster without nodes needs.
var hubControllers = []string{"namespace-controller", "serviceaccount-controller", "garbage-collector-controller",
	"root-ca-certificate-publisher-controller", "clusterrole-aggregation-controller", "resourcequota-controller"}

func managerArgs(cluster string, hub bool) []string {
	args := []string{ControllerManager,
		"--kubeconfig=" + managerConfig, "--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--service-account-private-key-file=" + accountKey, "--root-ca-file=" + caCert, "--cluster-name=" + cluster}
	if hub {
		args = append(args, "--controllers="+strings.Join(hubControllers, ","))
	}
	return args
}

func schedulerArgs() []string {
	return []string{Scheduler, "--kubeconfig=" + schedConfig, "--leader-elect=false", "--secure-port=0", "--profiling=false"}
}
