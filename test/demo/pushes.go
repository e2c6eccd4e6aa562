package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/render"
)

// pushes returns the steps that change the first repository: its base and its overlay "demo" are known here.
func (s *stage) pushes() []step {
	return []step{
		{"push: scale", s.scale},
		{"push: add an object", s.addObject},
		{"push: rename it", s.renameObject},
		{"push: remove it", s.removeObject},
		{"delete a pod", s.deletePod},
		{"push while a member is stopped", s.pushWithoutMember},
		{"push broken commits", s.pushBroken},
	}
}

const overlay = "overlays/demo/kustomization.yaml"

// push runs the lines that edit, commits and pushes. It returns the commit.
func (s *stage) push(ctx context.Context, message string, edits ...string) (string, error) {
	lines := append(slices.Clone(edits), "git add --all", "git commit --quiet --message "+quote(message), "git push --quiet")
	for _, line := range lines {
		if _, err := s.show(ctx, line); err != nil {
			return "", err
		}
	}
	commit, err := s.quiet(ctx, "git rev-parse HEAD")
	return strings.TrimSpace(commit), err
}

// converge pushes and waits until the whole fleet is what the commit says.
func (s *stage) converge(ctx context.Context, message string, edits ...string) error {
	commit, err := s.push(ctx, message, edits...)
	if err != nil {
		return err
	}
	return s.converged(ctx, commit)
}

func (s *stage) converged(ctx context.Context, commit string) error {
	start := time.Now()
	err := s.until(ctx, "the fleet has converged", 2*time.Minute, func(ctx context.Context) error {
		r, err := s.status(ctx)
		switch {
		case err != nil:
			return err
		case r.Applied.Commit != commit:
			return fmt.Errorf("expected commit %.7s to be applied, got %.7s", commit, r.Applied.Commit)
		case !r.Converged:
			return fmt.Errorf("commit %.7s is being applied", commit)
		}
		return nil
	})
	if err == nil {
		fmt.Printf("(converged after %.1f s)\n", time.Since(start).Seconds())
	}
	return err
}

func (s *stage) scale(ctx context.Context) error {
	svc := &s.Services[0]
	edit := fmt.Sprintf("sed -i 's/count: %d/count: %d/' %s", svc.Pods, svc.Pods+1, overlay)
	if err := s.converge(ctx, "Scale up", edit); err != nil {
		return err
	}
	svc.Pods++
	return s.requestsUntilAll(ctx, *svc)
}

// requestsUntilAll sends requests until the load balancer has followed the pods: a new pod gets its first request a
// moment after it is ready.
func (s *stage) requestsUntilAll(ctx context.Context, svc service) error {
	return s.until(ctx, "the load balancer has followed", time.Minute, func(ctx context.Context) error {
		if err := s.endpointsAre(ctx, svc, svc.Pods*len(s.Members)); err != nil {
			return err
		}
		pods, err := s.showPods(ctx, svc)
		if err != nil {
			return err
		}
		addr, err := s.addressOf(ctx, svc)
		if err != nil {
			return err
		}
		return s.reachAll(ctx, netip.AddrPortFrom(addr, uint16(svc.Ports[0])), pods)
	})
}

// endpointsAre wants gitfleet to know that many endpoints of a service.
func (s *stage) endpointsAre(ctx context.Context, svc service, want int) error {
	r, err := s.status(ctx)
	if err != nil {
		return err
	}
	for _, i := range r.Imports {
		if i.Namespace == s.Namespace && i.Name == svc.Export && i.Endpoints == want {
			return nil
		}
	}
	return fmt.Errorf("expected %d endpoints of %s/%s, got %+v", want, s.Namespace, svc.Export, r.Imports)
}

func (s *stage) addObject(ctx context.Context) error {
	err := s.converge(ctx, "Say hello",
		"kubectl create configmap hello -n "+s.Namespace+" --from-literal=text=hello --dry-run=client -o yaml > base/hello.yaml",
		"echo '  - hello.yaml' >> base/kustomization.yaml")
	if err != nil {
		return err
	}
	return s.configMapsAre(ctx, "hello")
}

func (s *stage) renameObject(ctx context.Context) error {
	if err := s.converge(ctx, "Say it otherwise", "sed -i 's/name: hello/name: greeting/' base/hello.yaml"); err != nil {
		return err
	}
	return s.configMapsAre(ctx, "greeting")
}

// removeObject also wants an object that Git does not know to be left as it is.
func (s *stage) removeObject(ctx context.Context) error {
	member := s.Members[0]
	if _, err := s.show(ctx, fmt.Sprintf("kubectl --context %s create configmap by-hand -n %s", member, s.Namespace)); err != nil {
		return err
	}
	version := fmt.Sprintf("kubectl --context %s get configmap by-hand -n %s -o jsonpath='{.metadata.resourceVersion}'", member, s.Namespace)
	before, err := s.quiet(ctx, version)
	if err != nil {
		return err
	}
	if err := s.converge(ctx, "Say nothing", "git rm --quiet base/hello.yaml", "sed -i '/hello.yaml/d' base/kustomization.yaml"); err != nil {
		return err
	}
	if err := s.configMapsAre(ctx, ""); err != nil {
		return err
	}
	after, err := s.quiet(ctx, version)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("ConfigMap by-hand: expected resourceVersion %s, got %s: somebody wrote it", before, after)
	}
	fmt.Printf("(the ConfigMap made by hand still has resourceVersion %s)\n", before)
	return nil
}

// configMapsAre wants the ConfigMap of that name, and no other from Git, on every member; none when name is empty.
func (s *stage) configMapsAre(ctx context.Context, name string) error {
	for _, m := range s.Members {
		line := fmt.Sprintf("kubectl --context %s get configmaps -n %s -l applyset.kubernetes.io/part-of -o name", m, s.Namespace)
		out, err := s.show(ctx, line)
		if err != nil {
			return err
		}
		want := ""
		if name != "" {
			want = "configmap/" + name
		}
		if got := strings.TrimSpace(out); got != want {
			return fmt.Errorf("%s: expected %q, got %q", m, want, got)
		}
	}
	return nil
}

// deletePod wants the pod's successor to get its share of the requests, and the old one none.
func (s *stage) deletePod(ctx context.Context) error {
	svc, member := s.Services[0], s.Members[0]
	pod, err := s.quiet(ctx, fmt.Sprintf("kubectl --context %s get pods -n %s -l %s -o name | head -n 1", member, s.Namespace, svc.Selector))
	if err != nil {
		return err
	}
	if _, err := s.show(ctx, fmt.Sprintf("kubectl --context %s delete -n %s %s", member, s.Namespace, strings.TrimSpace(pod))); err != nil {
		return err
	}
	return s.requestsUntilAll(ctx, svc)
}

func (s *stage) pushWithoutMember(ctx context.Context) error {
	svc := &s.Services[0]
	up, down := s.Members[0], s.Members[1]
	if _, err := s.show(ctx, "localfleet stop "+down); err != nil {
		return err
	}
	edit := fmt.Sprintf("sed -i 's/count: %d/count: %d/' %s", svc.Pods, svc.Pods-1, overlay)
	commit, err := s.push(ctx, "Scale down", edit)
	if err != nil {
		return err
	}
	svc.Pods--
	line := fmt.Sprintf("kubectl --context %s get pods -n %s -l %s -o wide", up, s.Namespace, svc.Selector)
	if err := s.showUntil(ctx, line, 30*time.Second, func(out string) error { _, err := svc.readyPods(out); return err }); err != nil {
		return err
	}
	if err := s.showUntil(ctx, s.get("members"), time.Minute, func(out string) error { return joinedIs(out, down, "Unknown") }); err != nil {
		return err
	}
	if err := s.showUntil(ctx, s.get("serviceexports"), time.Minute, func(out string) error {
		if !strings.Contains(out, down) {
			return fmt.Errorf("expected the export of %s to be remembered, got a table without it", down)
		}
		return nil
	}); err != nil {
		return err
	}
	if _, err := s.show(ctx, "localfleet start "+down); err != nil {
		return err
	}
	if err := s.converged(ctx, commit); err != nil {
		return err
	}
	if err := s.showUntil(ctx, s.get("members"), time.Minute, func(out string) error { return joinedIs(out, down, "True") }); err != nil {
		return err
	}
	return s.requestsUntilAll(ctx, *svc)
}

func joinedIs(out, member, want string) error {
	rows, err := parseTable(out, memberColumns...)
	if err != nil {
		return err
	}
	_, err = find(rows, member, row{"JOINED": want})
	return err
}

// A breakage is an edit that makes a commit unusable, and what gitfleet must say of it.
type breakage struct {
	title string
	edit  string
	file  string // where the mistake is
	field string // "" when the file as a whole is wrong
}

// breakages are the mistakes of the four broken commits.
func breakages() []breakage {
	return []breakage{
		{"a typo in a placement", "sed -i 's/clusterSelectorTerms/clusterSelectorTerm/' registry/placement.yaml", "registry/placement.yaml",
			"spec.policy.affinity.clusterAffinity.requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerm"},
		{"a typo in a Deployment", "sed -i 's/replicas:/replica:/' base/deployment.yaml", "base/deployment.yaml", "spec.replica"},
		{"bad YAML", "echo '  - [' >> base/service.yaml", "base/service.yaml", ""},
		{"a missing base", "git mv base moved", overlay, "resources[0]"},
	}
}

// pushBroken pushes each breakage, wants it to be explained and to change nothing, and takes it back.
func (s *stage) pushBroken(ctx context.Context) error {
	for _, b := range breakages() {
		before, err := s.versions(ctx)
		if err != nil {
			return err
		}
		commit, err := s.push(ctx, "Break: "+b.title, b.edit)
		if err != nil {
			return err
		}
		if err := s.until(ctx, "gitfleet has seen the commit", time.Minute, func(ctx context.Context) error { return s.refused(ctx, commit, b) }); err != nil {
			return fmt.Errorf("%s: %w", b.title, err)
		}
		if _, err := s.showFailure(ctx, "gitfleet render"); err != nil {
			return err
		}
		after, err := s.versions(ctx)
		if err != nil {
			return err
		}
		if after != before {
			return fmt.Errorf("%s: expected nothing to change on the members, got\n%s\nafter\n%s", b.title, after, before)
		}
		if err := s.converge(ctx, "Mend: "+b.title, "git revert --no-commit HEAD"); err != nil {
			return err
		}
	}
	return nil
}

// refused wants gitfleet to have seen the commit, to go on applying the one before, and to tell what is wrong.
func (s *stage) refused(ctx context.Context, commit string, b breakage) error {
	r, err := s.status(ctx)
	if err != nil {
		return err
	}
	if r.Head.Commit != commit {
		return fmt.Errorf("expected head %.7s, got %.7s", commit, r.Head.Commit)
	}
	if r.Applied.Commit == commit {
		return errors.New("expected the commit not to be applied, but it is")
	}
	i := slices.IndexFunc(r.Errors, func(e render.ManifestError) bool { return e.File == b.file && e.Field == b.field })
	if i < 0 {
		return fmt.Errorf("expected an error for file %s, field %q, got %+v", b.file, b.field, r.Errors)
	}
	fmt.Printf("\n(gitfleet refuses %.7s, keeps %.7s in force and says:)\n%s\n", commit, r.Applied.Commit, r.Errors[i])
	return nil
}

// versions returns the resourceVersion of everything that came from Git to the members.
func (s *stage) versions(ctx context.Context) (string, error) {
	var all strings.Builder
	for _, m := range s.Members {
		out, err := s.quiet(ctx, fmt.Sprintf("kubectl --context %s get namespaces,deployments,services,serviceexports,configmaps -A -l applyset.kubernetes.io/part-of "+
			"-o custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion --no-headers", m))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%s\n%s", m, out)
	}
	return all.String(), nil
}
