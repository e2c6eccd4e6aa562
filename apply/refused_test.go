package apply

import (
	"errors"
	"testing"

	"github.com/gitfleet/gitfleet/api"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	cause := errors.New("the server said no")
	web := api.Ref{Kind: "Namespace", Name: "web"}
	pod := func(name string) api.Ref { return api.Ref{Kind: "Pod", Namespace: "web", Name: name} }
	rows := []struct {
		name  string
		err   error
		cause error
		want  string
	}{
		{"refused", &RefusedError{Ref: pod("a"), Verb: "patch", Actor: Author, Message: "spec.x is unknown", Err: cause}, cause, "patch Pod web/a: spec.x is unknown"},
		{"refused, with a secret", &RefusedError{Ref: pod("a"), Verb: "patch", Message: "is wrong"}, nil, "patch Pod web/a: is wrong"},
		{"foreign inventory", &ForeignError{Set: "web", Source: "https://git.example.com/other.git main"}, nil,
			`inventory ConfigMap gitfleet-system/` + ParentName("web") + ` belongs to "https://git.example.com/other.git main", another repository, branch or path; ` +
				"if that has moved here, run once with --take-over; otherwise another gitfleet manages this cluster, and a placement needs another name"},
		{"fenced", &FencedError{Set: "web", Err: cause}, cause,
			"inventory ConfigMap gitfleet-system/" + ParentName("web") + " was changed by another writer since it was observed: the server said no"},
		{"held for others' objects", &HeldError{Ref: web, Foreign: []api.Ref{pod("a"), pod("b"), pod("c"), pod("d"), pod("e")}, Digest: "sha256:1"}, nil,
			"delete Namespace web: held, because it would destroy what gitfleet did not create: Pod web/a, Pod web/b, Pod web/c and 2 more; " +
				"delete them, or delete the Namespace with kubectl; gitfleet notices; or confirm it with the commit trailer Gitfleet-Confirm: sha256:1"},
		{"held for what nobody knows", &HeldError{Ref: web, Err: cause}, cause,
			"delete Namespace web: held, because it may destroy what gitfleet did not create: the server said no; mend that, or delete the Namespace with kubectl; " +
				"gitfleet notices; or confirm it with the commit trailer Gitfleet-Confirm: DIGEST, the plan's"},
	}
	for _, row := range rows {
		if got := row.err.Error(); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
		if got := errors.Unwrap(row.err); got != row.cause {
			t.Errorf("%s: its cause is %v, want %v", row.name, got, row.cause)
		}
	}
}
