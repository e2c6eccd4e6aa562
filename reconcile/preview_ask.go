package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/report"
)

const (
	// mostAsked is how many changes one member is asked about: each costs it two requests. Of the others Git tells.
	mostAsked = 200
	// askedAtOnce is how many of them are in flight, a third of what an execution has, which goes first.
	askedAtOnce = 8
	// answerLimit is how long one answer may take, and silenceLimit after how many that took longer a member is not asked any more:
	// one that hangs must not keep the plan of all others from being told.
	answerLimit  = 10 * time.Second
	silenceLimit = 3
)

// ask asks the members about changes, all members at once, and works what they say into the changes: what really differs there,
// what is there already, what is deleted to be made anew. It returns what speaks against the plan; the error is a panic.
func (p prospect) ask(ctx context.Context, all []foreseen) ([]report.Risk, error) {
	questions := map[string][]*foreseen{}
	for i := range all {
		if f := &all[i]; f.asked {
			questions[f.Cluster] = append(questions[f.Cluster], f)
		}
	}
	mask := report.NewMask(p.before.Objects, p.after.Objects)
	var group sync.WaitGroup
	found, errs := make([][]objection, len(questions)), make([]error, len(questions))
	for i, cluster := range slices.Sorted(maps.Keys(questions)) {
		group.Go(func() {
			errs[i] = guarded(func() (err error) {
				found[i], err = p.askMember(ctx, cluster, questions[cluster], mask)
				return err
			})
		})
	}
	group.Wait()
	return merged(slices.Concat(found...), mask), errors.Join(errs...)
}

// objection is what one member has against a change.
type objection struct {
	kind, cluster, message string
	about                  string // the object; empty for the member as a whole
}

// merged merges objections that differ in the cluster only. What members say may quote what it is about: mask hides the secrets of
// both revisions.
func merged(all []objection, mask *report.Mask) []report.Risk {
	clusters := map[objection][]string{}
	for _, o := range all {
		cluster := o.cluster
		o.cluster = ""
		clusters[o] = append(clusters[o], cluster)
	}
	var list []report.Risk
	for o, on := range clusters {
		what := "member " + report.NameClusters(on)
		if o.about != "" {
			what = o.about + " on " + report.NameClusters(on)
		}
		list = append(list, report.Risk{Kind: o.kind, Message: what + ": " + mask.Text(o.message)})
	}
	return list // risks sorts
}

// errSilent tells that a member did not answer in time.
var errSilent = errors.New("it did not answer in time")

// askMember asks one member. The error is a panic.
func (p prospect) askMember(ctx context.Context, cluster string, questions []*foreseen, mask *report.Mask) (found []objection, err error) {
	if more := len(questions) - mostAsked; more > 0 {
		found = append(found, objection{kind: report.RiskUnseen, cluster: cluster,
			message: fmt.Sprintf("asked about %d changes; %d more were planned from Git alone", mostAsked, more)})
		questions = questions[:mostAsked]
	}
	v := p.views[cluster]
	answers, errs := make([]apply.Preview, len(questions)), make([]error, len(questions))
	var silences atomic.Int32
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, f := range questions {
		group.Go(func() error {
			if silences.Load() >= silenceLimit {
				errs[i] = errSilent
				return nil
			}
			limited, cancel := context.WithTimeout(ctx, answerLimit)
			defer cancel()
			return guarded(func() error {
				if answers[i], errs[i] = v.conn.Preview(limited, f.set, f.change); limited.Err() != nil {
					errs[i] = errSilent
					silences.Add(1)
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	silent := ""
	wanted := p.after.holdings(cluster)
	for i, f := range questions {
		if errs[i] != nil {
			silent = cmp.Or(silent, errs[i].Error())
			continue
		}
		found = append(found, f.heed(answers[i], wanted, mask)...)
	}
	if silent != "" {
		found = append(found, objection{kind: report.RiskUnseen, cluster: cluster, message: "planned from Git alone in part: " + silent})
	}
	return found, nil
}

// heed works an answer into the change. mask hides the secrets of both revisions.
func (f *foreseen) heed(answer apply.Preview, wanted map[api.Ref]owned, mask *report.Mask) []objection {
	object := func(kind, message string) []objection {
		return []objection{{kind: kind, cluster: f.Cluster, about: f.Ref().String(), message: message}}
	}
	switch {
	case answer.Refused != nil:
		return object(refusedRisk(answer.Refused))
	case answer.Unasked != "" && answer.Lacks == "":
		return object(report.RiskUnseen, "planned from Git alone: "+answer.Unasked)
	case answer.Unasked != "" && !comes(answer.Lacks, f.change.Target, wanted):
		return object(report.RiskRefused, answer.Unasked+", and nothing brings it there")
	case len(answer.Recreate) > 0:
		f.Reason += "; deleted and created anew"
		return object(report.RiskRecreate, "deleted and created anew, as its annotation allows, since "+strings.Join(answer.Recreate, ", ")+" cannot be changed")
	case answer.Live != nil && f.Action == apply.Create:
		f.Action = apply.Update
		f.Reason += "; it exists there already, and is adopted"
		if answer.Live.GetLabels()[api.ApplySetPartOfLabel] == "" {
			return object(report.RiskAdopt, "exists there, and gitfleet did not create it: it is adopted, and what the manifest names is overwritten")
		}
	case answer.Live != nil && answer.After != nil && f.known:
		f.Diff = mask.Diff(bare(answer.Live), bare(answer.After))
	}
	return nil
}

// comes tells whether what t lacks on a member comes there with it: its namespace, or the definition of its kind.
func comes(lacks string, t *apply.Target, wanted map[api.Ref]owned) bool {
	if lacks == "Namespace" {
		_, ok := wanted[api.Ref{Kind: lacks, Name: t.Ref.Namespace}]
		return ok
	}
	for ref, o := range wanted {
		if apply.IsDefinition(ref.GroupKind()) {
			group, _, _ := unstructured.NestedString(o.Object.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(o.Object.Object, "spec", "names", "kind")
			if group == t.Ref.Group && kind == t.Ref.Kind {
				return true
			}
		}
	}
	return false
}

// bare is u without what no author has a say in.
func bare(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	delete(u.Object, "status")
	for _, field := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", api.AnnotationAppliedHash)
	unstructured.RemoveNestedField(u.Object, "metadata", "labels", api.ApplySetPartOfLabel)
	return u
}
