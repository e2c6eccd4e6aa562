package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Layout names the files of a fleet below its directory.
type Layout struct{ Dir string }

// Kubeconfig is the file with every context.
func (l Layout) Kubeconfig() string { return filepath.Join(l.Dir, "kubeconfig") }

// KubeconfigOf is the file with the context of one cluster.
func (l Layout) KubeconfigOf(name string) string { return filepath.Join(l.Dir, "kubeconfigs", name) }

// Members is the file with a MemberCluster manifest for every member.
func (l Layout) Members() string { return filepath.Join(l.Dir, "members.yaml") }

// Log is the log of one component of one cluster.
func (l Layout) Log(cluster, component string) string {
	return filepath.Join(l.Dir, "log", cluster+"-"+component+".log")
}

// AuditLog is where the API server of a cluster writes, if the fleet is audited, one JSON object (audit.k8s.io/v1, Event) for
// each write request that it has answered.
func (l Layout) AuditLog(cluster string) string {
	return filepath.Join(l.Dir, "log", cluster+"-audit.log")
}

// SupervisorLog is where the supervisor writes.
func (l Layout) SupervisorLog() string { return filepath.Join(l.Dir, "log", "supervisor.log") }

// KubectlCache is where kubectl remembers what an API server serves. Each fleet has its own: kubectl's default names only
// the server's address, which the next fleet may get.
func (l Layout) KubectlCache() string { return filepath.Join(l.Dir, "kubectl-cache") }

func (l Layout) state() string              { return filepath.Join(l.Dir, "state.json") }
func (l Layout) lock() string               { return filepath.Join(l.Dir, "lock") }
func (l Layout) cluster(name string) string { return filepath.Join(l.Dir, "clusters", name) }

const socketName = "control.sock"

// runData is what up writes and down removes. Logs stay, and so does the lock, which also marks the directory as ours.
func (l Layout) runData() []string {
	return []string{l.Kubeconfig(), filepath.Join(l.Dir, "kubeconfigs"), l.Members(), l.state(), l.KubectlCache(),
		filepath.Join(l.Dir, "clusters"), filepath.Join(l.Dir, socketName)}
}

// Clean removes what a fleet left in its directory. The caller holds the lock.
func (l Layout) Clean() error {
	var errs []error
	for _, path := range l.runData() {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// ErrRunning is returned by Lock when a supervisor holds the directory.
var ErrRunning = errors.New("a local fleet is running there")

// ErrAbsent is returned by Lock when the directory never held a fleet.
var ErrAbsent = errors.New("no local fleet there")

// Prepare makes the directory, or accepts an empty one or one that held a fleet before. It refuses any other: Clean
// would remove somebody's files.
func (l Layout) Prepare() error {
	entries, err := os.ReadDir(l.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory of the fleet: %w", err)
	}
	if _, err := os.Stat(l.lock()); len(entries) > 0 && err != nil {
		return fmt.Errorf("%s is not empty and was not made by localfleet: choose another --dir", l.Dir)
	}
	if err := os.MkdirAll(filepath.Join(l.Dir, "log"), 0o700); err != nil {
		return fmt.Errorf("directory of the fleet: %w", err)
	}
	f, err := os.OpenFile(l.lock(), os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock of the fleet: %w", err)
	}
	return f.Close()
}

// Lock takes the directory for this process until the file returned is closed. ErrRunning says that a supervisor lives:
// it holds the lock all its life, so neither a stale process number nor a crash can mislead.
func (l Layout) Lock() (*os.File, error) {
	f, err := os.OpenFile(l.lock(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", l.Dir, ErrAbsent)
	}
	if err != nil {
		return nil, fmt.Errorf("lock of the fleet: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", l.Dir, ErrRunning)
		}
		return nil, fmt.Errorf("lock %s: %w", l.lock(), err)
	}
	return f, nil
}

// writeFile replaces a file at once, so that no reader sees half of it; only the owner may read it.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("directory of %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one to tell
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
