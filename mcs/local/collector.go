package local

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// figure is one metric of every backend.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(BackendMetrics) float64
}

// collector reads every figure at the time it is asked.
type collector struct {
	metrics func() []BackendMetrics
	figures []figure
}

// Collector returns p's figures for Prometheus: one series for each backend of each open port.
func (p *Provider) Collector() prometheus.Collector {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("gitfleet_local_backend_"+name, help, []string{"namespace", "name", "port", "cluster", "target"}, nil)
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	return collector{metrics: p.Metrics, figures: []figure{
		{describe("connections", "Connections, or UDP sessions, that are open."), prometheus.GaugeValue, func(m BackendMetrics) float64 { return float64(m.Open) }},
		{describe("connections_total", "Connections, or UDP sessions, that were opened."), prometheus.CounterValue, func(m BackendMetrics) float64 { return float64(m.Opened) }},
		{describe("received_bytes_total", "Bytes from clients."), prometheus.CounterValue, func(m BackendMetrics) float64 { return float64(m.BytesIn) }},
		{describe("sent_bytes_total", "Bytes to clients."), prometheus.CounterValue, func(m BackendMetrics) float64 { return float64(m.BytesOut) }},
		{describe("failures_total", "Attempts to reach the backend that failed, for clients and by checks."), prometheus.CounterValue, func(m BackendMetrics) float64 { return float64(m.Failures) }},
		{describe("ejected", "1 while the backend is passed over because it did not answer."), prometheus.GaugeValue, func(m BackendMetrics) float64 { return truth(m.Ejected) }},
		{describe("draining", "1 while the backend gets no new connections and old ones may end."), prometheus.GaugeValue, func(m BackendMetrics) float64 { return truth(m.Draining) }},
	}}
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.metrics() {
		port := fmt.Sprintf("%d/%s", m.Port, m.Protocol)
		for _, f := range c.figures {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(m), m.Service.Namespace, m.Service.Name, port, m.Cluster, m.Target.String())
		}
	}
}
