package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// The annotations that ask for an internal address: Azure's own, and the one of Fleet.
const (
	azureInternal = "service.beta.kubernetes.io/azure-load-balancer-internal"
	fleetInternal = "networking.fleet.azure.com/azure-load-balancer-internal"
)

// reports shows what gitfleet itself says of the fleet.
func (s *stage) reports() step {
	return step{"what gitfleet says", func(ctx context.Context) error {
		for _, kind := range []string{"placements", "members", "serviceexports", "serviceimports", "multiclusterservices"} {
			out, err := s.show(ctx, s.get(kind))
			if err != nil {
				return err
			}
			if len(strings.Split(strings.TrimSpace(out), "\n")) < 2 {
				return fmt.Errorf("gitfleet get %s: expected a table with rows", kind)
			}
		}
		return nil
	}}
}

// get returns the command that prints one kind.
func (s *stage) get(kind string) string { return "gitfleet get " + kind + " --server " + s.url }

// internalAddress asks for an internal address with each annotation; the service must stay valid and reachable.
func (s *stage) internalAddress() step {
	return step{"step 8: an internal address", func(ctx context.Context) error {
		for _, svc := range s.Services {
			for _, annotation := range []string{azureInternal, fleetInternal} {
				if err := s.annotate(ctx, svc, annotation); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}

func (s *stage) annotate(ctx context.Context, svc service, annotation string) error {
	target := fmt.Sprintf("kubectl --context %s annotate multiclusterservice %s -n %s ", svc.Member, svc.Name, s.Namespace)
	if _, err := s.show(ctx, target+annotation+"=true"); err != nil {
		return err
	}
	if err := s.until(ctx, "gitfleet says the address is internal", time.Minute, s.internalIs(svc, true)); err != nil {
		return err
	}
	if err := s.stillReachable(ctx, svc); err != nil {
		return err
	}
	if _, err := s.show(ctx, target+annotation+"-"); err != nil {
		return err
	}
	return s.until(ctx, "gitfleet says the address is public", time.Minute, s.internalIs(svc, false))
}

// internalIs wants gitfleet to report a service as internal, or not.
func (s *stage) internalIs(svc service, want bool) func(context.Context) error {
	return func(ctx context.Context) error {
		r, err := s.status(ctx)
		if err != nil {
			return err
		}
		for _, got := range r.Services {
			if got.Cluster == svc.Member && got.Namespace == s.Namespace && got.Name == svc.Name {
				if got.Internal != want {
					return fmt.Errorf("expected internal %t, got %t", want, got.Internal)
				}
				return nil
			}
		}
		return fmt.Errorf("expected the MultiClusterService %s/%s in %s, got none", s.Namespace, svc.Name, svc.Member)
	}
}

// stillReachable shows the service and sends requests to its first port.
func (s *stage) stillReachable(ctx context.Context, svc service) error {
	var addr netip.Addr
	err := s.showUntil(ctx, s.getService(svc), time.Minute, func(out string) (err error) {
		addr, err = svc.address(out)
		return err
	})
	if err != nil {
		return err
	}
	pods, err := s.showPods(ctx, svc)
	if err != nil {
		return err
	}
	return s.reachAll(ctx, netip.AddrPortFrom(addr, uint16(svc.Ports[0])), pods)
}
