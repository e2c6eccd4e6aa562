package v1beta1

import (
	"strings"
	"testing"
)

func TestSplitResourceProperty(t *testing.T) {
	const noFigure, dash = "names no figure of the clusters' resources; write resources.kubernetes-fleet.io/total-NAME", "no resource whose name has a dash can be asked for"
	tests := []struct {
		reason, name, figure, resource string
		mistake                        string // part of the error
	}{
		{"a figure of a resource", "resources.kubernetes-fleet.io/total-cpu", FigureTotal, "cpu", ""},
		{"what the nodes offer", "resources.kubernetes-fleet.io/allocatable-memory", FigureAllocatable, "memory", ""},
		{"what is left", "resources.kubernetes-fleet.io/available-pods", FigureAvailable, "pods", ""},
		{"an extended resource without a dash", "resources.kubernetes-fleet.io/total-nvidia.com/gpu", FigureTotal, "nvidia.com/gpu", ""},
		{"a property of another kind", "kubernetes-fleet.io/node-count", "", "", ""},
		{"its dashes are its own affair", "example.com/total-a-b", "", "", ""},
		{"the prefix counts at the beginning only", "x.resources.kubernetes-fleet.io/cpu", "", "", ""},
		{"a resource with a dash", "resources.kubernetes-fleet.io/available-ephemeral-storage", "", "", `"resources.kubernetes-fleet.io/available-ephemeral-storage" asks for resource ephemeral-storage, and ` + dash +
			"; ask for another one, such as resources.kubernetes-fleet.io/available-cpu, or select the clusters by a label"},
		{"the remedy has the same figure", "resources.kubernetes-fleet.io/total-a-b", "", "", "such as resources.kubernetes-fleet.io/total-cpu"},
		{"two dashes in a row", "resources.kubernetes-fleet.io/total--cpu", "", "", dash},
		{"a dash at the end", "resources.kubernetes-fleet.io/total-cpu-", "", "", dash},
		{"no such figure", "resources.kubernetes-fleet.io/used-cpu", "", "", `"resources.kubernetes-fleet.io/used-cpu" ` + noFigure},
		{"figures are spelt in small letters", "resources.kubernetes-fleet.io/Total-cpu", "", "", noFigure},
		{"no figure", "resources.kubernetes-fleet.io/cpu", "", "", noFigure},
		{"an empty figure", "resources.kubernetes-fleet.io/-cpu", "", "", noFigure},
		{"no resource", "resources.kubernetes-fleet.io/total", "", "", noFigure},
		{"an empty resource", "resources.kubernetes-fleet.io/total-", "", "", noFigure},
		{"nothing at all", "resources.kubernetes-fleet.io/", "", "", noFigure},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			figure, resource, err := SplitResourceProperty(tt.name)
			if figure != tt.figure || resource != tt.resource {
				t.Errorf("%s: figure %q of resource %q, want %q of %q", tt.name, figure, resource, tt.figure, tt.resource)
			}
			switch {
			case tt.mistake == "" && err != nil:
				t.Errorf("%s: %v, want no error", tt.name, err)
			case tt.mistake != "" && (err == nil || !strings.Contains(err.Error(), tt.mistake)):
				t.Errorf("%s: error %v, want one that holds %q", tt.name, err, tt.mistake)
			}
			if again := ResourceProperty(figure, resource); figure != "" && again != tt.name {
				t.Errorf("%s is named %s from its parts", tt.name, again)
			}
		})
	}
}
