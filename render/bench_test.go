package render

import (
	"fmt"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/gitfleet/gitfleet/source"
)

// BenchmarkCompose measures a revision of 1,000 objects of the tutorial's kinds in one placement.
func BenchmarkCompose(b *testing.B) {
	archive, err := txtar.ParseFile("testdata/tutorial.txtar")
	if err != nil {
		b.Fatal(err)
	}
	var objects []Object
	for i := range 250 {
		for _, o := range documents(b, archive.Files[2:3])[1:5] { // Deployment, Service, ServiceExport, MultiClusterService
			o.SetName(fmt.Sprintf("%s-%d", o.GetName(), i))
			objects = append(objects, o)
		}
	}
	objects = append(objects, documents(b, archive.Files[1:2])...)
	for b.Loop() {
		if _, err := Compose(source.Revision{}, objects); err != nil {
			b.Fatal(err)
		}
	}
}
