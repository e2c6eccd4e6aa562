package clustertest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// whatIsNotOursStays changes an object so that it is no longer ours, and then takes it out of the wish.
func whatIsNotOursStays(t *testing.T, s server) {
	rows := []struct{ name, patch, note string }{
		{"label-removed", `{"metadata":{"labels":{"` + api.ApplySetPartOfLabel + `":null}}}`, "removed its label"},
		{"label-changed", `{"metadata":{"labels":{"` + api.ApplySetPartOfLabel + `":"applyset-somebody-elses-v1"}}}`, ""},
		{"controlled", `{"metadata":{"ownerReferences":[{"apiVersion":"example.com/v1","kind":"X","name":"x","uid":"x","controller":true}]}}`, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := "foreign-" + row.name
			m := s.start(t, nil)
			m.converge(t, wish(t, n, "1", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1")))
			before := m.sees(configMapRef(n, "a"))
			s.patch(t, n, "a", row.patch)
			Eventually(t, "the change is seen", func(context.Context) error {
				if m.sees(configMapRef(n, "a")) == before {
					return errors.New("the object looks as before")
				}
				return nil
			})
			out := m.outcomes(t, wish(t, n, "2", namespace(n), configMap(n, "b", "1")))
			if note := out["ConfigMap a"].Note; !strings.Contains(note, row.note) {
				t.Errorf("the outcome says %q, want %q", note, row.note)
			}
			if _, err := s.configMaps(n).Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
				t.Errorf("the object is gone: %v", err)
			}
			if sent := m.converge(t, wish(t, n, "2", namespace(n), configMap(n, "b", "1"))); len(sent) > 0 {
				t.Errorf("it is still worked on: %v", sent)
			}
		})
	}
}

// deletesNameWhatWasJudged has somebody change the object between our look and our delete.
func deletesNameWhatWasJudged(t *testing.T, s server) {
	rows := []struct {
		name  string
		patch string
		gone  bool
	}{
		{"data-changed", `{"data":{"theirs":"1"}}`, true},
		{"label-removed", `{"metadata":{"labels":{"` + api.ApplySetPartOfLabel + `":null}}}`, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := "race-" + row.name
			m := s.start(t, nil)
			m.converge(t, wish(t, n, "1", namespace(n), configMap(n, "a", "1")))
			isDelete := func(r memfleet.Request) bool { return r.Method == http.MethodDelete && r.Name == "a" }
			m.proxy.SetRule(memfleet.Nth(1, isDelete, memfleet.Call(func(memfleet.Request) memfleet.Fault {
				s.patch(t, n, "a", row.patch)
				return memfleet.Pass()
			})))
			m.converge(t, wish(t, n, "2", namespace(n)))
			_, err := s.configMaps(n).Get(t.Context(), "a", metav1.GetOptions{})
			if apierrors.IsNotFound(err) != row.gone {
				t.Errorf("afterwards: %v; gone: want %v", err, row.gone)
			}
		})
	}
}
