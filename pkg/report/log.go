package report

import (
	"context"
	"log/slog"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/policy"
)

// logTurn logs a turn of a fight: one line per turn, not per write.
func logTurn(log *slog.Logger, u Update, on admission.Object) {
	level := slog.LevelInfo
	if u.Turn == policy.Started || u.Turn == policy.Resumed {
		level = slog.LevelWarn
	}
	f := &u.Fight
	parties := make([]string, len(f.Parties))
	for i, p := range f.Parties {
		parties[i] = p.String()
	}
	count := f.Reversals
	if f.Kind == "loop" {
		count = f.Writes
	}
	attrs := []any{
		"turn", u.Turn, "kind", f.Kind, "fight", f.ID, "resource", f.Object.Resource, "group", f.Object.Group,
		"namespace", f.Object.Namespace, "name", on.Name, "field", f.Field, "parties", parties, "count", count,
		"prevented", f.Prevented.Total(), "per_minute", f.RatePerMinute, "signal", f.Signal, "rule", f.Rule,
		"action", f.Action, "mode", f.Mode,
	}
	if u.Reason != policy.ReasonNone {
		attrs = append(attrs, "reason", u.Reason)
	}
	if !f.Until.IsZero() {
		attrs = append(attrs, "until", f.Until.Format(time.RFC3339))
	}
	if f.ObservedOnly {
		attrs = append(attrs, "observed_only", true)
	}
	if by := f.Turns[len(f.Turns)-1].By; by != "" {
		attrs = append(attrs, "by", by)
	}
	log.Log(context.Background(), level, "fight", attrs...)
}
