package incluster

import (
	"crypto/x509"
	"encoding/pem"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/certs"
)

type metrics struct {
	steps     *prometheus.CounterVec
	writes    *prometheus.CounterVec
	stale     prometheus.Gauge
	authority prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "truce_certificate_rotation_steps_total",
			Help: "What this replica did to the certificates in the Secret.",
		}, []string{"step"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "truce_ca_bundle_writes_total",
			Help: "How often this replica wrote a webhook configuration's caBundle, because it changed, or restored it after " +
				"somebody else reset it.",
		}, []string{"reason"}),
		stale: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "truce_ca_bundle_stale_configurations",
			Help: "Webhook configurations whose caBundle is not what it should be, as the replica that looks after them knows.",
		}),
		authority: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "truce_certificate_authority_expiry_timestamp_seconds",
			Help: "When the authority of the serving certificate in use expires, in seconds since 1970.",
		}),
	}
	for _, step := range certs.Steps {
		m.steps.WithLabelValues(string(step))
	}
	for _, reason := range []string{"changed", "restored"} {
		m.writes.WithLabelValues(reason)
	}
	reg.MustRegister(m.steps, m.writes, m.stale, m.authority)
	return m
}

// expiry notes when the authority in use ends.
func (m metrics) expiry(ring certs.Keyring) {
	if block, _ := pem.Decode(ring.CA); block != nil {
		if ca, err := x509.ParseCertificate(block.Bytes); err == nil {
			m.authority.Set(float64(ca.NotAfter.Unix()))
		}
	}
}
