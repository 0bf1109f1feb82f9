package report

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/policy"
)

// silent reports nothing.
type silent struct{}

func (silent) Reviewed(admission.Phase, *admission.Response, time.Duration) {}
func (silent) Refused(admission.Phase, int)                                 {}
func (silent) Panicked(admission.Phase, any, []byte)                        {}

// BenchmarkReporting measures a request through the webhook's handler while 1,000 fights go on: with nothing reported,
// and with everything. Each request is a contested write, the dearest case: it is judged, warned about, counted, queued.
// Compare the two, and their p99.
func BenchmarkReporting(b *testing.B) {
	const fights = 1_000
	for _, reporting := range []bool{false, true} {
		b.Run(map[bool]string{false: "off", true: "on"}[reporting], func(b *testing.B) {
			t := &testing.T{} // the scene's; what fails in it shows in the answers
			s := newScene(t, policy.Warn, "Throttle", Options{})
			h := &admission.Handler{Guard: s.guard, Phase: admission.Validating, Observer: silent{}, Now: func() time.Time { return s.now }}
			s.guard.Journal = reporting
			if reporting {
				h.Observer = s.recorder
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan struct{})
				go func() {
					s.recorder.Run(ctx)
					close(done)
				}()
				defer func() { cancel(); <-done }()
			}
			n := 0
			request := func() []byte {
				object, lap := n%fights, n/fights
				n++
				by := [2]string{"red", "blue"}
				o := func(v string, version int) string {
					return fmt.Sprintf(`{"metadata":{"name":"o-%d","namespace":"shop","uid":"u-%d","resourceVersion":"%d",`+
						`"annotations":{"k":%q}}}`, object, object, 1+version, v)
				}
				return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"r-%d",`+
					`"kind":{"group":"","version":"v1","kind":"ConfigMap"},"resource":{"group":"","version":"v1","resource":"configmaps"},`+
					`"operation":"UPDATE","name":"o-%d","namespace":"shop","userInfo":{"username":"system:serviceaccount:shop:%s"},`+
					`"object":%s,"oldObject":%s}}`, n, object, by[lap%2], o(by[lap%2], lap), o(by[(lap+1)%2], lap))
			}
			serve := func(body []byte) {
				s.clock.Lock()
				s.now = s.now.Add(time.Second / fights)
				s.clock.Unlock()
				r := httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
			for range 10 * fights { // until all are found
				serve(request())
			}
			took := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				body := request()
				start := time.Now()
				serve(body)
				took = append(took, time.Since(start))
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			if reporting {
				b.ReportMetric(s.metric("truce_dropped_total")/float64(b.N), "drops/op")
				if got := len(s.recorder.Register.Fights(s.now, FightQuery{Active: true})); got != fights {
					b.Fatalf("%d fights", got)
				}
			}
		})
	}
}
