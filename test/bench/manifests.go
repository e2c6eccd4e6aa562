package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
)

// kind is one of the kinds that are placed, and how many of it.
type kind struct {
	group, version, plural, name string
	count                        int
	manifest                     func(name, edition string) string // without namespace
}

// path returns where objects of k live in a namespace.
func (k kind) path(namespace string) string {
	root := "/apis/" + k.group + "/" + k.version
	if k.group == "" {
		root = "/api/" + k.version
	}
	return root + "/namespaces/" + namespace + "/" + k.plural
}

// thousand is what is placed on each real member: 1,000 objects.
func thousand() []kind {
	return []kind{configMaps(600), deployments(200), services(200)}
}

// hundred is what is placed on each stub member.
func hundred() []kind {
	return []kind{configMaps(60), deployments(20), services(20)}
}

func configMaps(n int) kind {
	filler := strings.Repeat("0123456789abcdef", 64) // 1 KB
	return kind{"", "v1", "configmaps", "ConfigMap", n, func(name, edition string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  edition: %q\n  filler: %s\n", name, edition, filler)
	}}
}

func deployments(n int) kind {
	return kind{"apps", "v1", "deployments", "Deployment", n, func(name, edition string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  labels: {app: %[1]s}
spec:
  replicas: 2
  selector:
    matchLabels: {app: %[1]s}
  template:
    metadata:
      labels: {app: %[1]s}
    spec:
      containers:
      - name: main
        image: registry.example.com/shop/front:1.2.3
        env:
        - {name: EDITION, value: %[2]q}
        ports:
        - {name: http, containerPort: 8000, protocol: TCP}
        resources:
          requests: {cpu: 100m, memory: 64Mi}
          limits: {memory: 128Mi}
        readinessProbe:
          httpGet: {path: /ready, port: http}
          periodSeconds: 5
`, name, edition)
	}}
}

func services(n int) kind {
	return kind{"", "v1", "services", "Service", n, func(name, edition string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: %[1]s
  annotations: {edition: %[2]q}
spec:
  selector: {app: %[1]s}
  ports:
  - {name: http, port: 80, targetPort: 8000, protocol: TCP}
`, name, edition)
	}}
}

// objectName returns the name of the i-th object of k.
func (k kind) objectName(i int) string { return fmt.Sprintf("front-%04d", i) }

// perFile is how many objects stand in one file of the repository.
const perFile = 50

// files returns all objects in an edition as files of a repository, with a kustomization that lists them.
func files(dir, namespace, edition string, kinds []kind) map[string]string {
	out := map[string]string{dir + "/namespace.yaml": namespaceManifest(namespace)}
	kustomization := "namespace: " + namespace + "\nresources:\n- namespace.yaml\n"
	for _, k := range kinds {
		for first := 0; first < k.count; first += perFile {
			var file strings.Builder
			for i := first; i < min(first+perFile, k.count); i++ {
				file.WriteString("---\n" + k.manifest(k.objectName(i), edition))
			}
			name := fmt.Sprintf("%s-%04d.yaml", k.plural, first)
			out[dir+"/"+name] = file.String()
			kustomization += "- " + name + "\n"
		}
	}
	out[dir+"/kustomization.yaml"] = kustomization
	return out
}

func namespaceManifest(namespace string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + namespace + "\n"
}

// registry returns the files that register members and place a namespace on all of them.
func registry(members []string, namespace string) map[string]string {
	var list strings.Builder
	for _, m := range members {
		list.WriteString("---\napiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberCluster\nmetadata:\n  name: " + m + "\n")
	}
	return map[string]string{
		"registry/members.yaml": list.String(),
		"registry/placement.yaml": fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata:
  name: %[1]s
spec:
  resourceSelectors:
  - {group: "", version: v1, kind: Namespace, name: %[1]s}
`, namespace),
	}
}

// appliedObject is one object as a client sends it.
type appliedObject struct {
	path string
	body []byte
}

// applied returns all objects in an edition as gitfleet sends them: with a label and an annotation of the sizes of its own.
func applied(namespace, edition string, kinds []kind) ([]appliedObject, error) {
	var out []appliedObject
	for _, k := range kinds {
		for i := range k.count {
			o, err := k.applied(namespace, edition, i)
			if err != nil {
				return nil, err
			}
			out = append(out, o)
		}
	}
	return out, nil
}

// applied returns the i-th object of k.
func (k kind) applied(namespace, edition string, i int) (appliedObject, error) {
	var o map[string]any
	if err := yaml.Unmarshal([]byte(k.manifest(k.objectName(i), edition)), &o); err != nil {
		return appliedObject{}, fmt.Errorf("manifest of a %s: %w", k.name, err)
	}
	meta := o["metadata"].(map[string]any)
	meta["namespace"] = namespace
	set(meta, "labels", api.ApplySetPartOfLabel, "applyset-"+strings.Repeat("x", 43)+"-v1")
	set(meta, "annotations", api.AnnotationAppliedHash, fmt.Sprintf("%-16s", edition+"-peer"))
	body, err := json.Marshal(o)
	return appliedObject{k.path(namespace) + "/" + k.objectName(i), body}, err
}

// set sets a key of a map within meta.
func set(meta map[string]any, field, key, value string) {
	inner, _ := meta[field].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
		meta[field] = inner
	}
	inner[key] = value
}
