package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/report"
)

// guard is what answers reviews, as the server sees it.
type guard struct {
	setPolicy        func(*policy.Policy)
	validate, mutate http.Handler
	// report tells people what is found, until its context ends.
	report func(context.Context)
	// api answers questions about it, and guarded lets those through who may ask, at an address of ours.
	api     http.Handler
	guarded func(on net.Addr) func(http.Handler) http.Handler
}

// newGuard makes the real one, with an empty history.
func newGuard(cfg Config, p *policy.Policy, reg prometheus.Registerer, log *slog.Logger) (guard, error) {
	hasher, err := newHasher(cfg.report.valueKey, cfg.report.journal)
	if err != nil {
		return guard{}, err
	}
	store := history.New(admission.Bounds(p))
	g := admission.NewGuard(p, store, hasher.Hasher)
	g.Journal = true
	r, err := newReporting(cfg, g, store, hasher.id, reg, log)
	if err != nil {
		return guard{}, err
	}
	handler := func(phase admission.Phase) http.Handler {
		return &admission.Handler{Guard: g, Phase: phase, Observer: r.recorder, Now: time.Now}
	}
	return guard{
		setPolicy: g.SetPolicy,
		validate:  handler(admission.Validating),
		mutate:    handler(admission.Mutating),
		report:    r.run,
		api:       report.NewAPI(r.recorder, g),
		guarded:   r.guarded,
	}, nil
}
