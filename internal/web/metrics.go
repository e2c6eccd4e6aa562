package web

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/report"
)

// metrics serves figures of the latest report, of the process, and what others collect.
func metrics(latest func() report.Report, others []prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(latest), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(others...)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector reads every figure from one report at the time it is asked, so that they fit together.
type collector struct {
	latest func() report.Report

	converged, revision, sourceUp, manifestErrors        *prometheus.Desc
	memberUp, nodes, applied, available                  *prometheus.Desc
	exportValid, exportEndpoints, serviceValid, selected *prometheus.Desc
	removing, confirm                                    *prometheus.Desc
}

func newCollector(latest func() report.Report) *collector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gitfleet_"+name, help, labels, nil)
	}
	export := []string{"cluster", "namespace", "name"}
	return &collector{
		latest:          latest,
		converged:       describe("converged", "1 when everything of the applied commit is in place and healthy."),
		revision:        describe("revision_timestamp_seconds", "Committer time of the newest commit (head) and of the one in force (applied).", "revision", "commit"),
		sourceUp:        describe("source_up", "1 while the repository can be read."),
		manifestErrors:  describe("manifest_errors", "Mistakes of authors in the newest commit."),
		removing:        describe("removals_waiting", "Objects that Git no longer wants and that are still there."),
		confirm:         describe("confirmation_wanted", "1 while deletions wait for a person's word in Git."),
		memberUp:        describe("member_up", "1 while the member's API server answers.", "cluster"),
		nodes:           describe("member_nodes", "Nodes of the member, as last seen.", "cluster"),
		selected:        describe("placement_clusters", "Clusters that the placement chose.", "placement"),
		applied:         describe("placement_applied", "1 when the placement is applied on the cluster.", "placement", "cluster"),
		available:       describe("placement_available", "1 when the placement is applied and healthy on the cluster.", "placement", "cluster"),
		exportValid:     describe("service_export_valid", "1 when the ServiceExport is valid and without conflict.", export...),
		exportEndpoints: describe("service_export_endpoints", "Endpoints that the ServiceExport contributes.", export...),
		serviceValid:    describe("multi_cluster_service_valid", "1 when the MultiClusterService is valid.", export...),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.converged, c.revision, c.sourceUp, c.manifestErrors, c.memberUp, c.nodes, c.selected,
		c.applied, c.available, c.exportValid, c.exportEndpoints, c.serviceValid, c.removing, c.confirm} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	r := c.latest()
	gauge(c.converged, one(r.Converged))
	gauge(c.sourceUp, one(r.SourceErr == ""))
	gauge(c.manifestErrors, float64(len(r.Errors)))
	gauge(c.removing, float64(r.Removing))
	gauge(c.confirm, one(r.Confirm != nil))
	if r.Head.Commit != "" {
		gauge(c.revision, float64(r.Head.When.Unix()), "head", r.Head.Commit)
	}
	if r.Applied.Commit != "" {
		gauge(c.revision, float64(r.Applied.When.Unix()), "applied", r.Applied.Commit)
	}
	for _, m := range r.Members {
		gauge(c.memberUp, one(isTrue(m.Joined)), m.Name)
		if m.Nodes != nil {
			gauge(c.nodes, float64(*m.Nodes), m.Name)
		}
	}
	for _, p := range r.Placements {
		gauge(c.selected, float64(len(p.Clusters)), p.Name)
		for _, on := range p.Clusters {
			gauge(c.applied, one(isTrue(on.Applied)), p.Name, on.Cluster)
			gauge(c.available, one(isTrue(on.Applied) && isTrue(on.Healthy)), p.Name, on.Cluster)
		}
	}
	for _, e := range r.Exports {
		gauge(c.exportValid, one(isTrue(e.Valid) && !isTrue(e.Conflicted)), e.Cluster, e.Namespace, e.Name)
		gauge(c.exportEndpoints, float64(e.Endpoints), e.Cluster, e.Namespace, e.Name)
	}
	for _, s := range r.Services {
		gauge(c.serviceValid, one(isTrue(s.Valid)), s.Cluster, s.Namespace, s.Name)
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// isTrue reads a three-valued word of the Report. Unknown is not true.
func isTrue(word string) bool { return word == string(metav1.ConditionTrue) }
