package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ErrNoCredentials tells that no kubeconfig context has a member's name. The operator must add one.
var ErrNoCredentials = errors.New("no credentials")

// Kubeconfigs is the credentials of a fleet: contexts by name, read once.
type Kubeconfigs struct {
	files    []string
	contexts map[string]kubeContext
}

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

// LoadKubeconfigs reads kubeconfig files, or directories of them (hidden files are skipped, and editors' backups that end
// in "~", and subdirectories). Every
// context is the credentials of the member of that name; current-context means nothing. Relative paths in a file are
// relative to that file. A name that two files define is an error that names both, because either could be meant.
func LoadKubeconfigs(paths ...string) (*Kubeconfigs, error) {
	k := &Kubeconfigs{contexts: map[string]kubeContext{}}
	for _, path := range paths {
		files, err := kubeconfigFiles(path)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
		for _, file := range files {
			if err := k.add(file); err != nil {
				return nil, err
			}
		}
	}
	return k, nil
}

// kubeconfigFiles returns path itself, or the visible files in the directory path, sorted.
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

// add reads one file. A file that was read already, perhaps by another path, is read once.
func (k *Kubeconfigs) add(file string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if slices.Contains(k.files, real) {
		return nil
	}
	k.files = append(k.files, real)
	config, err := parseKubeconfig(file)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", file, err)
	}
	for name := range config.Contexts {
		if other, ok := k.contexts[name]; ok {
			return fmt.Errorf("kubeconfig: context %q is in %s and in %s: remove or rename one of them", name, other.file, file)
		}
		k.contexts[name] = kubeContext{file: file, config: config}
	}
	return nil
}

// parseKubeconfig reads one file and makes the paths in it absolute.
func parseKubeconfig(file string) (*clientcmdapi.Config, error) {
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	return config, clientcmd.ResolveLocalPaths(config)
}

// Config returns how to reach the member of that name. The error is ErrNoCredentials when no context has that name, and
// names the file when the context is broken.
func (k *Kubeconfigs) Config(name string) (*rest.Config, error) {
	context, ok := k.contexts[name]
	if !ok {
		return nil, fmt.Errorf("member %s: %w: no context of that name in the %d kubeconfig files given: add one", name, ErrNoCredentials, len(k.files))
	}
	if err := context.check(name); err != nil {
		return nil, fmt.Errorf("member %s: kubeconfig %s: %w", name, context.file, err)
	}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*context.config, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("member %s: kubeconfig %s: %w", name, context.file, err)
	}
	return cfg, nil
}

// Names returns the names of all contexts, sorted.
func (k *Kubeconfigs) Names() []string {
	names := make([]string, 0, len(k.contexts))
	for name := range k.contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
