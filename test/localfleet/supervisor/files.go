package supervisor

import (
	"fmt"
	"net"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gitfleet/gitfleet/test/localfleet/pki"
)

// writeFiles makes the cluster's certificates and kubeconfigs and returns how its own supervisor talks to it.
func (c *cluster) writeFiles(now time.Time) (*rest.Config, error) {
	ca, err := pki.NewAuthority("localfleet "+c.name, now)
	if err != nil {
		return nil, err
	}
	if err := c.writeServerFiles(ca, now); err != nil {
		return nil, err
	}
	// One identity for all controllers, instead of an account for each, saves forty objects at every start.
	manager, err := c.credential(ca, "system:kube-controller-manager", now, "system:masters")
	if err != nil {
		return nil, err
	}
	scheduler, err := c.credential(ca, "system:kube-scheduler", now)
	if err != nil {
		return nil, err
	}
	if err := writeKubeconfig(filepath.Join(c.layout.cluster(c.name), managerConfig), manager); err != nil {
		return nil, err
	}
	if err := writeKubeconfig(filepath.Join(c.layout.cluster(c.name), schedConfig), scheduler); err != nil {
		return nil, err
	}
	if c.access, err = c.credential(ca, "localfleet-admin", now, "system:masters"); err != nil {
		return nil, err
	}
	nodes, err := c.credential(ca, "localfleet-nodes", now, "system:masters")
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.NewDefaultClientConfig(*kubeconfig(nodes), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("client configuration: %w", err)
	}
	config.QPS = -1 // nobody else needs to be protected from the simulated nodes
	return config, nil
}

func (c *cluster) writeServerFiles(ca *pki.Authority, now time.Time) error {
	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"}
	server, err := ca.Server(names, []net.IP{c.listen.Addr().AsSlice(), c.adverts.AsSlice(), net.IPv4(10, 0, 0, 1)}, now)
	if err != nil {
		return err
	}
	key, err := pki.NewKey()
	if err != nil {
		return err
	}
	files := map[string][]byte{caCert: ca.CertPEM, apiCert: server.CertPEM, apiKey: server.KeyPEM,
		accountKey: key, egressConfig: []byte(egressManifest), auditConfig: []byte(auditPolicy)}
	for name, data := range files {
		if err := writeFile(filepath.Join(c.layout.cluster(c.name), name), data); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) credential(ca *pki.Authority, user string, now time.Time, groups ...string) (access, error) {
	pair, err := ca.Client(user, groups, now)
	return access{cluster: c.name, addr: c.listen, ca: ca.CertPEM, client: pair}, err
}
