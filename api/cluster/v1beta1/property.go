package v1beta1

import (
	"fmt"
	"slices"
	"strings"
)

// PropertyResourcePrefix begins the names of the properties that are read from resourceUsage, never from properties: total-cpu,
// allocatable-memory and so on.
const PropertyResourcePrefix = "resources.kubernetes-fleet.io/"

// The figures of a resource, as the names of properties spell them.
const (
	FigureTotal       = "total" // resourceUsage.capacity
	FigureAllocatable = "allocatable"
	FigureAvailable   = "available"
)

var figures = []string{FigureTotal, FigureAllocatable, FigureAvailable}

// ResourceProperty names the property that is the figure of resource.
func ResourceProperty(figure, resource string) string {
	return PropertyResourcePrefix + figure + "-" + resource
}

// SplitResourceProperty tells which figure of which resource the property of that name is; both are empty for properties that
// are not read from resourceUsage. The error names the property and a remedy. KubeFleet's scheduler splits such a name at every
// dash and gives up unless that makes two parts, so a resource whose own name has a dash cannot be asked for.
func SplitResourceProperty(name string) (figure, resource string, err error) {
	rest, ok := strings.CutPrefix(name, PropertyResourcePrefix)
	if !ok {
		return "", "", nil
	}
	figure, resource, _ = strings.Cut(rest, "-")
	switch {
	case resource == "" || !slices.Contains(figures, figure):
		return "", "", fmt.Errorf("%[2]q names no figure of the clusters' resources; write %[1]stotal-NAME, %[1]sallocatable-NAME or "+
			"%[1]savailable-NAME, such as %[1]savailable-cpu", PropertyResourcePrefix, name)
	case strings.Contains(resource, "-"):
		return "", "", fmt.Errorf("%q asks for resource %s, and no resource whose name has a dash can be asked for; "+
			"ask for another one, such as %s, or select the clusters by a label", name, resource, ResourceProperty(figure, "cpu"))
	}
	return figure, resource, nil
}
