package render

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/intstr"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// strategy accepts what spells out upstream's default. Every other value is refused: as unsupported where upstream
// would take it, as a mistake where it would not.
func (f *faults) strategy(s v1beta1.RolloutStrategy) {
	const at = "spec.strategy"
	f.onlyDefault(at+".type", string(s.Type), "leaving a rollout to staged update runs (External)",
		string(v1beta1.RollingUpdate), string(v1beta1.External))
	if s.RollingUpdate != nil {
		f.rollingUpdate(at+".rollingUpdate", *s.RollingUpdate, s.Type == v1beta1.External)
	}
	if s.ApplyStrategy != nil {
		f.applyStrategy(at+".applyStrategy", *s.ApplyStrategy)
	}
	if d := s.DeleteStrategy; d != nil {
		f.onlyDefault(at+".deleteStrategy.propagationPolicy", d.PropagationPolicy, "keeping objects of a deleted placement", "Delete", "Abandon")
	}
	if r := s.ReportBackStrategy; r != nil {
		f.reportBack(at+".reportBackStrategy", *r)
	}
}

// onlyDefault accepts the first of the allowed values; empty stands for it.
func (f *faults) onlyDefault(at, value, what string, allowed ...string) {
	if f.oneOf(at, value, allowed...) && value != "" && value != allowed[0] {
		f.unsupported(at, what)
	}
}

func (f *faults) rollingUpdate(at string, r v1beta1.RollingUpdateConfig, external bool) {
	if external {
		f.add(at, "is for strategy type RollingUpdate only; remove this field")
	}
	f.pace(at+".maxUnavailable", r.MaxUnavailable)
	f.pace(at+".maxSurge", r.MaxSurge)
	switch s := r.UnavailablePeriodSeconds; {
	case s == nil || *s == 60:
	case *s < 0:
		f.add(at+".unavailablePeriodSeconds", "must be 0 or more, not %d", *s)
	default:
		f.unsupported(at+".unavailablePeriodSeconds", "pacing a rollout")
	}
}

var percentage = regexp.MustCompile(`^(100|[0-9]{1,2})%$`)

// pace accepts upstream's default, a quarter of the clusters.
func (f *faults) pace(at string, v *intstr.IntOrString) {
	switch {
	case v == nil || *v == intstr.FromString("25%"):
	case v.Type == intstr.Int && v.IntVal < 0, v.Type == intstr.String && !percentage.MatchString(v.StrVal):
		f.add(at, "must be a number of clusters or 0%% to 100%%, not %q", v.String())
	default:
		f.unsupported(at, "pacing a rollout")
	}
}

// applyStrategy accepts ServerSideApply beside upstream's default, because that is how gitfleet applies.
func (f *faults) applyStrategy(at string, a v1beta1.ApplyStrategy) {
	const serverSide = "ServerSideApply"
	if f.oneOf(at+".type", a.Type, "ClientSideApply", serverSide, "ReportDiff") && a.Type == "ReportDiff" {
		f.unsupported(at+".type", a.Type)
	}
	f.onlyDefault(at+".comparisonOption", a.ComparisonOption, a.ComparisonOption, "PartialComparison", "FullComparison")
	f.onlyDefault(at+".whenToApply", a.WhenToApply, a.WhenToApply, "Always", "IfNotDrifted")
	f.onlyDefault(at+".whenToTakeOver", a.WhenToTakeOver, a.WhenToTakeOver, "Always", "IfNoDiff", "Never")
	if a.AllowCoOwnership {
		f.unsupported(at+".allowCoOwnership", "co-ownership")
	}
	switch {
	case a.ServerSideApplyConfig == nil:
	case a.Type != serverSide:
		f.add(at+".serverSideApplyConfig", "is for apply strategy type %s only; remove this field", serverSide)
	case !a.ServerSideApplyConfig.Force:
		f.unsupported(at+".serverSideApplyConfig", "applying without force")
	}
}

func (f *faults) reportBack(at string, r v1beta1.ReportBackStrategy) {
	const what = "copying statuses back"
	f.onlyDefault(at+".type", r.Type, what, "Disabled", "Mirror")
	switch d := r.Destination; {
	case d == nil || !f.oneOf(at+".destination", *d, "OriginalResource", "WorkAPI"):
	case r.Type != "Mirror":
		f.add(at+".destination", "is for report-back type Mirror only; remove this field")
	default:
		f.unsupported(at+".destination", what)
	}
}
