package main

import (
	"fmt"
	"strings"
)

// registry is the MemberClusters of n members, the first two in eastus.
func registry(names []string) string {
	var b strings.Builder
	for i, name := range names {
		location := "eastus"
		if i >= 2 {
			location = "westus"
		}
		fmt.Fprintf(&b, `---
apiVersion: cluster.kubernetes-fleet.io/v1beta1
kind: MemberCluster
metadata:
  name: %s
  labels: {fleet.azure.com/location: %s}
spec:
  identity: {kind: User, name: %s, apiGroup: rbac.authorization.k8s.io}
`, name, location, name)
	}
	return b.String()
}

// place is a placement of a namespace on the members of a location, or on all when that is empty.
func place(namespace, location string) string {
	s := fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: %[1]s}
spec:
  resourceSelectors:
    - {group: "", version: v1, kind: Namespace, name: %[1]s}
`, namespace)
	if location != "" {
		s += fmt.Sprintf(`  policy:
    affinity:
      clusterAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          clusterSelectorTerms:
            - labelSelector: {matchLabels: {fleet.azure.com/location: %s}}
`, location)
	}
	return s
}

func namespace(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", name)
}

func configMap(namespace, name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {value: %q}\n", name, namespace, value)
}

// deployment is a web server with a Service on port 9000 that names the container's port.
func deployment(namespace, name string, replicas int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1
          ports: [{name: http, containerPort: 7070}]
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}}
spec:
  selector: {app: %[2]s}
  ports: [{port: 9000, targetPort: http}]
`, namespace, name, replicas)
}

func export(namespace, name string) string {
	return fmt.Sprintf("apiVersion: networking.fleet.azure.com/v1alpha1\nkind: ServiceExport\nmetadata: {name: %s, namespace: %s}\n", name, namespace)
}

func multiClusterService(namespace, name string) string {
	return fmt.Sprintf("apiVersion: networking.fleet.azure.com/v1alpha1\nkind: MultiClusterService\nmetadata: {name: %s, namespace: %s}\nspec: {serviceImport: {name: %s}}\n",
		name, namespace, name)
}

// kustomization lists files as resources.
func kustomization(files ...string) string {
	return "resources: [" + strings.Join(files, ", ") + "]\n"
}
