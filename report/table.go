package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// unknown is what kubectl prints where it knows no age.
const unknown = "<unknown>"

// none is what kubectl prints for an empty list.
const none = "<none>"

// table is one kind of row that `gitfleet get` prints.
type table struct {
	names    []string // plural first; the others are accepted too
	columns  []string // of every cell of a row, in order; the leading ones identify the object
	wide     []string // those of columns that only -o wide shows
	optional []string // those of columns that are left out where they would be empty
	ordered  bool     // rows come in an order of their own, instead of being sorted
	rows     func(r Report, now time.Time) [][]string
	list     func(r Report) any
}

// tables returns every kind in the order of the error that lists them. Columns are those that kubectl prints for the
// same kinds; CLUSTER is added where the answer spans clusters.
func tables() []table {
	return []table{
		placementTable(func(Placement) bool { return true }, "placements", "placement"),
		placementTable(func(p Placement) bool { return p.Namespace == "" }, "clusterresourceplacements", "clusterresourceplacement", "crp"),
		placementTable(func(p Placement) bool { return p.Namespace != "" }, "resourceplacements", "resourceplacement", "rp"),
		{
			names: []string{"members", "member", "memberclusters", "membercluster", "clusters", "cluster"},
			columns: []string{"NAME", "JOINED", "AGE", "MEMBER-AGENT-LAST-SEEN", "NODE-COUNT", "AVAILABLE-CPU", "AVAILABLE-MEMORY",
				"ALLOCATABLE-CPU", "ALLOCATABLE-MEMORY", "LABELS", "MESSAGE"},
			wide: []string{"ALLOCATABLE-CPU", "ALLOCATABLE-MEMORY", "LABELS", "MESSAGE"},
			rows: memberRows,
			list: func(r Report) any {
				var items []any
				for _, m := range r.Members {
					items = append(items, m.object(r))
				}
				return listOf(items)
			},
		},
		{
			names:   []string{"serviceexports", "serviceexport", "svcexport"},
			columns: []string{"NAMESPACE", "NAME", "CLUSTER", "IS-VALID", "IS-CONFLICTED", "AGE", "ENDPOINTS", "WEIGHT", "API", "MESSAGE"},
			wide:    []string{"ENDPOINTS", "WEIGHT", "API", "MESSAGE"},
			rows:    exportRows,
			list:    func(r Report) any { return orEmpty(r.Exports) },
		},
		{
			names:   []string{"serviceimports", "serviceimport", "svcimport"},
			columns: []string{"NAMESPACE", "NAME", "CLUSTERS", "PORTS", "ENDPOINTS", "TYPE", "IN", "CLUSTERSET-IPS"},
			wide:    []string{"TYPE", "IN", "CLUSTERSET-IPS"},
			rows:    importRows,
			list:    func(r Report) any { return orEmpty(r.Imports) },
		},
		{
			names:   []string{"multiclusterservices", "multiclusterservice", "mcs"},
			columns: []string{"NAMESPACE", "NAME", "CLUSTER", "SERVICE-IMPORT", "EXTERNAL-IP", "IS-VALID", "AGE", "MESSAGE"},
			wide:    []string{"MESSAGE"},
			rows:    serviceRows,
			list:    func(r Report) any { return orEmpty(r.Services) },
		},
		{
			names:   []string{"commits", "commit"},
			columns: []string{"COMMIT", "AGE", "APPLY", "SERVICES", "PLAN", "SUBJECT", "MESSAGE"},
			wide:    []string{"SERVICES", "PLAN"},
			ordered: true,
			rows:    commitRows,
			list:    func(r Report) any { return orEmpty(r.Commits) },
		},
	}
}

// placementTable is the table of the placements that keep accepts.
func placementTable(keep func(Placement) bool, names ...string) table {
	kept := func(r Report) []Placement {
		return slices.DeleteFunc(slices.Clone(r.Placements), func(p Placement) bool { return !keep(p) })
	}
	return table{
		names: names,
		columns: []string{"NAMESPACE", "NAME", "GEN", "TYPE", "SCHEDULED", "SCHEDULEDGEN", "WORKSYNCHRONIZED", "WORKSYNCHRONIZEDGEN",
			"APPLIED", "APPLIEDGEN", "AVAILABLE", "AVAILABLEGEN", "AGE", "CLUSTERS", "MESSAGE"},
		wide:     []string{"TYPE", "WORKSYNCHRONIZED", "WORKSYNCHRONIZEDGEN", "AVAILABLE", "AVAILABLEGEN", "CLUSTERS", "MESSAGE"},
		optional: []string{"NAMESPACE"},
		rows:     func(r Report, now time.Time) [][]string { return placementRows(kept(r), now) },
		list: func(r Report) any {
			var items []any
			for _, p := range kept(r) {
				items = append(items, p.object(r))
			}
			return listOf(items)
		},
	}
}

func tableOf(kind string) (table, error) {
	var plurals []string
	for _, t := range tables() {
		if slices.Contains(t.names, strings.ToLower(kind)) {
			return t, nil
		}
		plurals = append(plurals, t.names[0])
	}
	return table{}, fmt.Errorf("unknown kind %q: use one of %s", kind, strings.Join(plurals, ", "))
}

// Table prints the objects of one kind as kubectl does: the columns users know, three spaces between them, ages in its
// short form. kind is a plural, singular or short name; an unknown one is an error that lists the plurals.
func Table(w io.Writer, r Report, kind string, wide bool, now time.Time) error {
	t, err := tableOf(kind)
	if err != nil {
		return err
	}
	rows := t.rows(r, now)
	if len(rows) == 0 {
		_, err := fmt.Fprintf(w, "No %s found\n", t.names[0])
		return err
	}
	if !t.ordered {
		slices.SortFunc(rows, slices.Compare)
	}
	// kubectl's own settings, k8s.io/cli-runtime/pkg/printers: cells of at least 6, padded by 3.
	tab := tabwriter.NewWriter(w, 6, 4, 3, ' ', 0)
	shown := t.shown(rows, wide)
	for _, row := range append([][]string{t.columns}, rows...) {
		var cells []string
		for i, cell := range row {
			if shown[i] {
				cells = append(cells, oneLine(cell))
			}
		}
		if _, err := fmt.Fprintln(tab, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tab.Flush()
}

// shown tells for each column whether it is printed.
func (t table) shown(rows [][]string, wide bool) []bool {
	shown := make([]bool, len(t.columns))
	for i, column := range t.columns {
		filled := slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" })
		shown[i] = (wide || !slices.Contains(t.wide, column)) && (filled || !slices.Contains(t.optional, column))
	}
	return shown
}

// orEmpty makes an absent list an empty one, so that it is encoded as [].
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// oneLine keeps a cell in its line and column.
func oneLine(cell string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, cell)
}

// List prints the objects of one kind as data: placements and members as kubectl would print the Kubernetes objects, with
// their status, others in the fields of the Report. format is json or yaml.
func List(w io.Writer, r Report, kind, format string) error {
	t, err := tableOf(kind)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(t.list(r), "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", t.names[0], err)
	}
	switch format {
	case "json":
		data = append(data, '\n')
	case "yaml":
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fmt.Errorf("encode %s: %w", t.names[0], err)
		}
	default:
		return fmt.Errorf("unknown output format %q: use json or yaml", format)
	}
	_, err = w.Write(data)
	return err
}

func placementRows(placements []Placement, now time.Time) [][]string {
	var rows [][]string
	for _, p := range placements {
		row := []string{p.Namespace, p.Name, strconv.FormatInt(p.Generation, 10), p.placementType()}
		for _, kind := range []string{scheduled, workSynchronized, applied, available} {
			c := p.condition(kind)
			row = append(row, status(c), generation(c))
		}
		rows = append(rows, append(row, age(p.Created, now), joined(p.clusterNames()), p.trouble()))
	}
	return rows
}

// placementType is that of the policy; "" while the spec is not known.
func (p Placement) placementType() string {
	switch {
	case p.Spec == nil:
		return ""
	case p.Spec.Policy == nil:
		return string(v1beta1.PickAll)
	}
	return string(cmp.Or(p.Spec.Policy.PlacementType, v1beta1.PickAll))
}

// status and generation are empty for a missing condition, as in kubectl's tables.
func status(c *metav1.Condition) string {
	if c == nil {
		return ""
	}
	return string(c.Status)
}

func generation(c *metav1.Condition) string {
	if c == nil {
		return ""
	}
	return strconv.FormatInt(c.ObservedGeneration, 10)
}

func (p Placement) clusterNames() []string {
	var names []string
	for _, c := range p.selectedClusters() {
		names = append(names, c.Cluster)
	}
	return names
}

// trouble is the message of the first condition that is not True; "" when all is well.
func (p Placement) trouble() string {
	for _, c := range p.Conditions {
		if c.Status != metav1.ConditionTrue {
			return c.Message
		}
	}
	return ""
}

func memberRows(r Report, now time.Time) [][]string {
	var rows [][]string
	for _, m := range r.Members {
		nodes := unknown
		if m.Nodes != nil {
			nodes = strconv.Itoa(*m.Nodes)
		}
		offers := Resources{}
		if m.Resources != nil {
			offers = *m.Resources
		}
		rows = append(rows, []string{m.Name, string(statusOf(m.Joined)), age(m.Created, now), age(m.LastSeen, now), nodes,
			cmp.Or(offers.Available["cpu"], unknown), cmp.Or(offers.Available["memory"], unknown),
			cmp.Or(offers.Allocatable["cpu"], unknown), cmp.Or(offers.Allocatable["memory"], unknown),
			labels.FormatLabels(m.Labels), m.Message})
	}
	return rows
}

func exportRows(r Report, now time.Time) [][]string {
	var rows [][]string
	for _, e := range r.Exports {
		rows = append(rows, []string{e.Namespace, e.Name, e.Cluster, e.Valid, e.Conflicted, age(e.Created, now),
			strconv.Itoa(e.Endpoints), orNone(e.Weight), orNone(e.API), e.Message})
	}
	return rows
}

func importRows(r Report, _ time.Time) [][]string {
	var rows [][]string
	for _, i := range r.Imports {
		rows = append(rows, []string{i.Namespace, i.Name, joined(i.Clusters), joined(i.Ports), strconv.Itoa(i.Endpoints), orNone(i.Type),
			strconv.Itoa(i.In), joined(i.addresses())})
	}
	return rows
}

func serviceRows(r Report, now time.Time) [][]string {
	var rows [][]string
	for _, s := range r.Services {
		rows = append(rows, []string{s.Namespace, s.Name, s.Cluster, s.Import, s.ExternalIP, s.Valid, age(s.Created, now), s.Message})
	}
	return rows
}

// addresses returns the clusterset IPs with the members where they are.
func (i Import) addresses() []string {
	var out []string
	for _, on := range i.On {
		out = append(out, on.Cluster+"="+strings.Join(on.IPs, "+"))
	}
	return out
}

func orNone(text string) string { return cmp.Or(text, none) }

func joined(list []string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ",")
}

// age is the time since then as kubectl writes it.
func age(then, now time.Time) string {
	if then.IsZero() {
		return unknown
	}
	return duration.HumanDuration(now.Sub(then))
}
