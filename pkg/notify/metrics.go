package notify

import "github.com/prometheus/client_golang/prometheus"

// The results of a message, a metric label.
const (
	resultSent    = "sent"
	resultRetried = "retried" // an attempt that failed, and will be repeated
	resultFailed  = "failed"  // given up
	resultShared  = "shared"  // another replica tells it
	resultDropped = "dropped" // nobody could be told in time, or there was no room
)

// newMetrics returns the counter of messages, with all series that there can be.
func newMetrics(reg prometheus.Registerer, types []string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "truce_notifications_total",
		Help: "Messages to receivers of notifications, by the receiver's type and by result: sent, retried (an attempt that " +
			"failed and will be repeated), failed (given up), shared (another replica tells it), dropped (nobody could be told " +
			"in time).",
	}, []string{"type", "result"})
	reg.MustRegister(c)
	for _, t := range types {
		for _, result := range []string{resultSent, resultRetried, resultFailed, resultShared, resultDropped} {
			c.WithLabelValues(t, result)
		}
	}
	return c
}
