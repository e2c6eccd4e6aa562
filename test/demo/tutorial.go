package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// The columns that users of Azure Kubernetes Fleet Manager know.
var (
	placementColumns = []string{"NAME", "GEN", "SCHEDULED", "SCHEDULEDGEN", "APPLIED", "APPLIEDGEN", "AGE"}
	exportColumns    = []string{"NAME", "IS-VALID", "IS-CONFLICTED", "AGE"}
	podColumns       = []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"}
	memberColumns    = []string{"NAME", "JOINED", "AGE", "MEMBER-AGENT-LAST-SEEN", "NODE-COUNT", "AVAILABLE-CPU", "AVAILABLE-MEMORY"}
	serviceColumns   = []string{"NAME", "SERVICE-IMPORT", "EXTERNAL-IP", "IS-VALID", "AGE"}
)

const requests = 40

// tutorial returns the steps of the tutorial, from an empty machine to requests that reach every pod.
func (s *stage) tutorial() []step {
	return []step{
		{"start a hub and three members (simulated nodes and pods, real control planes)", s.startFleet},
		{"steps 1 to 3: push the fleet repository", s.firstPush},
		{"start gitfleet", s.startGitfleet},
		{"step 4: the placement", s.placement},
		{"step 5: the exports", s.serviceExports},
		{"step 6: the multi-cluster services", s.multiClusterServices},
		{"step 7: requests", s.requests},
	}
}

func (s *stage) firstPush(ctx context.Context) error {
	lines := []string{
		"git init --quiet --bare --initial-branch main ../repo.git",
		"git init --quiet --initial-branch main .",
		"cp -R " + quote(filepath.Join(s.example, "fleet")) + "/. . && cp " + quote(s.example) + "/*.yaml ..",
		"git add .",
		"git commit --quiet --message 'The fleet'",
		"git remote add origin ../repo.git",
		"git push --quiet --set-upstream origin main",
		"git ls-files",
	}
	for _, line := range lines {
		if _, err := s.show(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) placement(ctx context.Context) error {
	line := "kubectl --context " + hubContext + " get clusterresourceplacements"
	err := s.showUntil(ctx, line, 2*time.Minute, func(out string) error {
		rows, err := parseTable(out, placementColumns...)
		if err != nil {
			return err
		}
		_, err = find(rows, s.Placement, row{"GEN": "1", "SCHEDULED": "True", "SCHEDULEDGEN": "1", "APPLIED": "True", "APPLIEDGEN": "1"})
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range s.Others {
		if _, err := s.showFailure(ctx, fmt.Sprintf("kubectl --context %s get namespace %s", m, s.Namespace)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) serviceExports(ctx context.Context) error {
	for _, svc := range s.Services {
		for _, m := range s.Members {
			line := fmt.Sprintf("kubectl --context %s get serviceexport %s -n %s", m, svc.Export, s.Namespace)
			err := s.showUntil(ctx, line, time.Minute, func(out string) error {
				rows, err := parseTable(out, exportColumns...)
				if err != nil {
					return err
				}
				_, err = find(rows, svc.Export, row{"IS-VALID": "True", "IS-CONFLICTED": "False"})
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stage) multiClusterServices(ctx context.Context) error {
	for _, svc := range s.Services {
		if svc.Manifest != "" {
			if _, err := s.show(ctx, "kubectl --context "+svc.Member+" apply -f ../"+svc.Manifest); err != nil {
				return err
			}
		}
		if err := s.showUntil(ctx, s.getService(svc), time.Minute, func(out string) error { _, err := svc.address(out); return err }); err != nil {
			return err
		}
	}
	return nil
}

// getService returns the command of step 6.
func (s *stage) getService(svc service) string {
	return fmt.Sprintf("kubectl --context %s get multiclusterservice %s -n %s", svc.Member, svc.Name, s.Namespace)
}

// addressOf asks for the external address of a service that is valid.
func (s *stage) addressOf(ctx context.Context, svc service) (netip.Addr, error) {
	out, err := s.quiet(ctx, s.getService(svc))
	if err != nil {
		return netip.Addr{}, err
	}
	return svc.address(out)
}

// address reads the external address from the table of step 6.
func (svc service) address(out string) (netip.Addr, error) {
	rows, err := parseTable(out, serviceColumns...)
	if err != nil {
		return netip.Addr{}, err
	}
	r, err := find(rows, svc.Name, row{"SERVICE-IMPORT": svc.Export, "IS-VALID": "True"})
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(r["EXTERNAL-IP"])
}

// requests sends requests to every port of every service and wants answers from all pods of all members, and no other.
func (s *stage) requests(ctx context.Context) error {
	for _, svc := range s.Services {
		addr, err := s.addressOf(ctx, svc)
		if err != nil {
			return err
		}
		pods, err := s.showPods(ctx, svc)
		if err != nil {
			return err
		}
		for _, port := range svc.Ports {
			if err := s.reachAll(ctx, netip.AddrPortFrom(addr, uint16(port)), pods); err != nil {
				return err
			}
		}
	}
	return nil
}

// reachAll wants 40 requests to be answered by exactly these pods.
func (s *stage) reachAll(ctx context.Context, addr netip.AddrPort, pods map[string]string) error {
	answers, err := s.showRequests(ctx, addr)
	if err != nil {
		return err
	}
	total := 0
	var errs []error
	for _, a := range slices.Sorted(maps.Keys(answers)) {
		total += answers[a]
		if _, ok := pods[a]; !ok {
			errs = append(errs, fmt.Errorf("%s answered %d requests and is no pod of the service", a, answers[a]))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(pods)) {
		if answers[p] == 0 {
			errs = append(errs, fmt.Errorf("%s in %s answered none", p, pods[p]))
		}
	}
	if total != requests {
		errs = append(errs, fmt.Errorf("expected %d answers, got %d", requests, total))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("requests to %s: %w", addr, err)
	}
	fmt.Printf("(%d requests, answered by all %d pods and no other)\n", requests, len(pods))
	return nil
}

// showPods prints the pods of a service on each member, once all are ready, and returns the member of each address.
func (s *stage) showPods(ctx context.Context, svc service) (map[string]string, error) {
	pods := map[string]string{}
	for _, m := range s.Members {
		var rows []row
		line := fmt.Sprintf("kubectl --context %s get pods -n %s -l %s -o wide", m, s.Namespace, svc.Selector)
		err := s.showUntil(ctx, line, time.Minute, func(out string) (err error) {
			rows, err = svc.readyPods(out)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			pods[r["IP"]] = m
		}
	}
	if want := svc.Pods * len(s.Members); len(pods) != want {
		return nil, fmt.Errorf("expected %d pods with an address each, got %d addresses", want, len(pods))
	}
	return pods, nil
}

// readyPods reads a table of pods; as many as the service has on one member must be there, all ready.
func (svc service) readyPods(out string) ([]row, error) {
	rows, err := parseTable(out, podColumns...)
	if err != nil {
		return nil, err
	}
	if len(rows) != svc.Pods {
		return nil, fmt.Errorf("expected %d pods, got %d", svc.Pods, len(rows))
	}
	for _, r := range rows {
		if r["READY"] != "1/1" || r["STATUS"] != "Running" {
			return nil, fmt.Errorf("pod %s: expected 1/1 Running, got %s %s", r["NAME"], r["READY"], r["STATUS"])
		}
	}
	return rows, nil
}
