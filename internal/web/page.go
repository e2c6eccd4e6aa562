package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/gitfleet/gitfleet/report"
)

//go:embed page.html
var pageText string

// page serves the status page. It is one document without scripts or outside assets.
func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	now := s.now()
	words := template.FuncMap{
		"age": func(then time.Time) string {
			if then.IsZero() {
				return "never"
			}
			return duration.HumanDuration(now.Sub(then))
		},
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"short":  func(commit string) string { return commit[:min(12, len(commit))] },
		"state":  state,
		"join":   func(list []string) string { return strings.Join(list, ", ") },
		"stages": stages,
	}
	tmpl, err := template.New("page").Funcs(words).Parse(pageText)
	var body bytes.Buffer
	if err == nil {
		err = tmpl.Execute(&body, s.latest())
	}
	if err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(body.Bytes()) // fails when the browser has gone
}

// state is the class of a three-valued word: it chooses the colour, and the word itself is always printed.
func state(word string) string {
	switch metav1.ConditionStatus(word) {
	case metav1.ConditionTrue:
		return "good"
	case metav1.ConditionFalse:
		return "bad"
	}
	return "unknown"
}

// stages returns a placement's conditions without upstream's long prefix.
func stages(p report.Placement) []metav1.Condition {
	list := make([]metav1.Condition, len(p.Conditions))
	for i, c := range p.Conditions {
		c.Type = strings.TrimPrefix(c.Type, "ClusterResourcePlacement")
		list[i] = c
	}
	return list
}
