package gitrepo

import (
	"strings"
	"testing"
)

// TestFetchRef: a reference of the remote becomes readable without becoming what is followed.
func TestFetchRef(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a", "1")
	r := open(t, Options{URL: o.fileURL(), CacheDir: t.TempDir()})
	if _, err := r.FetchRef(t.Context(), "refs/pull/1/head"); err == nil || !strings.Contains(err.Error(), "nothing has been fetched yet") {
		t.Errorf("before the branch was fetched: %v", err)
	}
	fetch(t, r, first)

	o.git(o.work, "checkout", "-q", "-b", "feature")
	o.write("a", "2")
	head := o.commit("feature")
	o.git(o.work, "push", "-q", "origin", "feature:refs/pull/1/head")
	o.git(o.work, "checkout", "-q", "main")
	second := o.publish("b", "1")
	fetch(t, r, second)

	for range 2 { // the second time it is there
		rev, err := r.FetchRef(t.Context(), "refs/pull/1/head")
		if err != nil {
			t.Fatal(err)
		}
		if rev.Commit != head || rev.Ref != "main" {
			t.Errorf("got %s of %s, want %s of main", rev.Commit, rev.Ref, head)
		}
		snap, err := r.Snapshot(rev)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := snap.FS.Open("a"); err != nil {
			t.Errorf("its tree cannot be read: %v", err)
		} else if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if last, _ := r.Last(); last.Commit != second {
		t.Errorf("the branch is at %s now, want %s", last.Commit, second)
	}
	if parents, err := r.Parents(t.Context(), head); err != nil || len(parents) != 1 || parents[0] != first {
		t.Errorf("the parents of %s are %q (%v), want %s", head, parents, err, first)
	}
	base, err := r.MergeBase(t.Context(), second, head)
	if err != nil || base.Commit != first {
		t.Errorf("the merge base is %q (%v), want %s", base.Commit, err, first)
	}
	if base, err = r.MergeBase(t.Context(), first, head); err != nil || base.Commit != first {
		t.Errorf("of an ancestor the merge base is %q (%v), want itself", base.Commit, err)
	}
	if _, err := r.FetchRef(t.Context(), "refs/pull/2/head"); err == nil || !strings.Contains(err.Error(), "refs/pull/2/head") {
		t.Errorf("a reference that is not there: %v", err)
	}
	if _, err := r.MergeBase(t.Context(), first, strings.Repeat("0", 40)); err == nil {
		t.Error("a commit that is not there has a merge base")
	}
	o.git(o.work, "checkout", "-q", "--orphan", "other")
	alone := o.commit("no history")
	o.git(o.work, "push", "-q", "origin", "other:refs/pull/3/head")
	if _, err := r.FetchRef(t.Context(), "refs/pull/3/head"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.MergeBase(t.Context(), first, alone); err == nil || !strings.Contains(err.Error(), "no commit in common") {
		t.Errorf("unrelated histories: %v", err)
	}
	o.git(o.work, "checkout", "-q", "main")
	fetch(t, r, o.publish("c", "1")) // following goes on
}
