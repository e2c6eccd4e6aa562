package render

import (
	"bytes"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// Print writes objects as `kustomize build` prints them: YAML documents with sorted keys, separated by "---".
func Print(w io.Writer, objects []Object) error {
	var b bytes.Buffer
	for i, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("print %s: %w", o.Origin, err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(text)
	}
	_, err := w.Write(b.Bytes())
	return err
}
