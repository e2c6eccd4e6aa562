package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ErrNoCredentials tells that no kubeconfig context has a member's name. The operator must add one.
var ErrNoCredentials = errors.New("no credentials")

// kubeContext is one context and the file it stands in.
type kubeContext struct {
	file   string
	config *clientcmdapi.Config
}

// check finds the mistakes that clientcmd has no clear words for.
func (c kubeContext) check(name string) error {
	context := c.config.Contexts[name]
	if _, ok := c.config.Clusters[context.Cluster]; !ok {
		return fmt.Errorf("context %q names the cluster %q, which the file does not define", name, context.Cluster)
	}
	if _, ok := c.config.AuthInfos[context.AuthInfo]; !ok && context.AuthInfo != "" {
		return fmt.Errorf("context %q names the user %q, whom the file does not define", name, context.AuthInfo)
	}
	return nil
}

// kubeconfigFiles returns path itself, or the visible files in the directory path, sorted: no hidden ones, and no
// backups of editors, which end in "~".
func kubeconfigFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || strings.HasSuffix(entry.Name(), "~") {
			continue
		}
		file := filepath.Join(path, entry.Name())
		// A mounted Secret's files are symbolic links into a hidden directory, so links are followed.
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files, nil
}

// parseKubeconfig reads one file and makes the paths in it absolute.
func parseKubeconfig(file string) (*clientcmdapi.Config, error) {
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	return config, clientcmd.ResolveLocalPaths(config)
}
