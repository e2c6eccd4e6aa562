package hub

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gitfleet/gitfleet/api/crd"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

var placements = placementv1beta1.GroupVersion.WithResource("clusterresourceplacements")

// hubSession opens a session and a publisher that installs the definitions itself.
func hubSession(t *testing.T, s *apiServer) (*Publisher, dynamic.Interface) {
	t.Helper()
	session, err := fleet.Open("hub", s.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		t.Fatal(err)
	}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	installed := false
	prepare := func(ctx context.Context) error {
		if installed {
			return nil
		}
		for _, d := range crd.Hub() {
			if _, err := crds.Create(ctx, d, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
		}
		installed = true
		return nil
	}
	return NewPublisher(session, prepare), client
}

func publish(t *testing.T, p *Publisher, desired *render.Desired, r report.Report) {
	t.Helper()
	if err := p.Publish(t.Context(), desired, r); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// kubectl runs kubectl against s.
func (s *apiServer) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["hub"] = &clientcmdapi.Cluster{Server: s.config.Host, InsecureSkipTLSVerify: true}
	cfg.AuthInfos["hub"] = &clientcmdapi.AuthInfo{Token: s.config.BearerToken}
	cfg.Contexts["hub"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: "hub"}
	cfg.CurrentContext = "hub"
	if err := clientcmd.WriteToFile(*cfg, file); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(s.bin, append([]string{"kubectl", "--kubeconfig", file}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestPublish walks one publisher through a fleet's life on a real API server.
func TestPublish(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	s := startAPIServer(t)
	p, client := hubSession(t, s)
	desired, r := shop()
	publish(t, p, desired, r)
	s.requests()

	t.Run("kubectl prints the known tables", func(t *testing.T) {
		wantTable(t, s.kubectl(t, "get", "clusterresourceplacements"),
			`NAME   GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE`,
			`shop   1     True        1              True      1            \d+s`)
		out := s.kubectl(t, "get", "memberclusters")
		if !regexp.MustCompile(`(?m)^two\s+True\s+\d+s\s+\S+\s+2\s*$`).MatchString(out) {
			t.Errorf("kubectl get memberclusters prints\n%s", out)
		}
	})
	t.Run("the same report makes no request", func(t *testing.T) {
		for range 3 { // also while the watches may lag behind
			publish(t, p, desired, r)
		}
		if writes, reads := s.requests(); len(writes)+len(reads) > 0 {
			t.Errorf("requests: %v %v", writes, reads)
		}
	})
	t.Run("a restart makes no write", func(t *testing.T) {
		restarted, _ := hubSession(t, s)
		later := r
		later.Time = r.Time.Add(time.Hour)
		later.Placements = slices.Clone(r.Placements)
		later.Placements[0].Conditions = report.Conditions(r.Placements[0], nil, later.Time)
		s.requests()
		publish(t, restarted, desired, later)
		for _, w := range first(s.requests()) {
			if !strings.Contains(w, "customresourcedefinitions") { // of this test's own prepare
				t.Errorf("write: %s", w)
			}
		}
	})
	t.Run("one changed status is one write", func(t *testing.T) {
		r = again(r, r.Time.Add(time.Minute), func(p *report.Placement) { p.Clusters[0].Applied = "False" })
		publish(t, p, desired, r)
		want := []string{"PATCH /apis/placement.kubernetes-fleet.io/v1beta1/clusterresourceplacements/shop/status"}
		if writes, _ := s.requests(); !slices.Equal(writes, want) {
			t.Errorf("writes: %v, want %v", writes, want)
		}
		wantTable(t, s.kubectl(t, "get", "crp"), `NAME.*`, `shop   1     True        1              False     1            \S+`)
	})
	t.Run("a changed spec counts the hub's generations", func(t *testing.T) {
		desired.Placements[0].Spec.Policy.ClusterNames = []string{"one", "three"}
		r = again(r, r.Time.Add(time.Minute), func(p *report.Placement) { p.Generation++; p.Clusters[0].Applied = "True" })
		publish(t, p, desired, r)
		wantTable(t, s.kubectl(t, "get", "crp"), `NAME.*`, `shop   2     True        2              True      2            \S+`)
	})
	t.Run("drift on the hub is mended", func(t *testing.T) {
		s.kubectl(t, "patch", "crp", "shop", "--type=merge", "-p", `{"spec":{"policy":{"clusterNames":["two"]}}}`)
		eventually(t, 10*time.Second, "the names from the repository are back", func() bool {
			publish(t, p, desired, r)
			return strings.Contains(s.kubectl(t, "get", "crp", "shop", "-o", "jsonpath={.spec.policy.clusterNames}"), "three")
		})
	})
	t.Run("foreign objects are left alone", func(t *testing.T) { foreign(t, p, client, desired, r) })
	t.Run("what is gone from the repository goes", func(t *testing.T) {
		without, left := *desired, r
		without.Members, without.Placements = desired.Members[:1], nil
		left.Members, left.Placements = r.Members[:1], nil
		publish(t, p, &without, left)
		if out := s.kubectl(t, "get", "crp,memberclusters", "-o", "name"); strings.Fields(out)[0] != "clusterresourceplacement.placement.kubernetes-fleet.io/theirs" || len(strings.Fields(out)) != 2 {
			t.Errorf("left on the hub:\n%s", out)
		}
		s.requests()
		publish(t, p, &without, left)
		if writes, _ := s.requests(); len(writes) > 0 {
			t.Errorf("publishing again after a removal writes %v", writes)
		}
		publish(t, p, desired, r) // and back
	})
	t.Run("KubeFleet's hub agent is not fought", func(t *testing.T) {
		s.kubectl(t, "patch", "crp", "theirs", "--type=merge", "-p", `{"metadata":{"finalizers":["kubernetes-fleet.io/scheduler-cleanup"]}}`)
		var err error
		eventually(t, 10*time.Second, "publishing is refused", func() bool {
			err = p.Publish(t.Context(), desired, r)
			return err != nil
		})
		if !strings.Contains(err.Error(), "hub agent") {
			t.Errorf("Publish: %v, want an error about the hub agent", err)
		}
	})
}

func first(writes, _ []string) []string { return writes }

func wantTable(t *testing.T, out string, lines ...string) {
	t.Helper()
	if !regexp.MustCompile(`^` + strings.Join(lines, `\n`) + `\n$`).MatchString(out) {
		t.Errorf("kubectl prints\n%swant\n%s", out, strings.Join(lines, "\n"))
	}
}

// foreign creates a placement that gitfleet did not publish, then wishes for one of the same name.
func foreign(t *testing.T, p *Publisher, client dynamic.Interface, desired *render.Desired, r report.Report) {
	theirs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"resourceSelectors": []any{map[string]any{"group": "", "version": "v1", "kind": "Namespace", "name": "x"}}}}}
	theirs.SetGroupVersionKind(placementv1beta1.ClusterResourcePlacementGVK)
	theirs.SetName("theirs")
	created, err := client.Resource(placements).Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	both := *desired
	same := desired.Placements[0]
	same.ClusterResourcePlacement = same.DeepCopy()
	same.Name = "theirs"
	both.Placements = append(slices.Clone(desired.Placements), same)
	// Whether or not the watch shows it yet: the apply of a new object is not forced.
	err = p.Publish(t.Context(), &both, r)
	if err == nil {
		t.Error("Publish takes over an object of somebody else")
	}
	eventually(t, 10*time.Second, "the error names the remedy", func() bool {
		return errors.Is(p.Publish(t.Context(), &both, r), errForeign)
	})
	now, err := client.Resource(placements).Get(t.Context(), "theirs", metav1.GetOptions{})
	if err != nil || now.GetResourceVersion() != created.GetResourceVersion() {
		t.Errorf("the foreign placement changed from %v to %v, %v", created, now, err)
	}
}

func TestPublishToNobody(t *testing.T) {
	session, err := fleet.Open("hub", &rest.Config{Host: "https://127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	desired, r := shop()
	p := NewPublisher(session, func(context.Context) error { return nil })
	var unreachable *fleet.UnreachableError
	if err := p.Publish(t.Context(), desired, r); !errors.As(err, &unreachable) {
		t.Errorf("Publish to an address where nobody listens: %v, want an *UnreachableError", err)
	}
	p = NewPublisher(session, func(context.Context) error { return errors.New("no permission") })
	if err := p.Publish(t.Context(), desired, r); err == nil || !strings.Contains(err.Error(), "no permission") {
		t.Errorf("Publish where preparing fails: %v", err)
	}
}
