package replay

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lapExpression finds {lap}, {lap%3}, {lap+1}, and chains of them such as {lap%3+1}, worked out from left to right.
var (
	lapExpression = regexp.MustCompile(`\{lap((?:[-+*%][0-9]{1,9})*)\}`)
	lapOperation  = regexp.MustCompile(`[-+*%][0-9]+`)
	lapAttempt    = regexp.MustCompile(`\{lap[^A-Za-z0-9_}][^{}]*\}`)
)

// lapNumber is a value that is nothing but a lap expression. YAML has to write it as a string, but where it replaces
// a number it is meant as one: see merged.
type lapNumber int64

func (n lapNumber) String() string { return strconv.FormatInt(int64(n), 10) }

// isDynamic reports whether text may differ from lap to lap.
func isDynamic(text string) bool { return strings.Contains(text, "{lap") }

// expandText fills in the lap. What looks like an expression and is none is an error.
func expandText(text string, lap int) (string, error) {
	if !isDynamic(text) {
		return text, nil
	}
	var failed error
	out := lapExpression.ReplaceAllStringFunc(text, func(expression string) string {
		n, err := evaluate(expression, lap)
		failed = cmp.Or(failed, err)
		return strconv.FormatInt(n, 10)
	})
	if bad := lapAttempt.FindString(out); bad != "" && failed == nil {
		failed = fmt.Errorf("cannot work out %q; lap expressions look like {lap}, {lap+1}, {lap%%3}", bad)
	}
	return out, failed
}

func evaluate(expression string, lap int) (int64, error) {
	n := int64(lap)
	for _, operation := range lapOperation.FindAllString(expression, -1) {
		operand, err := strconv.ParseInt(operation[1:], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("working out %s: %w", expression, err)
		}
		switch operation[0] {
		case '+':
			n += operand
		case '-':
			n -= operand
		case '*':
			n *= operand
		case '%':
			if operand == 0 {
				return 0, fmt.Errorf("%s divides by zero", expression)
			}
			n %= operand
		}
	}
	return n, nil
}

// expandValue fills in the lap in every string of a value, keys included. It shares with v what does not change.
func expandValue(v any, lap int) (any, error) {
	switch v := v.(type) {
	case string:
		if !isDynamic(v) {
			return v, nil
		}
		if m := lapExpression.FindString(v); m == v {
			n, err := evaluate(v, lap)
			return lapNumber(n), err
		}
		return expandText(v, lap)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			var err error
			if out[i], err = expandValue(item, lap); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			name, err := expandText(key, lap)
			if err != nil {
				return nil, err
			}
			if out[name], err = expandValue(item, lap); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// valueIsDynamic reports whether any string of v may differ from lap to lap.
func valueIsDynamic(v any) bool {
	switch v := v.(type) {
	case string:
		return isDynamic(v)
	case []any:
		return slices.ContainsFunc(v, valueIsDynamic)
	case map[string]any:
		for key, item := range v {
			if isDynamic(key) || valueIsDynamic(item) {
				return true
			}
		}
	}
	return false
}

// Write is one write of a story, with its lap filled in.
type Write struct {
	At     time.Duration // from the start of lap 0
	Step   *Step
	Writer *Writer
	Object string // key
	Merge  map[string]any
}

// Writes calls do with every write of the story, in the order of time; writes at the same time keep the order of laps
// and steps. It stops at the first error, which it returns with the line of the step.
func (s *Story) Writes(do func(Write) error) error {
	if n := len(s.Steps); n > 0 && s.Laps > maxWrites/n {
		return fmt.Errorf("%s: %d steps in %d laps are more than %d writes", s.File, n, s.Laps, maxWrites)
	}
	type turn struct {
		at        time.Duration
		lap, step int
	}
	turns := make([]turn, 0, len(s.Steps)*s.Laps)
	dynamic := make([]bool, len(s.Steps))
	for i, step := range s.Steps {
		dynamic[i] = valueIsDynamic(step.Merge)
	}
	for lap := range s.Laps {
		for i, step := range s.Steps {
			turns = append(turns, turn{time.Duration(lap)*s.Every + step.At, lap, i})
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	for _, t := range turns {
		step := &s.Steps[t.step]
		if err := s.write(step, t.lap, t.at, dynamic[t.step], do); err != nil {
			return fmt.Errorf("%s:%d: lap %d: %w", s.File, step.Line, t.lap, err)
		}
	}
	return nil
}

func (s *Story) write(step *Step, lap int, at time.Duration, dynamic bool, do func(Write) error) error {
	by, err := expandText(step.By, lap)
	if err != nil {
		return err
	}
	writer, ok := s.Writer(by)
	if !ok {
		return fmt.Errorf("%q is none of the writers", by)
	}
	key, err := expandText(step.Object, lap)
	if err != nil {
		return err
	}
	merge := step.Merge
	if dynamic {
		expanded, err := expandValue(merge, lap)
		if err != nil {
			return err
		}
		merge = expanded.(map[string]any)
	}
	return do(Write{At: at, Step: step, Writer: writer, Object: key, Merge: merge})
}
