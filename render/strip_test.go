package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

func TestStrip(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"what a server sets, and what stays", `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  namespace: b
  resourceVersion: "1"
  generation: 2
  uid: u
  selfLink: /x
  creationTimestamp: 2020-01-01T00:00:00Z
  deletionTimestamp: 2020-01-01T00:00:00Z
  deletionGracePeriodSeconds: 30
  managedFields: []
  ownerReferences: [{name: x}]
  finalizers: [keep/me]
  labels: {keep: me}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: "{}"
    deployment.kubernetes.io/revision: "3"
    keep: me
spec: {replicas: 1}
status: {replicas: 1}
`, `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  namespace: b
  finalizers: [keep/me]
  labels: {keep: me}
  annotations: {keep: me}
spec: {replicas: 1}
`},
		{"annotations that hold nothing else go as a whole", `
apiVersion: v1
kind: ConfigMap
metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}
`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
`},
		{"addresses and ports a cluster allocated", `
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1]
  healthCheckNodePort: 30000
  ports: [{port: 80, nodePort: 30001}, {port: 81}]
`, `
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  ports: [{port: 80}, {port: 81}]
`},
		{"a headless Service stays headless", `
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {clusterIP: None, clusterIPs: [None]}
`, `
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {clusterIP: None, clusterIPs: [None]}
`},
		{"a Job's generated selector", `
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u}}
  template: {metadata: {creationTimestamp: 2020-01-01T00:00:00Z, labels: {controller-uid: u, batch.kubernetes.io/controller-uid: u, job-name: a, batch.kubernetes.io/job-name: a, app: x}}}
`, `
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec:
  selector: {}
  template: {metadata: {labels: {app: x}}}
`},
		{"a Job's own selector", `
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec: {manualSelector: true, selector: {matchLabels: {controller-uid: u}}}
`, `
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec: {manualSelector: true, selector: {matchLabels: {controller-uid: u}}}
`},
		{"nonsense is left to be reported", `
apiVersion: v1
kind: Service
metadata: [a]
spec: {ports: {a: b}}
`, `
apiVersion: v1
kind: Service
metadata: [a]
spec: {ports: {a: b}}
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := documents(t, []txtar.File{{Name: "in.yaml", Data: []byte(tt.in)}})[0]
			strip(o.Unstructured)
			var want map[string]any
			if err := yaml.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(o.Object)
			if err != nil {
				t.Fatal(err)
			}
			wanted, err := yaml.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(wanted), string(got)); diff != "" {
				t.Errorf("want - got +:\n%s", diff)
			}
		})
	}
}
