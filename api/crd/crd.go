// Package crd holds the CustomResourceDefinitions generated from the types in api.
package crd

//go:generate go tool controller-gen object paths=../...
//go:generate go tool controller-gen crd paths=../... output:crd:dir=.

import (
	"embed"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	mcscrd "sigs.k8s.io/mcs-api/config/crd"
	"sigs.k8s.io/yaml"
)

//go:embed *.yaml
var files embed.FS

// Hub returns the definitions that the optional hub cluster needs: ClusterResourcePlacement, ResourcePlacement,
// ClusterResourcePlacementStatus and MemberCluster. The caller owns the result.
func Hub() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		load("placement.kubernetes-fleet.io_clusterresourceplacements.yaml"),
		load("placement.kubernetes-fleet.io_resourceplacements.yaml"),
		load("placement.kubernetes-fleet.io_clusterresourceplacementstatuses.yaml"),
		load("cluster.kubernetes-fleet.io_memberclusters.yaml"),
	}
}

// Member returns the definitions that every member needs: ServiceExport, ServiceImport and MultiClusterService of Azure's API. The
// caller owns the result.
func Member() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		load("networking.fleet.azure.com_serviceexports.yaml"),
		load("networking.fleet.azure.com_serviceimports.yaml"),
		load("networking.fleet.azure.com_multiclusterservices.yaml"),
	}
}

// Standard returns the definitions of ServiceExport and ServiceImport as KEP-1645 has them. The caller owns the result.
func Standard() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		parse("ServiceExport of sigs.k8s.io/mcs-api", mcscrd.ServiceExportCRD),
		parse("ServiceImport of sigs.k8s.io/mcs-api", mcscrd.ServiceImportCRD),
	}
}

// load panics on a bad file: the files are part of the binary, so no input of a user can make it fail.
func load(name string) *unstructured.Unstructured {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("crd: %v", err))
	}
	return parse(name, data)
}

func parse(name string, data []byte) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(data, &u.Object); err != nil {
		panic(fmt.Sprintf("crd: %s: %v", name, err))
	}
	return u
}
