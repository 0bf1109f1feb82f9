package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Query is a CEL expression over an audit event. It is safe for concurrent use.
type Query struct {
	program cel.Program
}

// variables are what an expression may name: the members of an event, as they are in JSON. What an event has not is empty,
// so that objectRef.name == "" is no error but for members of objects in the request and the response.
var variables = map[string]struct {
	kind *cel.Type
	of   func(e *Event) any
}{
	"level":                    {cel.StringType, func(e *Event) any { return string(e.Level) }},
	"auditID":                  {cel.StringType, func(e *Event) any { return string(e.ID) }},
	"stage":                    {cel.StringType, func(e *Event) any { return string(e.Stage) }},
	"requestURI":               {cel.StringType, func(e *Event) any { return string(e.URI()) }},
	"verb":                     {cel.StringType, func(e *Event) any { return string(e.Verb) }},
	"userAgent":                {cel.StringType, func(e *Event) any { return string(e.UserAgent) }},
	"user":                     {cel.DynType, func(e *Event) any { return valueOf(e.user) }},
	"impersonatedUser":         {cel.DynType, func(e *Event) any { return valueOf(e.impersonated) }},
	"sourceIPs":                {cel.DynType, func(e *Event) any { return listOf(e.SourceIPs) }},
	"annotations":              {cel.DynType, func(e *Event) any { return valueOf(e.Annotations) }},
	"responseStatus":           {cel.DynType, func(e *Event) any { return valueOf(e.Status) }},
	"requestObject":            {cel.DynType, func(e *Event) any { return valueOf(e.Request()) }},
	"responseObject":           {cel.DynType, func(e *Event) any { return valueOf(e.Response()) }},
	"requestReceivedTimestamp": {cel.TimestampType, func(e *Event) any { return e.Received.Time() }},
	"stageTimestamp":           {cel.TimestampType, func(e *Event) any { return e.Done.Time() }},
	// These two are not members of events.
	"code":    {cel.IntType, func(e *Event) any { return int64(e.Code) }},
	"latency": {cel.DurationType, func(e *Event) any { return time.Duration(e.Done-e.Received) * time.Microsecond }},
	"objectRef": {cel.MapType(cel.StringType, cel.StringType), func(e *Event) any {
		o := &e.Object
		return map[string]string{
			"resource": string(o.Resource), "namespace": string(o.Namespace), "name": string(o.Name), "uid": string(o.UID),
			"apiGroup": string(o.Group), "apiVersion": string(o.Version), "resourceVersion": string(o.ResourceVersion),
			"subresource": string(o.Subresource),
		}
	}},
}

func valueOf(raw []byte) any {
	if len(raw) == 0 {
		return map[string]any{}
	}
	var v any
	if err := json.Unmarshal(raw, &v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil || v == nil {
		return map[string]any{}
	}
	return v
}

func listOf(raw []byte) any {
	if len(raw) == 0 {
		return []any{}
	}
	return valueOf(raw)
}

// maxCost bounds what one evaluation may take, so that an expression cannot run for ever.
const maxCost = 1_000_000

// NewQuery compiles an expression. The error says what is wrong with it, and where.
func NewQuery(expression string) (*Query, error) {
	var options []cel.EnvOption
	for name, v := range variables {
		options = append(options, cel.Variable(name, v.kind))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("the expression does not compile: %w", err)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression must be true or false, not %s", t)
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return nil, fmt.Errorf("preparing the expression: %w", err)
	}
	return &Query{program}, nil
}

// Matches reports whether the expression is true of an event. One that cannot be evaluated, since it names a member that
// an object does not have, is false.
func (q *Query) Matches(e *Event) bool {
	out, _, err := q.program.Eval(activation{e})
	return err == nil && out == types.True
}

// activation looks up variables as an expression needs them, so that only those are decoded.
type activation struct{ e *Event }

func (a activation) ResolveName(name string) (any, bool) {
	v, ok := variables[name]
	if !ok {
		return nil, false
	}
	return v.of(a.e), true
}

func (a activation) Parent() interpreter.Activation { return nil }

// errEnough ends a query at its limit.
var errEnough = errors.New("enough")

// Run reads the input and calls fn with the events that match, in the order of time, at most limit of them, or all if
// limit is 0. An event is valid until fn returns. An error of fn ends it.
func (q *Query) Run(ctx context.Context, in *Input, limit int, fn func(*Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n := 0
	var failed error
	err := in.Ordered(ctx, q.Matches, func(e *Event) {
		if failed != nil || limit > 0 && n == limit {
			return
		}
		n++
		if failed = fn(e); failed != nil || n == limit {
			cancel(errEnough)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}
