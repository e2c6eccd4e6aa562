package report

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// TestTrackable goes through the kinds of KubeFleet's availability rules, and those that gitfleet judges besides.
func TestTrackable(t *testing.T) {
	for kind, want := range map[string]bool{
		"Deployment.apps": true, "StatefulSet.apps": true, "DaemonSet.apps": true, "Service": true,
		"CustomResourceDefinition.apiextensions.k8s.io": true, "PodDisruptionBudget.policy": true,
		"Namespace": true, "Secret": true, "ConfigMap": true, "ServiceAccount": true, "LimitRange": true, "ResourceQuota": true,
		"Role.rbac.authorization.k8s.io": true, "RoleBinding.rbac.authorization.k8s.io": true,
		"ClusterRole.rbac.authorization.k8s.io": true, "ClusterRoleBinding.rbac.authorization.k8s.io": true,
		"NetworkPolicy.networking.k8s.io": true, "IngressClass.networking.k8s.io": true, "StorageClass.storage.k8s.io": true,
		"CSIDriver.storage.k8s.io": true, "CSINode.storage.k8s.io": true, "CSIStorageCapacity.storage.k8s.io": true,
		"ControllerRevision.apps": true, "PriorityClass.scheduling.k8s.io": true,
		// KubeFleet does not track these; apply has a rule for them.
		"Job.batch": true, "HorizontalPodAutoscaler.autoscaling": true, "PersistentVolumeClaim": true, "Gateway.gateway.networking.k8s.io": true,
		// Nobody can tell.
		"Ingress.networking.k8s.io": false, "CronJob.batch": false, "PersistentVolume": false, "ValidatingWebhookConfiguration.admissionregistration.k8s.io": false,
		"ServiceExport.networking.fleet.azure.com": false, "MultiClusterService.networking.fleet.azure.com": false,
		"ServiceExport.multicluster.x-k8s.io": false, "Widget.example.com": false,
	} {
		if got := trackable(schema.ParseGroupKind(kind)); got != want {
			t.Errorf("trackable(%s) = %v, want %v", kind, got, want)
		}
	}
}

func TestUntracked(t *testing.T) {
	widget := api.Ref{Group: "example.com", Kind: "Widget", Name: "w"}
	web := api.Ref{Group: "apps", Kind: "Deployment", Name: "web"}
	c := bearing(on("a", "True", "True", ""), web, widget, export)
	if n, first := c.untracked(); n != 2 || first != widget {
		t.Errorf("untracked are %d, first %v; want 2, first the Widget", n, first)
	}
	if got := c.availableOutcome().message; !strings.HasPrefix(got, "Widget.example.com w and 1 more are ") {
		t.Errorf("message %q, want it to name the Widget and count the other", got)
	}
	c.Objects[1].Checked = true
	c.Objects[2].Health = apply.Health{Status: apply.InProgress}
	if n, _ := c.untracked(); n != 0 {
		t.Errorf("untracked are %d, want none: a health check tells of one, the other says itself that it is not available", n)
	}
}
