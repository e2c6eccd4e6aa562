package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gitfleet/gitfleet/report"
)

// testRotate replaces a member's credentials again and again, each time taking the old ones' rights away, while gitfleet
// runs: it goes on with the new ones and is never out of reach.
func testRotate(t *testing.T, w *world) {
	const ns = "rotate"
	east := w.fleet.Members[0]
	o := w.beside() // the kubeconfigs of this story lead to the API server itself, which checks who asks
	admin := w.fleet.Config(t, east)
	tokenFile := filepath.Join(t.TempDir(), "token")
	o.use(east, admin, clientcmdapi.AuthInfo{Token: w.account("rotate-1")})
	p := o.start()
	p.awaitConverged(w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": placeOn(ns, east), "namespace.yaml": namespace(ns), "a.yaml": configMap(ns, "a", "0"),
	}))
	for _, step := range []struct {
		value, what string
		renew       func()
		retired     string // account that may do nothing from then on
	}{
		{"1", "another token", func() { o.use(east, admin, clientcmdapi.AuthInfo{Token: w.account("rotate-2")}) }, "rotate-1"},
		{"2", "a file that holds a token", func() {
			replaceFile(t, tokenFile, []byte(w.account("rotate-3")))
			o.use(east, admin, clientcmdapi.AuthInfo{TokenFile: tokenFile})
		}, "rotate-2"},
		{"3", "another token in that file", func() { replaceFile(t, tokenFile, []byte(w.account("rotate-4"))) }, "rotate-3"},
		{"4", "a client certificate", func() {
			o.use(east, admin, clientcmdapi.AuthInfo{ClientCertificateData: admin.CertData, ClientKeyData: admin.KeyData})
		}, "rotate-4"},
	} {
		step.renew()
		// For a while both are good. From then on only the new ones are.
		p.awaitConverged(w.push(step.what, map[string]string{"b.yaml": configMap(ns, "b", step.value)}))
		w.fleet.Kubectl(t, east, "delete", "clusterrolebinding", step.retired)
		p.awaitConverged(w.push("without the old "+step.what, map[string]string{"a.yaml": configMap(ns, "a", step.value)}))
		w.wantValue(east, ns, "a", step.value)
	}
	// A file that is being written keeps what is in use, and says so.
	file := filepath.Join(o.access, "members", east+".kubeconfig")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, file, whole[:len(whole)/2])
	p.await("a broken kubeconfig reported", func(r report.Report) error {
		for _, m := range r.Members {
			if m.Name == east && m.Joined == "True" && strings.Contains(m.Message, filepath.Base(file)) {
				return nil
			}
		}
		return errors.New(report.Summary(r))
	})
	replaceFile(t, file, whole)
	p.await("the mended kubeconfig taken up", func(r report.Report) error {
		for _, m := range r.Members {
			if m.Name == east && m.Message != "" {
				return errors.New(m.Message)
			}
		}
		return nil
	})
	if log := p.output(); strings.Contains(log, "out of reach") {
		t.Error("a member went out of reach when its credentials changed")
	}
	w.wrongToken(o, p, admin)
	p.stop()
}

// wrongToken gives the member a token that is none: that shows, and ends as soon as there is a good one.
func (w *world) wrongToken(o *world, p *process, admin *rest.Config) {
	w.t.Helper()
	const ns = "rotate"
	east := w.fleet.Members[0]
	o.use(east, admin, clientcmdapi.AuthInfo{Token: "nobody's"})
	commit := w.push("meanwhile", map[string]string{"a.yaml": configMap(ns, "a", "meanwhile")})
	p.awaitExplained("member/"+east, "credentials", "401 Unauthorized")
	o.use(east, admin, clientcmdapi.AuthInfo{Token: w.account("rotate-5")})
	since := time.Now()
	p.awaitConverged(commit)
	w.t.Logf("back %s after there was a good token", time.Since(since).Round(10*time.Millisecond))
}

// account returns a token of a new service account that may do everything.
func (w *world) account(name string) string {
	w.t.Helper()
	east := w.fleet.Members[0]
	w.fleet.Kubectl(w.t, east, "create", "serviceaccount", name, "-n", "default")
	w.fleet.Kubectl(w.t, east, "create", "clusterrolebinding", name, "--clusterrole=cluster-admin", "--serviceaccount=default:"+name)
	return strings.TrimSpace(w.fleet.Kubectl(w.t, east, "create", "token", name, "-n", "default"))
}

// use has the member's kubeconfig lead to its API server with other credentials, from one moment to the next.
func (w *world) use(member string, cluster *rest.Config, user clientcmdapi.AuthInfo) {
	w.t.Helper()
	content, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{member: {Server: cluster.Host, CertificateAuthorityData: cluster.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{member: &user},
		Contexts:  map[string]*clientcmdapi.Context{member: {Cluster: member, AuthInfo: member}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	replaceFile(w.t, filepath.Join(w.access, "members", member+".kubeconfig"), content)
}

func replaceFile(t *testing.T, path string, content []byte) {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "new") // not beside it: every file there is a kubeconfig
	if err := os.WriteFile(whole, content, 0o600); err != nil {
		t.Fatal(err)
	}
	rename(t, whole, path)
}
