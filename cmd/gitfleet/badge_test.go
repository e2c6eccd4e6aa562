package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// command runs gitfleet in this process.
func command(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = execute(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// titleIn returns what the badge in the file says, and an error unless it is a whole one.
func titleIn(content []byte) (string, error) {
	var svg struct {
		Title string `xml:"title"`
	}
	err := xml.Unmarshal(content, &svg)
	return svg.Title, err
}

func TestBadgeFile(t *testing.T) {
	rev := source.Revision{Ref: "main", Commit: strings.Repeat("ab", 20)}
	r := report.Report{Head: rev, Applied: rev, Converged: true, Members: []report.Member{{Name: "one", Joined: "True"}, {Name: "two", Joined: "Unknown"}}}
	s := httptest.NewServer(web.NewServer(web.Options{Latest: func() report.Report { return r }}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "fleet.svg")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		title  string
		stderr string
	}{
		{"not everything is in place, and the file is written", []string{"main"}, exitOK, "fleet: 1/2 in place, 1 not reached", ""},
		{"the branch that is followed", nil, exitOK, "fleet: 1/2 in place, 1 not reached", ""},
		{"asked for by the exit code", []string{"--exit-code"}, exitChanges, "fleet: 1/2 in place, 1 not reached", ""},
		{"one member", []string{"--cluster", "two", "ababababab"}, exitOK, "two at ababababab: not reached", ""},
		{"a name that is not there", []string{"--placement", "team/shop"}, exitError, "placement: unknown", "gitfleet get placements"},
		{"a branch that is not followed", []string{"develop"}, exitError, "fleet: unknown branch or commit", "branch main is followed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, errs := command(append([]string{"badge", "--server", s.URL, "-o", file}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.stderr) || (errs == "") != (tt.stderr == "") {
				t.Errorf("exit %d, %q; want %d and %q", code, errs, tt.code, tt.stderr)
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if title, err := titleIn(content); err != nil || title != tt.title {
				t.Errorf("the file says %q (%v), want %q:\n%s", title, err, tt.title, content)
			}
		})
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o644 {
		t.Errorf("the file has mode %o: a web server could not read it", mode)
	}
	r.Members = r.Members[:1]
	if code, out, errs := command("badge", "--server", s.URL, "--exit-code"); code != exitOK || errs != "" {
		t.Errorf("everything in place: exit %d, %q", code, errs)
	} else if title, err := titleIn([]byte(out)); err != nil || title != "fleet: 1/1 in place" {
		t.Errorf("standard output says %q (%v)", title, err)
	}
}

func TestBadgeFileIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.svg")
	if err := os.WriteFile(file, []byte("of before"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if code, _, errs := command("badge", "--server", "127.0.0.1:1", "-o", file); code != exitError || !strings.Contains(errs, "no gitfleet answers") {
		t.Errorf("nobody to ask: exit %d, %q", code, errs)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "of before" {
		t.Errorf("when nobody answers the file becomes %q (%v)", content, err)
	}
	s := httptest.NewServer(web.NewServer(web.Options{Latest: func() report.Report { return report.Report{} }}))
	defer s.Close()
	if code, _, errs := command("badge", "--server", s.URL, "-o", file); code != exitOK {
		t.Fatalf("exit %d, %q", code, errs)
	}
	old := make([]byte, 100)
	if n, _ := before.Read(old); string(old[:n]) != "of before" {
		t.Errorf("who has the old file open reads %q: it was written over", old[:n])
	}
	if code, _, errs := command("badge", "--server", s.URL, "-o", dir); code != exitError || !strings.Contains(errs, dir) {
		t.Errorf("a directory as the file: exit %d, %q", code, errs)
	}
	if code, _, errs := command("badge", "--server", s.URL, "-o", filepath.Join(dir, "none", "fleet.svg")); code != exitError || !strings.Contains(errs, "none") {
		t.Errorf("a directory that is not there: exit %d, %q", code, errs)
	}
	if code, _, errs := command("badge", "--server", s.URL, "-o", os.DevNull); code != exitOK {
		t.Errorf("a device: exit %d, %q", code, errs)
	} else if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s is no device any more", os.DevNull)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the directory: %v (%v), want the badge only", left, err)
	}
}

func TestServingFlags(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--hook-secret-file", "--badge-token-file"} {
		for _, tt := range []struct {
			name string
			args []string
			want string
		}{
			{"no file", []string{flag, secret + ".not"}, "no such file"},
			{"an empty file", []string{flag, os.DevNull}, "holds no secret"},
			{"nothing listens", []string{flag, secret, "--listen", ""}, "not with --once, nor with an empty --listen"},
			{"one pass", []string{flag, secret, "--once"}, "not with --once"},
		} {
			t.Run(fmt.Sprintf("%s, %s", flag, tt.name), func(t *testing.T) {
				code, _, errs := command(append([]string{"run", "--repo", "https://git.example.com/fleet.git", "--kubeconfig", "x", "--state-dir", t.TempDir()}, tt.args...)...)
				if code != exitError || !strings.Contains(errs, flag) || !strings.Contains(errs, tt.want) || strings.Contains(errs, "word") {
					t.Errorf("exit %d, %q; want %d, the flag and %q", code, errs, exitError, tt.want)
				}
			})
		}
	}
	code, _, errs := command("run", "--repo", "https://git.example.com/fleet.git", "--kubeconfig", "x", "--state-dir", t.TempDir(), "--public-listen", "127.0.0.1:0", "--once")
	if code != exitError || !strings.Contains(errs, "--public-listen needs a process that goes on") {
		t.Errorf("--public-listen for one pass: exit %d, %q", code, errs)
	}
	code, _, errs = command("run", "--repo", t.TempDir(), "--kubeconfig", "x", "--state-dir", t.TempDir(), "--hook-secret-file", secret)
	if code != exitError || !strings.Contains(errs, "seen without webhooks") {
		t.Errorf("webhooks for a directory: exit %d, %q", code, errs)
	}
}
