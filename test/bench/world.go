package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// soon is how often gitfleet looks at the repository while pushes are measured.
const soon = 200 * time.Millisecond

// world is one gitfleet with a repository of its own on some members, and bare clients beside it.
type world struct {
	binary    string
	dir       string
	options   productOptions
	namespace string // what gitfleet places; its peers have namespaces with names of the same length
	kinds     []kind
	edition   string // of the objects, as last pushed
	clients   []*bareClient
	repo      *repository
	product   *product
}

// startWorld makes a world and starts its gitfleet. It returns when the empty namespace is in place, and everything that
// gitfleet installs for itself.
func startWorld(ctx context.Context, binary string, members []*bareClient, kubeconfig string, kinds []kind) (*world, error) {
	w, err := newWorld(ctx, binary, members, kubeconfig, kinds)
	if err != nil {
		return nil, err
	}
	if _, err := w.restart(ctx); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return w, nil
}

// newWorld makes a repository that places an empty namespace on all members.
func newWorld(ctx context.Context, binary string, members []*bareClient, kubeconfig string, kinds []kind) (*world, error) {
	dir, err := os.MkdirTemp("", "gitfleet-bench-world-")
	if err != nil {
		return nil, err
	}
	w := &world{binary: binary, dir: dir, namespace: "ours-" + filepath.Base(dir)[len("gitfleet-bench-world-"):], kinds: kinds, clients: members}
	w.options = productOptions{kubeconfig: kubeconfig, state: filepath.Join(dir, "state"), interval: soon}
	if w.repo, err = newRepository(ctx, dir); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	w.options.repository = w.repo.url()
	var names []string
	for _, c := range members {
		names = append(names, c.member)
	}
	first := registry(names, w.namespace)
	for name, text := range files("app", w.namespace, "", nil) {
		first[name] = text
	}
	if _, err := w.push(ctx, first); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return w, nil
}

// peer is the namespace of the bare client.
func (w *world) peer() string { return "peer-" + w.namespace[len("ours-"):] }

// pushed is a commit and when it went out.
type pushed struct {
	commit string
	at     time.Time
}

func (w *world) push(ctx context.Context, files map[string]string) (pushed, error) {
	commit, err := w.repo.commit(ctx, files)
	if err != nil {
		return pushed{}, err
	}
	at := time.Now()
	return pushed{commit, at}, w.repo.push(ctx)
}

// fill pushes all objects in an edition.
func (w *world) fill(ctx context.Context, edition string) (pushed, error) {
	w.edition = edition
	return w.push(ctx, files("app", w.namespace, edition, w.kinds))
}

// fillAndSee pushes all objects in an edition and returns when the last of them was seen on its member.
func (w *world) fillAndSee(ctx context.Context, edition string) (out pushed, last time.Time, err error) {
	watch, err := watchAll(ctx, w.clients, w.namespace, w.kinds, false)
	if err != nil {
		return out, last, err
	}
	defer watch.close()
	if out, err = w.fill(ctx, edition); err != nil {
		return out, last, err
	}
	last, err = watch.awaitObjects(ctx, w.objects())
	return out, last, err
}

// place pushes all objects in their n-th edition, and returns when they are in place and well.
func (w *world) place(ctx context.Context, edition string, n int) error {
	out, _, err := w.fillAndSee(ctx, edition)
	if err != nil {
		return err
	}
	return w.settle(ctx, out.commit, n)
}

// restart starts gitfleet, again if it runs, and returns how long it took until it had converged.
func (w *world) restart(ctx context.Context) (time.Duration, error) {
	if w.product != nil {
		if err := w.product.stop(); err != nil {
			return 0, err
		}
	}
	head, err := git(ctx, "-C", w.repo.tree, "rev-parse", "HEAD")
	if err != nil {
		return 0, err
	}
	if w.product, err = startProduct(ctx, w.binary, w.options); err != nil {
		return 0, err
	}
	converged, err := w.product.awaitConverged(ctx, head)
	return converged.Sub(w.product.started), err
}

// settle does what controllers would: it says of every Deployment that all its replicas run. It returns when gitfleet
// has seen that all is well.
func (w *world) settle(ctx context.Context, commit string, generation int) error {
	status := fmt.Appendf(nil, `{"status":{"observedGeneration":%d,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2,`+
		`"conditions":[{"type":"Available","status":"True","reason":"MinimumReplicasAvailable","message":"Deployment has minimum availability."}]}}`, generation)
	group, within := errgroup.WithContext(ctx)
	for _, c := range w.clients {
		group.Go(func() error {
			for _, k := range w.kinds {
				for i := range k.count {
					if k.name != "Deployment" {
						continue
					}
					path := k.path(w.namespace) + "/" + k.objectName(i) + "/status"
					if _, err := c.send(within, http.MethodPatch, path, mergePatch, status); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := w.product.awaitConverged(ctx, commit)
	return err
}

// objects is how many objects there are on all members together.
func (w *world) objects() int {
	n := 0
	for _, k := range w.kinds {
		n += k.count * len(w.clients)
	}
	return n
}

// createPeer creates the namespace of the bare client on every member.
func (w *world) createPeer(ctx context.Context) error {
	for _, c := range w.clients {
		body := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, w.peer())
		if _, err := c.send(ctx, http.MethodPost, "/api/v1/namespaces", jsonContent, body); err != nil {
			return err
		}
	}
	return nil
}

// close stops gitfleet and removes the objects. What remains, a namespace a member, is gone with the fleet.
func (w *world) close(ctx context.Context) error {
	var errs []error
	if w.product != nil {
		errs = append(errs, w.product.stop())
	}
	for _, namespace := range []string{w.namespace, w.peer()} {
		errs = append(errs, removeAll(ctx, w.clients, namespace, w.kinds))
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// bareClients returns one client for each member of a real fleet.
func (f *localFleet) bareClients() ([]*bareClient, error) {
	var clients []*bareClient
	for _, name := range f.members {
		c, err := newBareClient(f.kubeconfig, name)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}
