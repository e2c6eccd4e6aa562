package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var fastFiles = fileTiming{settle: 5 * time.Millisecond, poll: time.Hour, retry: 20 * time.Millisecond}

func kubeconfigOf(name, server, user string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "%s", certificate-authority: ca.crt}}]
users: [{name: u, user: {%s}}]
contexts: [{name: %s, context: {cluster: c, user: u}}]
`, server, user, name)
}

func openFiles(t *testing.T, paths ...string) *Credentials {
	t.Helper()
	c, err := openCredentials(fastFiles, paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// replaceFile puts a file in the place of another, at once.
func replaceFile(t *testing.T, file string, text []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".new")
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

// awaitCredential waits, by notifications only, until a member's credentials are as wanted.
func awaitCredential(t *testing.T, c *Credentials, name string, cond func(Credential) bool) Credential {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		current, err := c.Get(name)
		if err == nil && cond(current) {
			return current
		}
		select {
		case <-c.Changed():
		case <-timeout:
			t.Fatalf("never happened; member %s: outdated %v, error %v", name, current.Outdated, err)
		}
	}
}

func hasToken(token string) func(Credential) bool {
	return func(c Credential) bool { return c.Config.BearerToken == token && c.Outdated == nil }
}

// TestCredentialsFollowFiles: however a file is replaced, the member's credentials follow.
func TestCredentialsFollowFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	text := func(token string) string {
		return kubeconfigOf("east", "https://east.test", "token: "+token)
	}
	for _, tc := range []struct {
		name   string
		layout func(t *testing.T, dir string) string // returns the path to give
		change func(t *testing.T, dir string)
	}{
		{"written in place", oneFile(text("one")), func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "f"), text("two"))
		}},
		{"replaced by renaming", oneFile(text("one")), func(t *testing.T, dir string) {
			replaceFile(t, filepath.Join(dir, "f"), []byte(text("two")))
		}},
		{"removed and written anew, as some editors do", oneFile(text("one")), func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "f"), filepath.Join(dir, "f~"))
			write(t, filepath.Join(dir, "f"), text("two"))
		}},
		{"a mounted Secret", secretMount(text("one")), func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "..2", "f"), text("two"))
			write(t, filepath.Join(dir, "..2", "ca.crt"), string(otherAuthority(t)))
			symlink(t, "..2", filepath.Join(dir, "..data_tmp"))
			rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
		}},
		{"a link somewhere on the way", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "releases", "1", "f"), text("one"))
			symlink(t, filepath.Join("releases", "1"), filepath.Join(dir, "current"))
			write(t, filepath.Join(dir, "releases", "1", "ca.crt"), string(otherAuthority(t)))
			return filepath.Join(dir, "current", "f")
		}, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "releases", "2", "f"), text("two"))
			write(t, filepath.Join(dir, "releases", "2", "ca.crt"), string(otherAuthority(t)))
			symlink(t, filepath.Join("releases", "2"), filepath.Join(dir, "next"))
			rename(t, filepath.Join(dir, "next"), filepath.Join(dir, "current"))
		}},
		{"a directory replaced whole", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "d", "f"), text("one"))
			write(t, filepath.Join(dir, "d", "ca.crt"), "")
			return filepath.Join(dir, "d")
		}, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "new", "f"), text("two"))
			rename(t, filepath.Join(dir, "d"), filepath.Join(dir, "old"))
			rename(t, filepath.Join(dir, "new"), filepath.Join(dir, "d"))
			write(t, filepath.Join(dir, "d", "ca.crt"), "")
		}},
		{"the token's own file", oneFile(kubeconfigOf("east", "https://east.test", "tokenFile: t"), "t", "one"), func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "t"), "two\n")
		}},
		{"a file that is missing for a while", oneFile(text("one")), func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "f"), filepath.Join(dir, "away"))
			write(t, filepath.Join(dir, "away"), text("two"))
			rename(t, filepath.Join(dir, "away"), filepath.Join(dir, "f"))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			c := openFiles(t, tc.layout(t, dir))
			before := awaitCredential(t, c, "east", hasToken("one"))
			tc.change(t, dir)
			if after := awaitCredential(t, c, "east", hasToken("two")); after.Same(before) {
				t.Error("other credentials call themselves the same")
			}
		})
	}
}

// oneFile writes a kubeconfig, and perhaps one file beside it.
func oneFile(text string, beside ...string) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		write(t, filepath.Join(dir, "f"), text)
		write(t, filepath.Join(dir, "ca.crt"), string(otherAuthority(t)))
		if len(beside) > 0 {
			write(t, filepath.Join(dir, beside[0]), beside[1])
		}
		return filepath.Join(dir, "f")
	}
}

// secretMount writes files as a kubelet mounts a Secret.
func secretMount(text string) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		write(t, filepath.Join(dir, "..1", "f"), text)
		write(t, filepath.Join(dir, "..1", "ca.crt"), string(otherAuthority(t)))
		symlink(t, "..1", filepath.Join(dir, "..data"))
		symlink(t, filepath.Join("..data", "f"), filepath.Join(dir, "f"))
		symlink(t, filepath.Join("..data", "ca.crt"), filepath.Join(dir, "ca.crt"))
		return filepath.Join(dir, "f")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestBadFilesKeepTheLastGood: each row makes the files unusable, and then usable again.
func TestBadFilesKeepTheLastGood(t *testing.T) {
	good := kubeconfigOf("east", "https://east.test", "tokenFile: t")
	for _, tc := range []struct{ name, file, bad, good, want string }{
		{"half written YAML", "f", good[:len(good)/2] + "\n  x: [", good, "/f"},
		{"an empty token", "t", " \n", "two", "is empty"},
		{"an authority that is none", "ca.crt", "-----BEGIN CERT", string(otherAuthority(t)), "/f"},
		{"a context without its cluster", "f", strings.Replace(good, "cluster: c,", "cluster: d,", 1), good, `cluster "d"`},
		{"the same context twice", "g", good, "", "remove or rename"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			oneFile(good, "t", "one")(t, dir)
			fleet := filepath.Join(dir, "fleet")
			write(t, filepath.Join(fleet, "west"), strings.ReplaceAll(kubeconfigOf("west", "https://west.test", "token: w"), "certificate-authority: ca.crt", ""))
			paths := []string{filepath.Join(dir, "f"), fleet}
			if tc.file == "g" {
				write(t, filepath.Join(dir, "g"), "")
				paths = append(paths, filepath.Join(dir, "g"))
			}
			c := openFiles(t, paths...)
			before := awaitCredential(t, c, "east", hasToken("one"))
			replaceFile(t, filepath.Join(dir, tc.file), []byte(tc.bad))
			after := awaitCredential(t, c, "east", func(n Credential) bool { return n.Outdated != nil })
			if !after.Same(before) || !strings.Contains(after.Outdated.Error(), tc.want) || !strings.Contains(fmt.Sprint(c.Err()), tc.want) {
				t.Errorf("kept the same: %t; outdated %v; all that is wrong: %v; want the last good and %q", after.Same(before), after.Outdated, c.Err(), tc.want)
			}
			if west, err := c.Get("west"); err != nil || west.Outdated != nil {
				t.Errorf("another member is concerned: %v, %v", west.Outdated, err)
			}
			replaceFile(t, filepath.Join(dir, tc.file), []byte(tc.good))
			awaitCredential(t, c, "east", func(n Credential) bool { return n.Outdated == nil })
			if c.Err() != nil {
				t.Errorf("still wrong: %v", c.Err())
			}
		})
	}
}

// TestContextsComeAndGo: a context that is gone is not one that cannot be read.
func TestContextsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "west"), strings.ReplaceAll(kubeconfigOf("west", "https://west.test", "token: w"), "certificate-authority: ca.crt", ""))
	c := openFiles(t, dir)
	if _, err := c.Get("east"); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("a member without a context: %v", err)
	}
	write(t, filepath.Join(dir, "east"), strings.ReplaceAll(kubeconfigOf("east", "https://east.test", "token: e"), "certificate-authority: ca.crt", ""))
	awaitCredential(t, c, "east", hasToken("e"))
	if err := os.Remove(filepath.Join(dir, "east")); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := c.Get("east"); errors.Is(err, ErrNoCredentials) {
			break
		}
		select {
		case <-c.Changed():
		case <-time.After(10 * time.Second):
			t.Fatal("a context that was removed is still there")
		}
	}
	awaitCredential(t, c, "west", hasToken("w"))
}

// TestFilesThatNobodyTellsOf are looked at now and then.
func TestFilesThatNobodyTellsOf(t *testing.T) {
	dir := t.TempDir()
	oneFile(kubeconfigOf("east", "https://east.test", "token: one"))(t, dir)
	c := &Credentials{paths: []string{filepath.Join(dir, "f")}, changed: make(chan struct{}, 1), files: map[string]parsedFile{}}
	f := &follower{timing: fileTiming{poll: 5 * time.Millisecond}}
	f.cover(c.read())
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Go(func() { f.run(ctx, c.read) })
	t.Cleanup(c.Close)
	replaceFile(t, filepath.Join(dir, "f"), []byte(kubeconfigOf("east", "https://east.test", "token: two")))
	awaitCredential(t, c, "east", hasToken("two"))
}

func TestOpenCredentialsRefusesMistakes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "x: [")
	if _, err := OpenCredentials(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "f")) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	goleak.VerifyNone(t)
}
