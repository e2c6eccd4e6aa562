package reconcile

import (
	"fmt"
	"maps"
	"slices"
)

// judgeReadiness finds out which of the placements that others wait for are not ready, and why. A placement is ready when
// it is in place and healthy on all its clusters: what waits for it may run on others.
func (l *Loop) judgeReadiness() {
	var unready map[string]string
	for _, name := range l.wish.awaited {
		if why := l.whyUnready(name); why != "" {
			if unready == nil {
				unready = map[string]string{}
			}
			unready[name] = why
		}
	}
	if !maps.Equal(unready, l.unready) {
		l.unready = unready
		l.version++
	}
}

func (l *Loop) whyUnready(placement string) string {
	for _, d := range l.schedule.decisions {
		if d.Key() != placement {
			continue
		}
		for _, cluster := range slices.Sorted(slices.Values(d.Assignment.Clusters)) {
			m := l.members[cluster]
			if m == nil {
				return "it is not known on " + cluster
			}
			if r := l.placed(m, placement); r.Applied != yes || r.Healthy != yes {
				return fmt.Sprintf("on %s: %s", cluster, r.Message)
			}
		}
		if len(d.Assignment.Clusters) == 0 {
			return "it runs on no cluster"
		}
		return ""
	}
	return "there is no such placement"
}
