// Package health evaluates api.HealthCheck: expressions in the Common Expression Language (https://cel.dev) that tell the
// health of one object. An expression sees nothing but the object: no clock, no cluster, no other object.
package health

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
)

const (
	// maxLength is how long an expression may be, in characters.
	maxLength = 4096

	// maxDepth is how deep an expression may be nested.
	maxDepth = 64

	// maxCost ends an evaluation that does not come to an end by itself, in cel-go's units: about one a step. Looking
	// through twenty conditions costs some hundreds; the API server allows its validation rules ten million an object
	// (https://kubernetes.io/docs/reference/using-api/cel/#cost-budget).
	maxCost = 100_000
)

// Verdict is what a check says about an object.
type Verdict string

// The verdicts, in kstatus' words.
const (
	Current    Verdict = "Current"
	InProgress Verdict = "InProgress"
	Failed     Verdict = "Failed"
)

// Checks are compiled health checks by kind. They are immutable and may be used concurrently.
type Checks map[schema.GroupKind][]rule

// rule is one expression of a check and what it says when it is true.
type rule struct {
	name    string
	verdict Verdict
	program cel.Program
}

// Compile compiles the checks, at most one a kind. What does not compile or can never be true or false comes back as
// errors, all at once; Field is the kind and the name of the expression, and the message tells the position.
func Compile(checks []api.HealthCheck) (Checks, api.FieldErrors) {
	if len(checks) == 0 {
		return nil, nil
	}
	env, err := environment()
	if err != nil {
		return nil, api.FieldErrors{{Field: "CEL", Message: err.Error()}}
	}
	out := Checks{}
	var errs api.FieldErrors
	for _, c := range checks {
		if _, twice := out[c.Kind]; twice {
			errs = append(errs, api.FieldError{Field: c.Kind.String(), Message: "has two health checks; keep one"})
			continue
		}
		out[c.Kind] = []rule{}
		for _, r := range []struct {
			name, text string
			verdict    Verdict
		}{{"failed", c.Failed, Failed}, {"inProgress", c.InProgress, InProgress}, {"current", c.Current, Current}} {
			if r.text == "" {
				continue
			}
			program, err := compile(env, r.text)
			if err != nil {
				errs = append(errs, api.FieldError{Field: c.Kind.String() + ": " + r.name, Message: err.Error()})
				continue
			}
			out[c.Kind] = append(out[c.Kind], rule{r.name, r.verdict, program})
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return out, nil
}

// environment declares self and nothing else besides CEL's standard functions and optional fields (self.?status).
func environment() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("self", cel.DynType),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxLength),
		cel.ParserRecursionLimit(maxDepth),
	)
}

func compile(env *cel.Env, text string) (cel.Program, error) {
	ast, issues := env.Compile(text)
	if list := issues.Errors(); len(list) > 0 {
		var messages []string
		for _, e := range list {
			messages = append(messages, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1,
				strings.TrimSuffix(e.Message, " (in container '')")))
		}
		return nil, fmt.Errorf("%s does not compile: %s", excerpt(text), strings.Join(messages, "; "))
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("%s is %s; it must be true or false", excerpt(text), t)
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%s does not compile: %w", excerpt(text), err)
	}
	return program, nil
}

// Judge returns what the check for kind gk says of an object, given as decoded from JSON. An expression that reads a field
// or item that is not there is not true. Any other failure to evaluate is an error that names the expression.
func (c Checks) Judge(gk schema.GroupKind, object map[string]any) (Verdict, error) {
	for _, r := range c[gk] {
		yes, err := r.holds(object)
		if err != nil {
			return "", fmt.Errorf("the expression %s of its health check: %w", r.name, err)
		}
		if yes {
			return r.verdict, nil
		}
	}
	return InProgress, nil
}

func (r rule) holds(object map[string]any) (bool, error) {
	out, _, err := r.program.Eval(map[string]any{"self": object})
	switch {
	case err != nil && isMissing(err):
		return false, nil
	case err != nil:
		return false, err
	case out.Type() != types.BoolType:
		return false, errors.New("is neither true nor false")
	}
	return out == types.True, nil
}

// isMissing tells whether an evaluation failed because a field or item is not there. cel-go has no exported error for
// that; these are its texts (interpreter/attributes.go, common/types/map.go and list.go).
func isMissing(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "no such key: ") || strings.HasPrefix(text, "index out of bounds: ") ||
		strings.HasPrefix(text, "index '") && strings.Contains(text, "' out of range in list size '")
}

// excerpt quotes the beginning of an expression.
func excerpt(text string) string {
	const most = 80
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + " …"
	}
	return fmt.Sprintf("%q", text)
}
