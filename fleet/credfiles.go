package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// reading is what kubeconfig files hold at one moment.
type reading struct {
	contexts map[string][]locatedContext // by name; more than one is a mistake
	broken   map[string]error            // by file, or by the path given when that itself cannot be read
	files    map[string]parsedFile       // by path without links
	looked   lookedAt
}

// lookedAt is the paths that a reading depends on.
type lookedAt struct {
	dirs  []string // every visible file in them counts
	files []string
}

type locatedContext struct {
	kubeContext
	root string
}

// parsedFile is a kubeconfig file and what it was parsed from.
type parsedFile struct {
	sum    [sha256.Size]byte
	config *clientcmdapi.Config
}

// readFiles reads everything, and parses what is not the same as before.
func readFiles(paths []string, before map[string]parsedFile) reading {
	r := reading{contexts: map[string][]locatedContext{}, broken: map[string]error{}, files: map[string]parsedFile{}}
	for _, path := range paths {
		files, err := kubeconfigFiles(path)
		if err != nil {
			r.looked.files = append(r.looked.files, path)
			r.broken[path] = fmt.Errorf("kubeconfig: %w", err)
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			r.looked.dirs = append(r.looked.dirs, path)
		}
		for _, file := range files {
			r.looked.files = append(r.looked.files, file)
			if err := r.add(path, file, before); err != nil {
				r.broken[file] = fmt.Errorf("kubeconfig %s: %w", file, err)
			}
		}
	}
	return r
}

func (r *reading) add(root, file string, before map[string]parsedFile) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	if _, done := r.files[real]; done {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parsed := parsedFile{sum: sha256.Sum256(data)}
	if known, ok := before[real]; ok && known.sum == parsed.sum {
		parsed = known
	} else if parsed.config, err = parseKubeconfig(file); err != nil {
		return err
	}
	r.files[real] = parsed
	for name := range parsed.config.Contexts {
		r.contexts[name] = append(r.contexts[name], locatedContext{kubeContext{file, parsed.config}, root})
	}
	return nil
}

// mistakes returns what is wrong with the files themselves: those that cannot be read, and names that stand in two of them.
func (r *reading) mistakes() error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(r.broken)) {
		errs = append(errs, r.broken[path])
	}
	for _, name := range slices.Sorted(maps.Keys(r.contexts)) {
		if found := r.contexts[name]; len(found) > 1 {
			errs = append(errs, definedTwice(name, found))
		}
	}
	return errors.Join(errs...)
}

func definedTwice(name string, found []locatedContext) error {
	return fmt.Errorf("kubeconfig: context %q is in %s and in %s: remove or rename one of them", name, found[0].file, found[1].file)
}

// credential returns what the files hold for a member. When that is the same as before, before is returned.
func (r *reading) credential(name string, before Credential) (Credential, error) {
	found := r.contexts[name]
	if len(found) > 1 {
		return Credential{}, definedTwice(name, found)
	}
	wrap := func(err error) error { return fmt.Errorf("member %s: kubeconfig %s: %w", name, found[0].file, err) }
	if err := found[0].check(name); err != nil {
		return Credential{}, wrap(err)
	}
	cluster, user, err := r.complete(found[0].config, name)
	if err != nil {
		return Credential{}, wrap(err)
	}
	text, err := json.Marshal([]any{cluster, user})
	if err != nil {
		return Credential{}, wrap(err)
	}
	out := Credential{root: found[0].root, file: found[0].file, digest: sha256.Sum256(text), Config: before.Config}
	if before.Config != nil && before.digest == out.digest {
		return out, nil
	}
	if out.Config, err = configOf(cluster, user); err != nil {
		return Credential{}, wrap(err)
	}
	return out, nil
}

// complete returns the cluster and the user of a context, with the content of the files that they name.
func (r *reading) complete(config *clientcmdapi.Config, name string) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	context := config.Contexts[name]
	cluster, user := config.Clusters[context.Cluster].DeepCopy(), &clientcmdapi.AuthInfo{}
	if context.AuthInfo != "" {
		user = config.AuthInfos[context.AuthInfo].DeepCopy()
	}
	var errs []error
	data := func(file *string, into *[]byte) {
		if *file == "" {
			return
		}
		if len(*into) == 0 { // what is written in the kubeconfig itself goes first
			r.looked.files = append(r.looked.files, *file)
			content, err := os.ReadFile(*file)
			errs = append(errs, err)
			*into = content
		}
		*file = ""
	}
	data(&cluster.CertificateAuthority, &cluster.CertificateAuthorityData)
	data(&user.ClientCertificate, &user.ClientCertificateData)
	data(&user.ClientKey, &user.ClientKeyData)
	if file := user.TokenFile; file != "" { // unlike the others, it goes before what is written in the kubeconfig
		var token []byte
		data(&user.TokenFile, &token)
		user.Token = string(bytes.TrimSpace(token))
		if user.Token == "" && errors.Join(errs...) == nil {
			errs = append(errs, fmt.Errorf("token file %s is empty", file))
		}
	}
	return cluster, user, errors.Join(errs...)
}

// configOf returns the configuration for a cluster and a user, after it has tried the certificates and the key: halves
// of a pair that do not fit are a pair that is being replaced.
func configOf(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) (*rest.Config, error) {
	const name = "member"
	cfg, err := clientcmd.NewNonInteractiveClientConfig(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{name: cluster},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: user},
		Contexts:  map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
	}, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	if _, err := rest.TLSConfigFor(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}
