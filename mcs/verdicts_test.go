package mcs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEndpoints(t *testing.T) {
	m1 := exporter("m1", "10.1.0.2", func(e *Export) {
		unready, leaving := backend("10.1.0.3"), backend("10.1.0.4")
		unready.Ready, leaving.Terminating = false, true
		e.Endpoints = append(e.Endpoints, unready, leaving)
	})
	twin := m1.Exports[0]
	twin.Dialect = Standard
	m1.Exports = append(m1.Exports, twin) // counts its endpoints once
	none := exporter("m2", "10.2.0.2", func(e *Export) { e.Weight = "0" })
	lost := exporter("m3", "10.3.0.2", func(e *Export) { e.Service.Ports[0].Port, e.Created = 81, now.Add(1e9) })
	invalid := exporter("m4", "10.4.0.2", func(e *Export) { e.Service = nil })
	gone := exporter("m5", "10.5.0.2", same)
	gone.Synced, gone.Seen = false, now
	r := Resolve([]Observed{m1, none, lost, invalid, gone, importer("m6", "m1")}, Terms{Lease: 1}, now.Add(1e9))
	want := map[string]string{
		"10.1.0.2": "", "10.1.0.3": "it is not ready", "10.1.0.4": "it is terminating", "10.2.0.2": "the weight of m2 is 0",
		"10.3.0.2": "no port of its cluster takes part: see the conflict", "10.4.0.2": "the export is not valid",
		"10.5.0.2": "its cluster is out of sight and its lease is over, and others have endpoints that are ready",
	}
	got := map[string]string{}
	for _, v := range r.Endpoints(Key{Namespace: "shop", Name: "web"}) {
		if _, twice := got[v.Address.String()]; twice {
			t.Errorf("%s is told twice", v.Address)
		}
		got[v.Address.String()] = v.Out
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}
