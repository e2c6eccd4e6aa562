//go:build race

package kustomize

const raceEnabled = true
