package supervisor

import (
	"fmt"
	"net/netip"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gitfleet/gitfleet/test/localfleet/pki"
)

// access is what a client needs to reach one API server.
type access struct {
	cluster string
	addr    netip.AddrPort
	ca      []byte
	client  pki.Pair
}

// kubeconfig returns a configuration with a context for each access; the first one is current. It holds everything, no
// file references, so it can be copied.
func kubeconfig(all ...access) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	for _, a := range all {
		config.Clusters[a.cluster] = &clientcmdapi.Cluster{
			Server:                   fmt.Sprintf("https://%s", a.addr),
			CertificateAuthorityData: a.ca,
		}
		config.AuthInfos[a.cluster] = &clientcmdapi.AuthInfo{
			ClientCertificateData: a.client.CertPEM, ClientKeyData: a.client.KeyPEM,
		}
		config.Contexts[a.cluster] = &clientcmdapi.Context{Cluster: a.cluster, AuthInfo: a.cluster}
	}
	config.CurrentContext = all[0].cluster
	return config
}

func writeKubeconfig(path string, all ...access) error {
	data, err := clientcmd.Write(*kubeconfig(all...))
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return writeFile(path, data)
}
