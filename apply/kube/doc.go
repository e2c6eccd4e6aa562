// Package kube observes and changes one member for package apply: Observer turns watches into an apply.Live, Executor
// carries out an apply.Plan, CRDs installs the definitions that gitfleet itself needs. All share the member's
// fleet.Session. Nothing here decides what should be on a cluster.
package kube
