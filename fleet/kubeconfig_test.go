package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const oneContext = `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://NAME.test:6443", certificate-authority: pki/ca.crt}}]
users: [{name: u, user: {token: secret-NAME}}]
contexts: [{name: NAME, context: {cluster: c, user: u}}]
`

// writeFiles writes files below a new directory; @NAME stands for a kubeconfig with the context NAME.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if context, ok := strings.CutPrefix(text, "@"); ok {
			text = strings.ReplaceAll(oneContext, "NAME", context)
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenCredentials(t *testing.T) {
	authority := string(otherAuthority(t))
	dir := writeFiles(t, map[string]string{
		"one": "@east", "fleet/b.yaml": "@west", "fleet/a.yaml": "@north", "fleet/.hidden": "not YAML: [", "fleet/sub/c.yaml": "@deep", "fleet/pki/ca.crt": authority,
	})
	// A mounted Secret: the visible names are links into a hidden directory.
	if err := os.MkdirAll(filepath.Join(dir, "secret", "..data"), 0o700); err != nil {
		t.Fatal(err)
	}
	symlink(t, filepath.Join(dir, "one"), filepath.Join(dir, "secret", "east"))
	k, err := OpenCredentials(filepath.Join(dir, "one"), filepath.Join(dir, "fleet"), filepath.Join(dir, "secret"), filepath.Join(dir, "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if diff := cmp.Diff([]string{"east", "north", "west"}, slices.Sorted(maps.Keys(k.members))); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	west, err := k.Get("west")
	if err != nil {
		t.Fatal(err)
	}
	if cfg := west.Config; cfg.Host != "https://west.test:6443" || cfg.BearerToken != "secret-west" || string(cfg.CAData) != authority {
		t.Errorf("host %s, authority %s", cfg.Host, cfg.CAData)
	}
	if _, err := k.Get("south"); !errors.Is(err, ErrNoCredentials) || !strings.Contains(err.Error(), "south") {
		t.Errorf("unknown member: %v", err)
	}
}

func symlink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Skip("no symbolic links here")
	}
}

func TestOpenCredentialsErrors(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"the same name twice", map[string]string{"a": "@east", "b": "@east"}, []string{`"east"`, "/a", "/b", "remove or rename"}},
		{"not YAML", map[string]string{"a": "x: ["}, []string{"/a"}},
		{"another kind of file", map[string]string{"a": "kind: Secret\napiVersion: v1\ndata: {k: dG9wc2VjcmV0}"}, []string{"/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := OpenCredentials(writeFiles(t, tc.files))
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "dG9w") || strings.Contains(err.Error(), "secret-")) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	if _, err := OpenCredentials(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestBrokenContextNamesItsFile(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"contexts: [{name: east, context: {cluster: nowhere, user: u}}]", `cluster "nowhere"`},
		{"clusters: [{name: c, cluster: {server: 'https://x.test'}}]\ncontexts: [{name: east, context: {cluster: c, user: nobody}}]", `user "nobody"`},
	} {
		dir := writeFiles(t, map[string]string{"a": "apiVersion: v1\nkind: Config\n" + tc.text})
		k, err := OpenCredentials(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if _, err := k.Get("east"); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "a")) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error about the %s", err, tc.want)
		}
	}
}

func TestLoadContext(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a": "@east", "pki/ca.crt": string(otherAuthority(t))})
	file := filepath.Join(dir, "a")
	cfg, err := LoadContext(file, "east")
	if err != nil || cfg.Host != "https://east.test:6443" {
		t.Errorf("got %+v, %v", cfg, err)
	}
	if _, err := LoadContext(file, "west"); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "west") {
		t.Errorf("a context that is not there: %v", err)
	}
}

// otherAuthority returns a certificate that signed nothing here.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
