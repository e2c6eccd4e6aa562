package supervisor

import (
	"bytes"
	"fmt"
)

// membersManifest returns a MemberCluster (cluster.kubernetes-fleet.io/v1beta1) for each member, with the label that
// AKS puts on them, to be used as a fleet repository's registry. The identity is what upstream requires; nothing here
// uses it.
func membersManifest(members []string) []byte {
	var b bytes.Buffer
	for i, name := range members {
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, `apiVersion: cluster.kubernetes-fleet.io/v1beta1
kind: MemberCluster
metadata:
  name: %s
  labels:
    fleet.azure.com/location: %s
spec:
  identity:
    kind: ServiceAccount
    name: fleet-member-agent-%[1]s
    namespace: fleet-system
`, name, location(i))
	}
	return b.Bytes()
}
