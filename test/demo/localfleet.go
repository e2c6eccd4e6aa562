package main

import (
	"context"
	"path/filepath"
)

// hubContext is the hub's name among the contexts of the kubeconfig.
const hubContext = "fleet"

func (s *stage) fleetDir() string   { return filepath.Join(s.dir, "fleet") }
func (s *stage) kubeconfig() string { return filepath.Join(s.fleetDir(), "kubeconfig") }

// startFleet starts the hub and the members.
func (s *stage) startFleet(ctx context.Context) error {
	_, err := s.show(ctx, "localfleet up --members 3")
	return err
}

func (s *stage) stopFleet(ctx context.Context) error {
	_, err := s.show(ctx, "localfleet down")
	return err
}
