package report

import (
	"slices"
	"strings"
)

// Public returns p as a forge may show it: why a member could not be asked names addresses, which are the operator's business.
func (p Plan) Public() Plan {
	const alone = "planned from Git alone"
	p.Risks = slices.Clone(p.Risks)
	for i, r := range p.Risks {
		at := strings.Index(r.Message, alone)
		if r.Kind != RiskUnseen || at < 0 {
			continue
		}
		if why := strings.Index(r.Message[at:], ": "); why >= 0 {
			p.Risks[i].Message = r.Message[:at+why] + "; why is " + where
		}
	}
	return p
}
