package main

import (
	"strings"
	"testing"
	"time"
)

func TestForgeFlags(t *testing.T) {
	const repo = "https://git.example.com/team/fleet.git"
	rows := []struct {
		name   string
		repo   string
		change func(*forgeOptions)
		want   string // part of the error; empty when all is well
	}{
		{"a forge with a token", repo, func(*forgeOptions) {}, ""},
		{"no such forge", repo, func(o *forgeOptions) { o.kind = "bitbucket" }, `--forge "bitbucket": want one of`},
		{"what is about a forge, without one", repo, func(o *forgeOptions) { o.kind = forgeNone }, "no forge: name it with --forge"},
		{"a directory", "/srv/fleet", func(*forgeOptions) {}, "--forge needs the URL of a repository"},
		{"no token", repo, func(o *forgeOptions) { o.tokenFile = "" }, "--forge gitlab needs --forge-token-file"},
		{"notes need none", repo, func(o *forgeOptions) { o.kind, o.tokenFile = forgeNotes, "" }, ""},
		{"an App and a token", repo, func(o *forgeOptions) { o.kind, o.app, o.appKeyFile = forgeGitHub, "1:2", "key" }, "--github-app needs"},
		{"holding nothing", repo, func(o *forgeOptions) { o.hold = true }, "--hold-differing needs --pull-requests"},
		{"a name of two parts", repo, func(o *forgeOptions) { o.name = "a/b" }, "want one word without a slash"},
		{"a deadline in the past", repo, func(o *forgeOptions) { o.deadline = -1 }, "must not be negative"},
		{"no interval", repo, func(o *forgeOptions) { o.every = 0 }, "must be positive"},
		{"a public address with a user", repo, func(o *forgeOptions) { o.public = "https://a:b@fleet.example.com" }, "--public-url: want an address"},
	}
	for _, row := range rows {
		o := forgeOptions{kind: forgeGitLab, tokenFile: "token", name: "gitfleet", deadline: time.Minute, every: time.Minute}
		row.change(&o)
		if err := o.validate(row.repo); (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// TestForgePlace tells where tokens go: never, because of --repo alone, over a network in clear.
func TestForgePlace(t *testing.T) {
	rows := []struct {
		repo, url, named string
		address, name    string
		err              string
	}{
		{repo: "https://git.example.com/team/fleet.git", address: "https://git.example.com", name: "team/fleet"},
		{repo: "https://git.example.com/mirrors/fleet.git", named: "team/fleet", address: "https://git.example.com", name: "team/fleet"},
		{repo: "ssh://git@git.example.com/team/fleet.git", err: "--repo does not say where the forge is"},
		{repo: "ssh://git@git.example.com/team/fleet.git", url: "https://git.example.com", address: "https://git.example.com", name: "team/fleet"},
		{repo: "http://git.example.com/team/fleet.git", err: "--repo is plain HTTP"},
		{repo: "http://localhost.example.com/team/fleet.git", err: "--repo is plain HTTP"},
		{repo: "http://git.example.com/team/fleet.git", url: "http://git.example.com", address: "http://git.example.com", name: "team/fleet"},
		{repo: "http://127.0.0.1:3000/team/fleet.git", address: "http://127.0.0.1:3000", name: "team/fleet"},
		{repo: "http://[::1]:3000/team/fleet.git", address: "http://[::1]:3000", name: "team/fleet"},
		{repo: "http://localhost:3000/team/fleet.git", address: "http://localhost:3000", name: "team/fleet"},
	}
	for _, row := range rows {
		o := forgeOptions{url: row.url, repo: row.named}
		address, name, err := o.place(row.repo)
		if address != row.address || name != row.name || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("--repo %s --forge-url %q: %q, %q, %v; want %q, %q, %q", row.repo, row.url, address, name, err, row.address, row.name, row.err)
		}
	}
}
