package armsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	subscription = "00000000-0000-0000-0000-000000000001"
	base         = "/subscriptions/" + subscription + "/resourceGroups/g/providers/Microsoft.Network/"
	vnet         = base + "virtualNetworks/v"
)

// lab is a simulator whose clock the test moves.
type lab struct {
	t   *testing.T
	sim *Server
	now time.Time
}

func newLab(t *testing.T, o Options) *lab {
	l := &lab{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time { return l.now }
	l.sim = New(o)
	l.sim.AddGroup(subscription, "g")
	l.sim.AddNetwork(vnet, "eastus", "10.0.0.0/24", "s")
	return l
}

// ask sends one request; header is pairs.
func (l *lab) ask(method, path, body string, header ...string) (int, map[string]any, http.Header) {
	l.t.Helper()
	if !strings.Contains(path, "?") {
		path += "?api-version=" + APIVersion
	}
	r := httptest.NewRequest(method, "https://management.azure.com"+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	l.sim.ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			l.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
	}
	return w.Code, out, w.Header()
}

// want wants a status, and of an error its code, outer or inner.
func (l *lab) want(status int, code, method, path, body string, header ...string) map[string]any {
	l.t.Helper()
	got, out, _ := l.ask(method, path, body, header...)
	if got != status || code != "" && !strings.Contains(fmt.Sprint(out["error"]), code) {
		l.t.Errorf("%s %s: %d %v, want %d %s", method, path, got, out, status, code)
	}
	return out
}

const ip = `{"location": "eastus", "sku": {"name": "Standard", "tier": "Regional"}, "properties": {"publicIPAllocationMethod": "Static"}}`

// lb is a load balancer with a public frontend and one rule; edit changes the text.
func lb(name string, edit ...string) string {
	id := base + "loadBalancers/" + name
	text := fmt.Sprintf(`{"location": "eastus", "sku": {"name": "Standard", "tier": "Regional"}, "properties": {
"frontendIPConfigurations": [{"name": "f", "properties": {"publicIPAddress": {"id": "%[1]spublicIPAddresses/ip"}}}],
"backendAddressPools": [{"name": "p", "properties": {"virtualNetwork": {"id": "%[2]s"}, "loadBalancerBackendAddresses": [{"name": "a", "properties": {"ipAddress": "10.0.0.4"}}]}}],
"probes": [{"name": "x", "properties": {"protocol": "Tcp", "port": 80, "intervalInSeconds": 5, "numberOfProbes": 2}}],
"loadBalancingRules": [{"name": "r", "properties": {"frontendIPConfiguration": {"id": "%[3]s/frontendIPConfigurations/f"}, "backendAddressPool": {"id": "%[3]s/backendAddressPools/p"},
 "probe": {"id": "%[3]s/probes/x"}, "protocol": "Tcp", "frontendPort": 80, "backendPort": 80, "enableFloatingIP": true}}]}}`, base, vnet, id)
	for i := 0; i+1 < len(edit); i += 2 {
		if !strings.Contains(text, edit[i]) {
			panic("nothing to edit: " + edit[i])
		}
		text = strings.ReplaceAll(text, edit[i], edit[i+1])
	}
	return text
}

func TestLifeOfALoadBalancer(t *testing.T) {
	l := newLab(t, Options{Latency: map[string]time.Duration{"publicIPAddresses": 3 * time.Second, "loadBalancers": 10 * time.Second, "backendAddressPools": 8 * time.Second}})
	l.want(404, "ResourceNotFound", "GET", base+"publicIPAddresses/ip", "")
	made := l.want(201, "", "PUT", base+"publicIPAddresses/ip", ip)
	if state := made["properties"].(map[string]any); state["provisioningState"] != "Updating" || state["ipAddress"] != nil {
		t.Errorf("made is %v", made)
	}
	l.want(429, "ReferencedResourceNotProvisioned", "PUT", base+"loadBalancers/lb", lb("lb"))
	l.now = l.now.Add(3 * time.Second)
	done := l.want(200, "", "GET", base+"publicIPAddresses/ip", "")
	if state := done["properties"].(map[string]any); state["provisioningState"] != "Succeeded" || state["ipAddress"] == nil || done["etag"] == made["etag"] {
		t.Errorf("done is %v", done)
	}
	_, accepted, header := l.ask("PUT", base+"loadBalancers/lb", lb("lb"))
	poll := strings.TrimPrefix(header.Get("Azure-AsyncOperation"), "https://management.azure.com")
	if _, out, _ := l.ask("GET", poll, ""); out["status"] != "InProgress" {
		t.Errorf("right away it is %v", out)
	}
	if used := l.want(200, "", "GET", base+"publicIPAddresses/ip", ""); used["etag"] == done["etag"] {
		t.Error("a frontend took the public IP, whose ETag is the same")
	}
	l.want(412, "PreconditionFailedEtagMismatch", "PUT", base+"loadBalancers/lb", lb("lb"), "If-Match", `W/"old"`)
	l.now = l.now.Add(10 * time.Second)
	if _, out, _ := l.ask("GET", poll, ""); out["status"] != "Succeeded" {
		t.Errorf("after its time it is %v", out)
	}
	stands := l.want(200, "", "GET", base+"loadBalancers/lb", "")
	etag, _ := stands["etag"].(string)
	for _, list := range []string{"frontendIPConfigurations", "backendAddressPools", "probes", "loadBalancingRules"} {
		child := stands["properties"].(map[string]any)[list].([]any)[0].(map[string]any)
		if child["etag"] != etag || child["id"] != stands["id"].(string)+"/"+list+"/"+child["name"].(string) {
			t.Errorf("a child is %v", child)
		}
	}
	if accepted["etag"] == etag {
		t.Error("it has the ETag that it was accepted with")
	}
	// A newer write cancels one that is under way.
	_, _, header = l.ask("PUT", base+"loadBalancers/lb", lb("lb"), "If-Match", etag)
	first := strings.TrimPrefix(header.Get("Azure-AsyncOperation"), "https://management.azure.com")
	l.ask("PUT", base+"loadBalancers/lb/backendAddressPools/p", `{"properties": {"virtualNetwork": {"id": "`+vnet+`"}, "loadBalancerBackendAddresses": []}}`)
	if _, out, _ := l.ask("GET", first, ""); out["status"] != "Canceled" || !strings.Contains(fmt.Sprint(out), "CanceledAndSupersededDueToAnotherOperation") {
		t.Errorf("what was overtaken is %v", out)
	}
	l.now = l.now.Add(time.Minute)
	l.want(400, "PublicIPAddressCannotBeDeleted", "DELETE", base+"publicIPAddresses/ip", "")
	_, _, header = l.ask("DELETE", base+"loadBalancers/lb", "")
	if header.Get("Location") == "" || header.Get("Azure-AsyncOperation") == "" {
		t.Errorf("a deletion is answered with %v", header)
	}
	l.now = l.now.Add(time.Minute)
	l.want(404, "ResourceNotFound", "GET", base+"loadBalancers/lb", "")
	l.want(202, "", "DELETE", base+"publicIPAddresses/ip", "")
	l.want(204, "", "DELETE", base+"loadBalancers/lb", "")
}

// TestRefused is what Azure refuses, by its codes.
func TestRefused(t *testing.T) {
	l := newLab(t, Options{})
	l.ask("PUT", base+"publicIPAddresses/ip", ip)
	l.want(400, "InvalidApiVersionParameter", "GET", base+"loadBalancers/lb?api-version=2001-01-01", "")
	l.want(404, "InvalidResourceType", "GET", base+"natGateways/x", "")
	l.want(404, "ResourceGroupNotFound", "GET", strings.Replace(base, "/g/", "/other/", 1)+"loadBalancers/lb", "")
	l.want(400, "InvalidRequestContent", "PUT", base+"loadBalancers/lb", "{")
	rule := `{"name": "r", "properties": {`
	for name, c := range map[string]struct {
		code string
		edit []string
	}{
		"no such public IP":      {"InvalidResourceReference", []string{"publicIPAddresses/ip", "publicIPAddresses/other"}},
		"no such pool":           {"InvalidResourceReference", []string{"/backendAddressPools/p", "/backendAddressPools/q"}},
		"no such network":        {"InvalidResourceReference", []string{"virtualNetworks/v", "virtualNetworks/w"}},
		"basic":                  {"LoadBalancerSkuNotSupported", []string{`"name": "Standard"`, `"name": "Basic"`}},
		"other tier":             {"GlobalTierNotSupportedInRegion", []string{"Regional", "Global"}},
		"no frontend":            {"LoadBalancerWithoutFrontendIPCantHaveChildResources", []string{`"frontendIPConfigurations": [{`, `"x": [{`}},
		"two backends alike":     {"DuplicateResourceName", []string{`[{"name": "a", "properties": {"ipAddress": "10.0.0.4"}}]`, `[{"name": "a", "properties": {"ipAddress": "10.0.0.4"}},{"name": "b", "properties": {"ipAddress": "10.0.0.4"}}]`}},
		"no address":             {"LoadBalancerBackendAddressInvalid", []string{`"10.0.0.4"`, `"here"`}},
		"a probe too often":      {"InvalidProbeInterval", []string{`"intervalInSeconds": 5`, `"intervalInSeconds": 1`}},
		"a probe too slow":       {"InvalidProbeInterval", []string{`"intervalInSeconds": 5`, `"intervalInSeconds": 60`}},
		"a probe without a path": {"InvalidProbeRequestPath", []string{`"protocol": "Tcp", "port"`, `"protocol": "Http", "port"`}},
		"all ports in public":    {"LoadBalancingRuleInvalidProtocolOrPort", []string{`"protocol": "Tcp", "frontendPort": 80, "backendPort": 80`, `"protocol": "All"`}},
		"idle":                   {"InvalidIdleTimeout", []string{rule, rule + `"idleTimeoutInMinutes": 3, `}},
		"name":                   {"InvalidResourceName", []string{`{"name": "p"`, `{"name": "` + strings.Repeat("p", 81) + `"`, `/backendAddressPools/p"`, `/backendAddressPools/` + strings.Repeat("p", 81) + `"`}},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			l.want(400, c.code, "PUT", base+"loadBalancers/lb", lb("lb", c.edit...))
		})
	}
	l.t = t
	twice := strings.Replace(lb("lb"), `"loadBalancingRules": [`, `"loadBalancingRules": [{"name": "r2", "properties": {"frontendIPConfiguration": {"id": "`+base+`loadBalancers/lb/frontendIPConfigurations/f"}, "backendAddressPool": {"id": "`+base+`loadBalancers/lb/backendAddressPools/p"}, "protocol": "Tcp", "frontendPort": 81, "backendPort": 80}},`, 1)
	l.want(400, "RulesUseSameBackendPortProtocolAndPool", "PUT", base+"loadBalancers/lb", strings.Replace(twice, `, "enableFloatingIP": true`, "", 1))
	l.want(400, "RulesUseSameBackendPortProtocolAndPoolAndFrontendIPWithFloatingIPEnabled", "PUT", base+"loadBalancers/lb", twice)
	l.want(400, "RulesUseSameFrontendPortProtocolAndFrontendIPConfiguration", "PUT", base+"loadBalancers/lb", strings.Replace(twice, `"frontendPort": 81, "backendPort": 80`, `"frontendPort": 80, "backendPort": 82`, 1))
	l.want(201, "", "PUT", base+"loadBalancers/lb", lb("lb"))
	l.want(400, "PublicIPAddressInUse", "PUT", base+"loadBalancers/two", lb("two"))
	l.want(409, "InvalidResourceLocation", "PUT", base+"loadBalancers/lb", lb("lb", "eastus", "westus"))
	l.want(404, "ParentResourceNotFound", "PUT", base+"loadBalancers/three/backendAddressPools/p", "{}")
	l.want(404, "NotFound", "GET", base+"loadBalancers/lb/backendAddressPools/q", "")
	l.want(400, "LoadBalancerBackendPoolImmutablePropertiesCannotBeChanged", "PUT", base+"loadBalancers/lb/backendAddressPools/p", `{"properties": {"syncMode": "Manual", "virtualNetwork": {"id": "`+vnet+`"}}}`)
}

func TestPublicIPs(t *testing.T) {
	l := newLab(t, Options{MostPublicIPs: 2})
	labelled := strings.Replace(ip, `"Static"`, `"Static", "dnsSettings": {"domainNameLabel": "Shop"}`, 1)
	l.want(201, "", "PUT", base+"publicIPAddresses/a", labelled)
	l.want(400, "DnsRecordInUse", "PUT", base+"publicIPAddresses/b", labelled)
	west := strings.Replace(ip, "eastus", "westus", 1)
	l.want(201, "", "PUT", base+"publicIPAddresses/b", west)
	l.want(400, "PublicIPCountLimitReached", "PUT", base+"publicIPAddresses/c", ip)
	l.want(400, "ResourceAvailabilityZonesCannotBeModified", "PUT", base+"publicIPAddresses/b", strings.Replace(west, `"location"`, `"zones": ["1"], "location"`, 1))
	l.want(400, "PublicIPAddressSkuTierCannotBeChanged", "PUT", base+"publicIPAddresses/b", strings.Replace(west, "Regional", "Global", 1))
	before := l.sim.Resource(base + "publicIPAddresses/b")["properties"].(map[string]any)["ipAddress"]
	l.want(200, "", "PATCH", base+"publicIPAddresses/b", `{"tags": {"a": "b"}}`)
	l.want(200, "", "PUT", base+"publicIPAddresses/b", west)
	if after := l.sim.Resource(base + "publicIPAddresses/b")["properties"].(map[string]any)["ipAddress"]; after != before {
		t.Errorf("its address is %v, and was %v", after, before)
	}
}

// TestThrottle: a bucket that is empty says for how long, and asking earlier puts that off.
func TestThrottle(t *testing.T) {
	l := newLab(t, Options{Throttle: true})
	status, n := 0, 0
	var header http.Header
	for ; status != 429 && n < 1000; n++ {
		status, _, header = l.ask("GET", base+"loadBalancers/lb", "")
	}
	if n != 251 || header.Get("Retry-After") != "10" {
		t.Errorf("throttled after %d reads, for %s s", n, header.Get("Retry-After"))
	}
	l.now = l.now.Add(8 * time.Second)
	l.want(429, "SubscriptionRequestsThrottled", "GET", base+"loadBalancers/lb", "")
	l.now = l.now.Add(8 * time.Second)
	l.want(429, "", "GET", base+"loadBalancers/lb", "")
	l.now = l.now.Add(10 * time.Second)
	if status, _, header := l.ask("GET", base+"loadBalancers/lb", ""); status != 404 || header.Get("x-ms-ratelimit-remaining-subscription-reads") == "" {
		t.Errorf("after the time that was asked for: %d, %v", status, header)
	}
}

func TestRoles(t *testing.T) {
	l := newLab(t, Options{Role: []string{"Microsoft.Network/publicIPAddresses/write", "Microsoft.Network/loadBalancers/write"}})
	l.want(201, "", "PUT", base+"publicIPAddresses/ip", ip)
	l.want(403, "AuthorizationFailed", "GET", base+"publicIPAddresses/ip", "")
	l.want(403, "LinkedAuthorizationFailed", "PUT", base+"loadBalancers/lb", lb("lb"))
	if used := l.sim.Used(); !slices.Contains(used, "Microsoft.Network/publicIPAddresses/join/action") {
		t.Errorf("needed is %q", used)
	}
}

// TestReach follows packets.
func TestReach(t *testing.T) {
	l := newLab(t, Options{})
	l.ask("PUT", base+"publicIPAddresses/ip", ip)
	l.ask("PUT", base+"loadBalancers/lb", lb("lb"))
	at := netip.MustParseAddr(l.sim.Resource(base + "publicIPAddresses/ip")["properties"].(map[string]any)["ipAddress"].(string))
	reach := func() Reach { return l.sim.Reach(at, 80, "tcp") }
	if r := reach(); len(r.Lost) != 1 || !strings.Contains(r.Lost[0], "no machine") {
		t.Errorf("an address without a machine: %+v", r)
	}
	c := Cluster{Name: "c", Network: vnet, Nodes: []Node{{Name: "n", Address: netip.MustParseAddr("10.0.0.4")}}, Services: []Service{{Name: "web", Ports: []ServicePort{{"TCP", 80, 0}}}}}
	l.sim.SetClusters([]Cluster{c})
	if r := reach(); len(r.Lost) != 1 || !strings.Contains(r.Lost[0], "no Service") {
		t.Errorf("the Service does not know the address: %+v", r)
	}
	c.Services[0].Addresses = []netip.Addr{at}
	if r := reach(); len(r.Lost) != 1 || !strings.Contains(r.Lost[0], "no endpoint") {
		t.Errorf("nothing is behind the Service: %+v", r)
	}
	c.Services[0].Endpoints = 1
	if r := reach(); !slices.Equal(r.Clusters, []string{"c"}) || !slices.Equal(r.Nodes, []string{"c/n"}) || len(r.Lost) > 0 {
		t.Errorf("all is well: %+v", r)
	}
	if r := l.sim.Reach(at, 81, "tcp"); !strings.Contains(r.Closed, "no rule") {
		t.Errorf("another port: %+v", r)
	}
	if r := l.sim.Reach(netip.MustParseAddr("192.0.2.1"), 80, "tcp"); !strings.Contains(r.Closed, "no frontend") {
		t.Errorf("another address: %+v", r)
	}
	group := base + "networkSecurityGroups/nsg"
	l.sim.AddSecurityGroup(group, "eastus")
	c.SecurityGroup = group
	l.sim.SetClusters([]Cluster{c})
	if r := reach(); len(r.Lost) != 1 || !strings.Contains(r.Lost[0], "security group") {
		t.Errorf("nobody is let in: %+v", r)
	}
	allow := fmt.Sprintf(`{"properties": {"priority": 200, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "Internet", "sourcePortRange": "*", "destinationAddressPrefix": "%s", "destinationPortRange": "80"}}`, at)
	l.want(201, "", "PUT", group+"/securityRules/allow", allow)
	l.want(400, "SecurityRuleConflict", "PUT", group+"/securityRules/two", allow)
	if r := reach(); len(r.Lost) > 0 {
		t.Errorf("let in: %+v", r)
	}
	c.Nodes[0].Down = true
	l.sim.SetClusters([]Cluster{c})
	if r := reach(); len(r.Clusters)+len(r.Lost) > 0 {
		t.Errorf("a node that is down, which a probe finds out: %+v", r)
	}
	l.sim.Edit(base+"loadBalancers/lb", func(p, _ map[string]any) {
		delete(p["loadBalancingRules"].([]any)[0].(map[string]any)["properties"].(map[string]any), "probe")
	})
	if r := reach(); len(r.Lost) != 1 {
		t.Errorf("a node that is down, and nothing finds out: %+v", r)
	}
}

// TestOwnPaths is what a demo asks for.
func TestOwnPaths(t *testing.T) {
	l := newLab(t, Options{})
	l.ask("PUT", base+"publicIPAddresses/ip", ip)
	l.ask("PUT", base+"loadBalancers/lb", lb("lb"))
	at := l.sim.Resource(base + "publicIPAddresses/ip")["properties"].(map[string]any)["ipAddress"].(string)
	if status, _, _ := l.ask("PUT", "/armsim/clusters", `[{"Name": "c", "Network": "`+vnet+`", "Nodes": [{"Name": "n", "Address": "10.0.0.4"}], "Services": [{"Name": "web", "Addresses": ["`+at+`"], "Ports": [{"Protocol": "TCP", "Port": 80}], "Endpoints": 1}]}]`); status != 204 {
		t.Errorf("clusters: %d", status)
	}
	_, out, _ := l.ask("GET", "/armsim/reach?to="+at+":80", "")
	if fmt.Sprint(out["Clusters"]) != "[c]" {
		t.Errorf("it reaches %v", out)
	}
}
