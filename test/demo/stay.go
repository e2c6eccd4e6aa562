package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// stayUp says what to try and waits for Ctrl-C.
func (s *stage) stayUp(ctx context.Context) error {
	svc := s.Services[0]
	addr, err := s.addressOf(ctx, svc)
	if err != nil {
		return err
	}
	env := filepath.Join(s.dir, "env")
	if err := os.WriteFile(env, []byte(s.exports()), 0o600); err != nil {
		return err
	}
	fmt.Printf(`
Everything stays up until you press Ctrl-C, which removes all of it. In another terminal:

  . %[1]s    # kubectl, gitfleet and localfleet of this demo
  cd %[2]s
  curl -s %[3]s:%[4]d

  # push an edit
  sed -i 's/count: %[5]d/count: 5/' %[6]s && git commit -am Scale && git push
  # change something behind its back: it comes back
  kubectl --context %[7]s scale deployment --all -n %[8]s --replicas 0
  kubectl --context %[7]s delete pod -n %[8]s -l %[9]s
  # stop a control plane: its pods go on answering, and pushes reach the others
  localfleet stop %[10]s && gitfleet get members --server %[11]s
  localfleet start %[10]s
  # see what a mistake in a manifest leads to
  gitfleet render
  gitfleet get placements -o wide --server %[11]s
  # move everything to the third member
  sed -i 's/eastus/westus/' registry/placement.yaml && git commit -am Move && git push

Status page: %[11]s
Log:         %[12]s
`, quote(env), quote(s.shell.dir), addr, svc.Ports[0], svc.Pods, overlay, s.Members[0], s.Namespace, svc.Selector,
		s.Members[1], s.url, s.log())
	<-ctx.Done()
	return errStayedUp
}
