package mcs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

func timeout(seconds int32) *corev1.SessionAffinityConfig {
	return &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
}

// sticky gives e client-address affinity.
func sticky(config *corev1.SessionAffinityConfig) func(*Export) {
	return func(e *Export) {
		e.Service.SessionAffinity, e.Service.SessionAffinityConfig = corev1.ServiceAffinityClientIP, config
	}
}

// TestFields sets two exports in the standard's dialect against each other: m1 is the older one.
func TestFields(t *testing.T) {
	same := func(*Export) {}
	families := func(f ...corev1.IPFamily) func(*Export) { return func(e *Export) { e.Service.IPFamilies = f } }
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	headless := func(e *Export) { e.Service.Headless = true }
	local, cluster, near := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyCluster, "PreferClose"
	tests := map[string]struct {
		reason string
		m1, m2 func(*Export)
		want   string // the standard's reasons; empty without conflict
		lost   string // what m2 is told
		traits string // of the import
	}{
		"type":               {"the oldest decides whether there is an address", same, headless, "TypeConflict", "Headless here and ClusterSetIP there", ""},
		"headless":           {"two headless Services agree", headless, headless, "", "", " headless"},
		"headless first":     {"the oldest may be the headless one", headless, same, "TypeConflict", "ClusterSetIP here and Headless there", " headless"},
		"headless and ports": {"each cluster has ports of its own", headless, func(e *Export) { e.Service.Headless = true; e.Service.Ports = nil }, "", "", " headless"},
		"headless affinity":  {"there is nothing to be sticky to", func(e *Export) { headless(e); sticky(nil)(e) }, headless, "", "", " headless"},
		"node port":          {"which kind of cluster IP is no matter", func(e *Export) { e.Service.Type = corev1.ServiceTypeNodePort }, same, "", "", ""},
		"affinity":           {"one field, told once", sticky(timeout(10)), same, "SessionAffinityConflict", "sessionAffinity differs from that", " affinity ClientIP timeout 10"},
		"affinity back":      {"also when it is the younger one that is sticky", same, sticky(timeout(20)), "SessionAffinityConflict", "ClientIP here and None there", ""},
		"affinity unset":     {"None is what the API means by nothing", func(e *Export) { e.Service.SessionAffinity = "None" }, same, "", "", " affinity None"},
		"affinity config":    {"the timeout is compared", sticky(timeout(10)), sticky(timeout(20)), "SessionAffinityConfigConflict", "20 s here and 10 s there", " affinity ClientIP timeout 10"},
		"affinity default":   {"three hours are the default", sticky(timeout(10800)), sticky(nil), "", "", " affinity ClientIP timeout 10800"},
		"internal policy": {"the oldest decides", func(e *Export) { e.Service.InternalTrafficPolicy = &local }, func(e *Export) { e.Service.InternalTrafficPolicy = &cluster },
			"InternalTrafficPolicyConflict", "Cluster here and Local there", " internal Local"},
		"internal default": {"Cluster is the default", func(e *Export) { e.Service.InternalTrafficPolicy = &cluster }, same, "", "", " internal Cluster"},
		"external policy": {"node ports are each cluster's own", func(e *Export) { e.Service.ExternalTrafficPolicy = "Local" },
			func(e *Export) { e.Service.ExternalTrafficPolicy = "Cluster" }, "", "", " external Local"},
		"external later": {"the oldest that has one", same, func(e *Export) { e.Service.ExternalTrafficPolicy = "Cluster" }, "", "", " external Cluster"},
		"distribution": {"the oldest decides", func(e *Export) { e.Service.TrafficDistribution = &near }, same,
			"TrafficDistributionConflict", "unset here and PreferClose there", " distribution PreferClose"},
		"unset distribution": {"also when it has none", same, func(e *Export) { e.Service.TrafficDistribution = &near },
			"TrafficDistributionConflict", "PreferClose here and unset there", ""},
		"labels": {"all of the oldest's or nothing", func(e *Export) { e.ExportedLabels = map[string]string{"a": "1", "b": "2"} },
			func(e *Export) { e.ExportedLabels = map[string]string{"b": "3", "c": "4"} }, "LabelsConflict", "decides: in a, b, c", " labels map[a:1 b:2]"},
		"same labels": {"no difference", func(e *Export) { e.ExportedLabels = map[string]string{"a": "1"} },
			func(e *Export) { e.ExportedLabels = map[string]string{"a": "1"} }, "", "", " labels map[a:1]"},
		"annotations": {"values stay untold", func(e *Export) { e.ExportedAnnotations = map[string]string{"a": "1"} }, same,
			"AnnotationsConflict", "exportedAnnotations differ from those in cluster \"m1\", whose export is the oldest (2026-03-01T12:00:00Z) and decides: in a", " annotations map[a:1]"},
		"family lost":      {"IPv6 would reach m1 alone", families(v4, v6), families(v4), "IPFamilyConflict", "IPv6 is not among those here", " families IPv4, IPv6"},
		"family more":      {"every family of the import reaches all", families(v6), families(v4, v6), "", "", " families IPv6"},
		"families apart":   {"m2 cannot be reached", families(v4), families(v6), "IPFamilyConflict", "IPv4 is not among those here", " families IPv4"},
		"family order":     {"preference is no conflict", families(v6, v4), families(v4, v6), "", "", " families IPv6, IPv4"},
		"families unknown": {"not known is not none; the first that knows decides", same, families(v6, v6), "", "", " families IPv6"},
		"several": {"reasons are joined in one order", func(e *Export) { sticky(nil)(e); e.ExportedLabels = map[string]string{"a": "1"} }, func(e *Export) {
			e.Service.Ports = []Port{{"http", "TCP", "", 81}}
			e.ExportedLabels = map[string]string{"b": "2"}
		}, "PortConflict,SessionAffinityConflict,LabelsConflict", "", " affinity ClientIP labels map[a:1]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			standard := func(change func(*Export)) func(*Export) { return func(e *Export) { e.Dialect = Standard; change(e) } }
			r := resolve(export("m2", now.Add(time.Second), standard(tt.m2)), export("m1", now, standard(tt.m1)))
			for _, v := range r.Exports {
				want := Verdict{metav1.ConditionFalse, "NoConflicts", ""}
				if tt.want != "" {
					want = Verdict{metav1.ConditionTrue, tt.want, ""}
				}
				if v.Conflict.Status != want.Status || v.Conflict.Reason != want.Reason {
					t.Errorf("%s: %s has conflict %s, want %s %s", tt.reason, v.Cluster, v.Conflict, want.Status, want.Reason)
				}
			}
			if got := r.Exports[1].Conflict.Message; !strings.Contains(got, tt.lost) {
				t.Errorf("%s: m2 is told %q, want %q", tt.reason, got, tt.lost)
			}
			if tt.want != "" && strings.Contains(r.Exports[0].Conflict.Message, quoted("m1")) {
				t.Errorf("m1 is told that it lost against itself: %s", r.Exports[0].Conflict.Message)
			}
			var traits strings.Builder
			describeTraits(&traits, r.Imports[0])
			if diff := cmp.Diff(tt.traits, traits.String()); diff != "" {
				t.Errorf("%s: the import (-want +got):\n%s", tt.reason, diff)
			}
			if got := strings.Join(r.Imports[0].Clusters, " "); got != "m1 m2" && tt.want != "PortConflict,SessionAffinityConflict,LabelsConflict" {
				t.Errorf("%s: exporters are %q, want both", tt.reason, got)
			}
		})
	}
}

// TestValidity tells each kind of export in both dialects.
func TestValidity(t *testing.T) {
	tests := map[string]struct {
		reason          string
		change          func(*Export)
		azure, standard string // Valid, Conflict
		ready           string
	}{
		"valid":         {"it counts", func(e *Export) {}, "True ServiceIsValid, False NoConflictFound", "True Valid, False NoConflicts", "True Exported"},
		"load balancer": {"it becomes a clusterset IP", func(e *Export) { e.Service.Type = "LoadBalancer" }, "True ServiceIsValid, False NoConflictFound", "True Valid, False NoConflicts", "True Exported"},
		"no service": {"it may come yet", func(e *Export) { e.Service = nil },
			"False ServiceNotFound, Unknown ServicePendingConflictResolution", "False NoService, False NoConflicts", "False Pending"},
		"external name": {"there are no endpoints", func(e *Export) { e.Service.Type = "ExternalName" },
			"False ServiceIneligible, Unknown ServicePendingConflictResolution", "False InvalidServiceType, False NoConflicts", "False Pending"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for dialect, want := range map[Dialect]string{Azure: tt.azure, Standard: tt.standard} {
				r := resolve(export("m1", now, func(e *Export) { e.Dialect = dialect; tt.change(e) }))
				v := r.Exports[0]
				got := string(v.Valid.Status) + " " + v.Valid.Reason + ", " + string(v.Conflict.Status) + " " + v.Conflict.Reason
				if got != want {
					t.Errorf("%s: %q says %s, want %s", tt.reason, dialect, got, want)
				}
				if got := string(v.Ready.Status) + " " + v.Ready.Reason; got != tt.ready {
					t.Errorf("%s: Ready is %s, want %s", tt.reason, got, tt.ready)
				}
				if counts := tt.ready == "True Exported"; (len(r.Imports) == 1) != counts {
					t.Errorf("%s: imports %v", tt.reason, r.Imports)
				}
			}
		})
	}
}

// An export that lost all of its ports is not ready, and one that waits for an unseen cluster cannot tell.
func TestReadyOfLosers(t *testing.T) {
	loser := export("m2", now.Add(time.Second), func(e *Export) { e.Service.Ports[0].Port = 81 })
	r := resolve(export("m1", now, func(*Export) {}), loser)
	if v := r.Exports[1]; v.Ready.Status != "False" || v.Ready.Reason != "Failed" || v.TakesPart {
		t.Errorf("m2 lost its only port; Ready is %s", v.Ready)
	}
	loser.Conditions = []metav1.Condition{{Type: "Conflict", Status: "True", Reason: "ConflictFound", Message: r.Exports[1].Conflict.Message}}
	r = Resolve([]Observed{{Cluster: "m1"}, {Cluster: "m2", Synced: true, Exports: []Export{loser}}}, Terms{}, now)
	if v := r.Exports[0]; v.Ready.Status != "Unknown" || v.Conflict.Message != loser.Conditions[0].Message {
		t.Errorf("m1 cannot be seen; m2 has Ready %s and Conflict %s", v.Ready, v.Conflict)
	}
	r = resolve(loser)
	if v := r.Exports[0]; v.Ready.Status != "True" || v.Conflict.Status != "False" {
		t.Errorf("m1 has left; m2 has Ready %s and Conflict %s", v.Ready, v.Conflict)
	}
}

// TestConflictIsCleared writes a conflict on both exports, and takes it away from both when either gives way.
func TestConflictIsCleared(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func([]Observed)
	}{
		"mended":       {"the loser agrees now", func(o []Observed) { o[1].Exports[0].Service.Ports[0].Port = 80 }},
		"loser gone":   {"the winner is alone", func(o []Observed) { o[1].Exports = nil }},
		"winner gone":  {"the loser is alone", func(o []Observed) { o[0].Exports = nil }},
		"loser left":   {"its cluster is no member any more", func(o []Observed) { o[1] = Observed{Cluster: "m9", Synced: true} }},
		"winner empty": {"its Service has gone", func(o []Observed) { o[0].Exports[0].Service = nil }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			observed := []Observed{
				{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, func(*Export) {})}},
				{Cluster: "m2", Synced: true, Exports: []Export{export("m2", now.Add(time.Second), func(e *Export) { e.Service.Ports[0].Port = 81 })}}}
			r := Resolve(observed, Terms{}, now)
			write(observed, r.Statuses(nil, now))
			for _, v := range r.Exports {
				if v.Conflict.Status != "True" {
					t.Fatalf("%s has conflict %s at first", v.Cluster, v.Conflict)
				}
			}
			tt.change(observed)
			for _, v := range Resolve(observed, Terms{}, now).Exports {
				if v.Conflict.Status == "True" {
					t.Errorf("%s: %s has conflict %s", tt.reason, v.Cluster, v.Conflict)
				}
			}
		})
	}
}

// A conflict is not over because the cluster that lost it cannot be seen: its exports are not listed after a restart.
func TestConflictOutlivesSight(t *testing.T) {
	observed := []Observed{
		{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, func(*Export) {})}},
		{Cluster: "m2", Synced: true, Exports: []Export{export("m2", now.Add(time.Second), func(e *Export) { e.Service.Ports[0].Port = 81 })}}}
	write(observed, Resolve(observed, Terms{}, now).Statuses(nil, now))
	observed[1] = Observed{Cluster: "m2"}
	if writes := Resolve(observed, Terms{}, now).Statuses(nil, now.Add(time.Hour)); len(writes) > 0 {
		t.Errorf("m2 is out of sight, and m1 is told that the conflict is over:\n%s", describeWrites(writes))
	}
	observed[1].Synced = true
	if v := Resolve(observed, Terms{}, now).Exports[0]; v.Conflict.Status != "False" {
		t.Errorf("m2 is seen without export, and m1 has conflict %s", v.Conflict)
	}
}

// What a ServiceImport's status remembers of an unseen exporter decides before any export that can be seen.
func TestRememberedFields(t *testing.T) {
	imported := func(status networkingv1alpha1.ServiceImportStatus, exports ...Export) Resolution {
		status.Clusters = []clusterStatus{{Cluster: "m1"}}
		return Resolve([]Observed{{Cluster: "m1"}, {Cluster: "m2", Synced: true, Exports: exports,
			Imports: []MemberImport{{Cluster: "m2", Namespace: "shop", Name: "web", Status: status}}}}, Terms{}, now)
	}
	ports := []networkingv1alpha1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80}}
	mine := export("m2", now, sticky(timeout(20)))
	mine.Dialect = Standard

	r := imported(networkingv1alpha1.ServiceImportStatus{Ports: ports, SessionAffinity: "ClientIP", SessionAffinityConfig: timeout(10)}, mine)
	if got := r.Exports[0].Conflict; got.Reason != "SessionAffinityConfigConflict" || !strings.Contains(got.Message, `cluster "m1", which took part before`) {
		t.Errorf("m1 remembered 10 s, m2 has 20 s: conflict %s", got)
	}
	if got := *r.Imports[0].SessionAffinityConfig.ClientIP.TimeoutSeconds; got != 10 {
		t.Errorf("the import's timeout is %d s, want 10 s as before", got)
	}
	r = imported(networkingv1alpha1.ServiceImportStatus{Ports: ports}, mine)
	if got := r.Exports[0].Conflict; got.Status != "False" || r.Imports[0].SessionAffinity != "ClientIP" {
		t.Errorf("nothing is remembered of affinity: conflict %s", got)
	}
	r = imported(networkingv1alpha1.ServiceImportStatus{Type: "Headless"}, mine)
	if got := r.Exports[0].Conflict; got.Reason != "TypeConflict" || !r.Imports[0].Headless || strings.Join(r.Imports[0].Clusters, " ") != "m1 m2" {
		t.Errorf("m1's service was headless: conflict %s, import %+v", got, r.Imports[0])
	}
	mine.Service.Ports = append(mine.Service.Ports, Port{"admin", "TCP", "", 9})
	r = imported(networkingv1alpha1.ServiceImportStatus{Ports: append(ports, networkingv1alpha1.ServicePort{Name: "x", Protocol: "UDP", Port: 1})}, mine)
	if got := r.Exports[0].Conflict.Message; !strings.Contains(got, `port "x" (1/UDP) is only in m1`) || len(r.Imports[0].Ports) != 3 {
		t.Errorf("ports %v of the import, m2 is told %q", r.Imports[0].Ports, got)
	}
}

// A headless service's endpoints keep every port; a load balancer cannot be put in front of it.
func TestHeadlessEndpoints(t *testing.T) {
	o := Observed{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, func(e *Export) {
		e.Dialect, e.Service.Headless, e.Service.Ports = Standard, true, nil
		e.Endpoints = []Endpoint{
			{Address: netip.MustParseAddr("10.0.0.1"), Ready: true, Hostname: "web-0"},
			{Address: netip.MustParseAddr("10.0.0.2"), Ready: true, Hostname: "web-1", Ports: map[string]int32{"any": 7}}}
	})},
		Imports:  []MemberImport{{Cluster: "m1", Namespace: "shop", Name: "web"}},
		Services: []Service{{Cluster: "m1", Namespace: "shop", Name: "lb", ImportName: "web"}}}
	r := Resolve([]Observed{o}, Terms{}, now)
	if n := len(r.Imports[0].Endpoints); n != 2 || r.Imports[0].Endpoints[1].Ports["any"] != 7 || r.Imports[0].Endpoints[0].Hostname != "web-0" {
		t.Errorf("endpoints %+v", r.Imports[0].Endpoints)
	}
	if v := r.Services[0].Valid; len(r.LoadBalancers) > 0 || v.Status != "Unknown" || !strings.Contains(v.Message, "headless") {
		t.Errorf("load balancers %v; the service is %s", r.LoadBalancers, v)
	}
	for _, w := range r.Statuses(nil, now) {
		switch s := w.Status.(type) {
		case networkingv1alpha1.ServiceImportStatus:
			if s.Type != networkingv1alpha1.Headless || len(s.Ports) > 0 {
				t.Errorf("status of the import: %+v", s)
			}
		case networkingv1alpha1.ServiceExportStatus:
			t.Errorf("Azure's conditions on an export that is not in Azure's dialect: %+v", s)
		}
	}
}

// The status of Azure's ServiceImport tells of affinity, and is written again only when it changes.
func TestImportStatusTellsAffinity(t *testing.T) {
	observed := []Observed{{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, sticky(timeout(10)))},
		Imports: []MemberImport{{Cluster: "m1", Namespace: "shop", Name: "web"}}}}
	before := *observed[0].Exports[0].Service
	observed[0].Exports[0].Service.Traits = Traits{SessionAffinity: corev1.ServiceAffinityNone}
	write(observed, Resolve(observed, Terms{}, now).Statuses(nil, now))
	observed[0].Imports[0].Status.SessionAffinity = ""
	if write(observed, Resolve(observed, Terms{}, now).Statuses(nil, now)); observed[0].Imports[0].Status.SessionAffinity != corev1.ServiceAffinityNone {
		t.Errorf("no affinity is told as %q", observed[0].Imports[0].Status.SessionAffinity)
	}
	*observed[0].Exports[0].Service = before
	for _, seconds := range []int32{10, 20} {
		*observed[0].Exports[0].Service.SessionAffinityConfig.ClientIP.TimeoutSeconds = seconds
		observed[0].Imports[0].Status.SessionAffinityConfig = observed[0].Imports[0].Status.SessionAffinityConfig.DeepCopy()
		write(observed, Resolve(observed, Terms{}, now).Statuses(nil, now))
		status := observed[0].Imports[0].Status
		if status.SessionAffinity != "ClientIP" || *status.SessionAffinityConfig.ClientIP.TimeoutSeconds != seconds {
			t.Errorf("status after %d s: %+v", seconds, status)
		}
		observed[0].Imports[0].Status = *status.DeepCopy()
		if writes := Resolve(observed, Terms{}, now).Statuses(nil, now); len(writes) > 0 {
			t.Errorf("written again:\n%s", describeWrites(writes))
		}
	}
}

// What an export lost against a cluster that cannot be seen, it does not decide against a younger one that agreed.
func TestLostFieldsAreNotDecided(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	observed := []Observed{
		{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, func(*Export) {})}},
		{Cluster: "m2", Synced: true, Exports: []Export{export("m2", now.Add(time.Second), func(e *Export) { e.Service.InternalTrafficPolicy = &local })}},
		{Cluster: "m3", Synced: true, Exports: []Export{export("m3", now.Add(2*time.Second), func(*Export) {})}}}
	write(observed, Resolve(observed, Terms{}, now).Statuses(nil, now))
	observed[0] = Observed{Cluster: "m1"}
	r := Resolve(observed, Terms{}, now)
	if policy := r.Imports[0].InternalTrafficPolicy; policy != nil || len(r.Imports[0].Clusters) != 2 {
		t.Errorf("the import of %v has policy %s, which m2 lost against m1", r.Imports[0].Clusters, *policy)
	}
	if writes := r.Statuses(nil, now); len(writes) > 0 {
		t.Errorf("verdicts change without sight of m1:\n%s", describeWrites(writes))
	}
	observed[0].Synced = true
	if policy := Resolve(observed, Terms{}, now).Imports[0].InternalTrafficPolicy; policy != &local {
		t.Errorf("m1 is seen without export, and m2, the oldest now, does not decide: %v", policy)
	}
}

// Who asks for affinity gets it from the load balancer too.
func TestClientAffinity(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func(*Export)
		want   time.Duration
	}{
		"none":    {"nobody asks", func(*Export) {}, 0},
		"ten":     {"as the Service says", sticky(timeout(10)), 10 * time.Second},
		"default": {"three hours are the default", sticky(nil), 3 * time.Hour},
		"empty":   {"also of an empty configuration", sticky(&corev1.SessionAffinityConfig{}), 3 * time.Hour},
		"left":    {"a configuration without affinity means nothing", func(e *Export) { e.Service.SessionAffinityConfig = timeout(10) }, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := Resolve([]Observed{{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, tt.change)},
				Services: []Service{{Cluster: "m1", Namespace: "shop", Name: "web", ImportName: "web"}}}}, Terms{}, now)
			if got := r.LoadBalancers[0].ClientAffinity; got != tt.want {
				t.Errorf("%s: %s, want %s", tt.reason, got, tt.want)
			}
		})
	}
}

// A loser's other ports are not withdrawn because the cluster that it lost against goes out of sight.
func TestPartialLoserKeepsWhatItHas(t *testing.T) {
	observed := []Observed{
		{Cluster: "m1", Synced: true, Exports: []Export{export("m1", now, func(*Export) {})}},
		{Cluster: "m2", Synced: true, Exports: []Export{export("m2", now.Add(time.Second), func(e *Export) {
			e.Service.Ports = []Port{{"http", "TCP", "", 81}, {"admin", "TCP", "", 9}}
		})}, Imports: []MemberImport{{Cluster: "m2", Namespace: "shop", Name: "web"}}}}
	write(observed, Resolve(observed, Terms{}, now).Statuses(nil, now))
	observed[0] = Observed{Cluster: "m1"}
	r := Resolve(observed, Terms{}, now)
	if diff := cmp.Diff([]Port{{"admin", "TCP", "", 9}, {"http", "TCP", "", 80}}, r.Imports[0].Ports); diff != "" {
		t.Errorf("ports of the import without sight of m1 (-want +got):\n%s", diff)
	}
	// A port that came after the last import was written is united too, as all of m1's are known.
	observed[1].Exports[0].Service.Ports = append(observed[1].Exports[0].Service.Ports, Port{"new", "TCP", "", 7})
	if r = Resolve(observed, Terms{}, now); len(r.Imports[0].Ports) != 3 || len(r.Exports[0].Ports) != 2 {
		t.Errorf("import %v, m2 takes part with %v", r.Imports[0].Ports, r.Exports[0].Ports)
	}
	// Without memory of m1's ports, what m2 lost stays lost, and so does what it has beside: nobody can tell them apart.
	observed[1].Imports[0].Status = networkingv1alpha1.ServiceImportStatus{}
	if r = Resolve(observed, Terms{}, now); len(r.Imports) > 0 {
		t.Errorf("nothing is known of m1, and m2 imports %+v", r.Imports)
	}
}
