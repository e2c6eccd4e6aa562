package azure

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// settings is what the annotations of a MultiClusterService ask for. Their names and meanings are those of cloud-provider-azure
// (https://cloud-provider-azure.sigs.k8s.io/topics/loadbalancer/); docs/azure.md lists them.
type settings struct {
	Subnet  string     // of an internal frontend: a name or an ID
	Address netip.Addr // wanted
	Group   string     // resource group of the public IP
	IP      string     // name of a public IP that exists
	Prefix  string     // ID to make public IPs from
	Tags    map[string]string
	IPTags  []ipTag
	Label   string // in DNS
	// AnyLabel is true while nobody asks for a label, or for none.
	AnyLabel bool

	Sources     []string // CIDRs
	ServiceTags []string
	DenyOthers  bool
	NoSecurity  bool // writes no security rules

	Idle     int32 // minutes
	NoReset  bool
	NodePort bool // instead of floating IP
	AllPorts bool // one rule for all ports and protocols
	Probe    probeSettings
	Ports    map[int32]portSettings
}

// portSettings are those of one port; what is not set is as in settings.
type portSettings struct {
	NoRule, NoProbe bool
	Probe           probeSettings
}

type probeSettings struct {
	Protocol, Path, Port string
	Interval, Threshold  int32
}

const keyPrefix = "service.beta.kubernetes.io/"

// setters read one annotation each; the keys are without keyPrefix.
var setters = map[string]func(*settings, string) error{
	"azure-load-balancer-internal-subnet": func(s *settings, v string) error { s.Subnet = v; return notEmpty(v) },
	"azure-load-balancer-ipv4": func(s *settings, v string) (err error) {
		if s.Address, err = netip.ParseAddr(v); err != nil || !s.Address.Is4() {
			return errors.New("want an IPv4 address")
		}
		return nil
	},
	"azure-load-balancer-resource-group": func(s *settings, v string) error { s.Group = v; return nil }, // empty is the fleet's own
	"azure-pip-name":                     func(s *settings, v string) error { s.IP = v; return resourceName(v) },
	"azure-pip-prefix-id": func(s *settings, v string) error {
		s.Prefix = v
		return errors.Join(notEmpty(v), checkID(v, "publicIPPrefixes"))
	},
	"azure-pip-tags": func(s *settings, v string) (err error) { s.Tags, err = pairs(v); return err },
	"azure-pip-ip-tags": func(s *settings, v string) error {
		list, err := pairs(v)
		for _, key := range slices.Sorted(maps.Keys(list)) {
			s.IPTags = append(s.IPTags, ipTag{key, list[key]})
		}
		return err
	},
	"azure-dns-label-name": func(s *settings, v string) error {
		s.Label, s.AnyLabel = strings.ToLower(v), false
		if v != "" && !dnsLabel.MatchString(s.Label) {
			return errors.New("want 3 to 63 letters, digits and hyphens, with a letter first and no hyphen last, or nothing to take the label away")
		}
		return nil
	},
	"azure-allowed-ip-ranges": func(s *settings, v string) (err error) { s.Sources, err = ranges(v); return err },
	"azure-allowed-service-tags": func(s *settings, v string) error {
		s.ServiceTags = list(v)
		for _, tag := range s.ServiceTags {
			if !serviceTag.MatchString(tag) {
				return fmt.Errorf("%q is no service tag", tag)
			}
		}
		return nil
	},
	"azure-deny-all-except-load-balancer-source-ranges":  boolean(func(s *settings) *bool { return &s.DenyOthers }),
	"azure-disable-load-balancer-nsg-rule":               boolean(func(s *settings) *bool { return &s.NoSecurity }),
	"azure-load-balancer-tcp-idle-timeout":               number(4, 100, func(s *settings) *int32 { return &s.Idle }),
	"azure-load-balancer-disable-tcp-reset":              boolean(func(s *settings) *bool { return &s.NoReset }),
	"azure-disable-load-balancer-floating-ip":            boolean(func(s *settings) *bool { return &s.NodePort }),
	"azure-load-balancer-enable-high-availability-ports": boolean(func(s *settings) *bool { return &s.AllPorts }),
	"azure-load-balancer-health-probe-protocol":          probing(protocolOf),
	"azure-load-balancer-health-probe-request-path":      probing(pathOf),
	"azure-load-balancer-health-probe-interval":          probing(intervalOf),
	"azure-load-balancer-health-probe-num-of-probe":      probing(thresholdOf),
}

// portSetters read annotations of one port: port_NUMBER_ and one of these keys.
var portSetters = map[string]func(*portSettings, string) error{
	"no_lb_rule": func(p *portSettings, v string) (err error) { p.NoRule, err = truth(v); return err },
	"no_probe_rule": func(p *portSettings, v string) (err error) {
		p.NoProbe, err = truth(v)
		return err
	},
	"health-probe_protocol":     func(p *portSettings, v string) error { return protocolOf(&p.Probe, v) },
	"health-probe_request-path": func(p *portSettings, v string) error { return pathOf(&p.Probe, v) },
	"health-probe_interval":     func(p *portSettings, v string) error { return intervalOf(&p.Probe, v) },
	"health-probe_num-of-probe": func(p *portSettings, v string) error { return thresholdOf(&p.Probe, v) },
	"health-probe_port":         func(p *portSettings, v string) error { p.Probe.Port = v; return notEmpty(v) },
}

// impossible are annotations that ask for what a load balancer of a fleet cannot do. Values say why.
var impossible = map[string]string{
	"azure-load-balancer-ipv6": "gitfleet's load balancers have IPv4 addresses",
	"azure-pip-name-ipv6":      "gitfleet's load balancers have IPv4 addresses",
	"azure-pip-prefix-id-ipv6": "gitfleet's load balancers have IPv4 addresses",
}

const noPrivateLink = "a Private Link Service cannot stand before a pool of addresses: use --load-balancer service for this fleet, or make the Private Link Service before a load balancer of one cluster"

// pointless are annotations that say nothing to a load balancer of a fleet. Values say why.
var pointless = map[string]string{
	"azure-load-balancer-mode":            "it was for load balancers of SKU Basic, which are retired",
	"azure-load-balancer-mixed-protocols": "protocols may be mixed in any case",
	"azure-shared-securityrule":           "security rules are each service's own",
	"azure-load-balancer-configurations":  "each service has a load balancer of its own",
	"azure-additional-public-ips":         "gitfleet tells members their addresses itself",
}

var (
	dnsLabel   = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)
	serviceTag = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]*$`)
	portKey    = regexp.MustCompile(`^port_([0-9]+)_(.+)$`)
	resource   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)
)

// readSettings reads annotations. Wrong ones are told in problems, and then nothing may be written; those that have no effect in notes.
func readSettings(annotations map[string]string) (s settings, problems, notes []string) {
	s = settings{AnyLabel: true, Ports: map[int32]portSettings{}}
	complain := func(key string, err error) {
		if err != nil {
			problems = append(problems, fmt.Sprintf("annotation %s: %q: %v", key, annotations[key], err))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		short, ok := strings.CutPrefix(key, keyPrefix)
		if !ok || key == networkingv1alpha1.AnnotationAzureInternal {
			continue
		}
		if set, known := setters[short]; known {
			complain(key, set(&s, annotations[key]))
		} else if m := portKey.FindStringSubmatch(short); m != nil {
			complain(key, s.setPort(m[1], m[2], annotations[key]))
		} else if why := impossible[short]; why != "" {
			complain(key, errors.New(why))
		} else if strings.HasPrefix(short, "azure-pls-") {
			complain(key, errors.New(noPrivateLink))
		} else if why := pointless[short]; why != "" {
			notes = append(notes, fmt.Sprintf("annotation %s has no effect: %s", key, why))
		} else if strings.HasPrefix(short, "azure-") {
			notes = append(notes, fmt.Sprintf("annotation %s has no effect: gitfleet knows no such annotation", key))
		}
	}
	return s, append(problems, append(checkInternal(annotations), s.contradictions()...)...), notes
}

func (s *settings) setPort(port, key, value string) error {
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%s is no port", port)
	}
	set, known := portSetters[key]
	if !known {
		return fmt.Errorf("gitfleet knows no such annotation; of a port it knows %s", strings.Join(slices.Sorted(maps.Keys(portSetters)), ", "))
	}
	p := s.Ports[int32(n)]
	err = set(&p, value)
	s.Ports[int32(n)] = p
	return err
}

// checkInternal wants the two annotations for one thing to agree.
func checkInternal(annotations map[string]string) []string {
	var values []bool
	var problems []string
	for _, key := range []string{networkingv1alpha1.AnnotationFleetInternal, networkingv1alpha1.AnnotationAzureInternal} {
		if text, ok := annotations[key]; ok {
			value, err := truth(text)
			if err != nil {
				problems = append(problems, fmt.Sprintf("annotation %s: %q: %v", key, text, err))
			}
			values = append(values, value)
		}
	}
	if len(problems) == 0 && len(values) == 2 && values[0] != values[1] {
		return []string{fmt.Sprintf("annotations %s and %s contradict each other: remove one of them", networkingv1alpha1.AnnotationFleetInternal, networkingv1alpha1.AnnotationAzureInternal)}
	}
	return problems
}

// contradictions are among annotations that are right each by itself.
func (s *settings) contradictions() []string {
	var out []string
	if s.IP != "" && s.Address.IsValid() {
		out = append(out, "annotations azure-pip-name and azure-load-balancer-ipv4 both name the address: remove one of them")
	}
	if s.IP != "" && (s.Prefix != "" || len(s.IPTags) > 0) {
		out = append(out, "annotation azure-pip-name names a public IP that is there, and azure-pip-prefix-id and azure-pip-ip-tags say how to make one: remove either")
	}
	if s.DenyOthers && len(s.Sources)+len(s.ServiceTags) == 0 {
		out = append(out, "annotation azure-deny-all-except-load-balancer-source-ranges: nothing is allowed: set azure-allowed-ip-ranges or azure-allowed-service-tags")
	}
	if s.NoSecurity && len(s.Sources)+len(s.ServiceTags) > 0 {
		out = append(out, "annotation azure-disable-load-balancer-nsg-rule: azure-allowed-ip-ranges and azure-allowed-service-tags are such rules: remove either")
	}
	return out
}

func boolean(field func(*settings) *bool) func(*settings, string) error {
	return func(s *settings, v string) (err error) { *field(s), err = truth(v); return err }
}

func number(least, most int32, field func(*settings) *int32) func(*settings, string) error {
	return func(s *settings, v string) (err error) { *field(s), err = within(v, least, most); return err }
}

func probing(set func(*probeSettings, string) error) func(*settings, string) error {
	return func(s *settings, v string) error { return set(&s.Probe, v) }
}

func protocolOf(p *probeSettings, v string) error {
	for _, known := range []string{"Tcp", "Http", "Https"} {
		if same(known, v) {
			p.Protocol = known
			return nil
		}
	}
	return errors.New("want tcp, http or https")
}

func pathOf(p *probeSettings, v string) error {
	if !strings.HasPrefix(v, "/") {
		return errors.New("want a path that begins with /")
	}
	p.Path = v
	return nil
}

func intervalOf(p *probeSettings, v string) (err error) {
	p.Interval, err = within(v, 5, 119)
	return err
}

func thresholdOf(p *probeSettings, v string) (err error) {
	p.Threshold, err = within(v, 1, 23)
	return err
}

// truth reads a boolean as fleet-networking does; nothing else is one.
func truth(v string) (bool, error) {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}

func within(v string, least, most int32) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
	if err != nil || n < int64(least) || n > int64(most) {
		return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
	}
	return int32(n), nil
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("must not be empty")
	}
	return nil
}

func resourceName(v string) error {
	if !resource.MatchString(v) {
		return errors.New("want the name of a resource: up to 80 letters, digits, hyphens, periods and underscores")
	}
	return nil
}

func list(v string) []string {
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func ranges(v string) ([]string, error) {
	out := list(v)
	for i, text := range out {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || !prefix.Addr().Is4() {
			return nil, fmt.Errorf("%q: want IPv4 ranges as 203.0.113.0/24, separated by commas", text)
		}
		out[i] = prefix.Masked().String()
	}
	return out, nil
}

func pairs(v string) (map[string]string, error) {
	out := map[string]string{}
	for _, part := range list(v) {
		key, value, ok := strings.Cut(part, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, fmt.Errorf("%q: want KEY=VALUE, separated by commas", part)
		}
		if lower := strings.ToLower(key); strings.HasPrefix(lower, "gitfleet-") || strings.HasPrefix(lower, "aks-managed") || strings.HasPrefix(lower, "k8s-azure") {
			return nil, fmt.Errorf("the tag %s is not a user's to set", key)
		}
		out[key] = strings.TrimSpace(value)
	}
	return out, nil
}
