package dir

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs f without the rights of root over files, which read everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread() // the file system's user is a property of the thread
	defer runtime.UnlockOSThread()
	set := func(uid uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	set(65534)
	defer set(0)
	f()
}

func TestUnreadable(t *testing.T) {
	for _, name := range []string{"a.yaml", "sub", "sub/b.yaml"} {
		t.Run(name, func(t *testing.T) {
			w := newWorktree(t)
			must(t, os.Chmod(filepath.Dir(filepath.Dir(w.root)), 0o755))
			before := w.fetch()
			must(t, os.Chmod(w.path(name), 0))
			t.Cleanup(func() { must(t, os.Chmod(w.path(name), 0o755)) })
			asNobody(t, func() { w.wantFetchError(w.root, name+" cannot be read", "make it readable") })
			must(t, os.Chmod(w.path(name), map[bool]os.FileMode{true: 0o755, false: 0o644}[name == "sub"]))
			asNobody(t, func() {
				if rev := w.fetch(); rev != before {
					t.Errorf("the tree is %+v after it became readable again, was %+v", rev, before)
				}
			})
		})
	}
}
