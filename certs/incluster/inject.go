package incluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/certs"
)

// injector keeps the caBundle of webhook configurations.
type injector struct {
	cfg     Config
	metrics metrics
	states  []*injected
}

// injected is what is known of one target.
type injected struct {
	target Target
	api    targetAPI
	// wrote is what was last written, or found as it should be. If it is no longer there, somebody else reset it.
	wrote     []byte
	restraint restraint
	waiting   bool
	absent    bool
}

func newInjector(cfg Config, m metrics) *injector {
	in := &injector{cfg: cfg, metrics: m}
	for _, t := range cfg.Targets {
		in.states = append(in.states, &injected{target: t, api: t.api(cfg.Client.AdmissionregistrationV1())})
	}
	return in
}

// injection is what came of one round.
type injection struct {
	// everywhere: every configuration that exists has the bundle.
	everywhere bool
	// again is when to look again at the latest because something has to wait; 0 if nothing has to.
	again time.Duration
}

// inject sees to it that every webhook of every target has bundle as its caBundle.
func (in *injector) inject(ctx context.Context, bundle []byte, now time.Time) (injection, error) {
	result := injection{everywhere: true}
	var problems []error
	stale := 0
	for _, s := range in.states {
		wait, err := in.one(ctx, s, bundle, now)
		if err != nil {
			problems = append(problems, err)
		}
		if wait > 0 && (result.again == 0 || wait < result.again) {
			result.again = wait
		}
		if err != nil || wait > 0 {
			result.everywhere = false
			stale++
		}
	}
	in.metrics.stale.Set(float64(stale))
	return result, errors.Join(problems...)
}

// one does so for one target. If the caBundle has to stay wrong for the time being, it returns how long.
func (in *injector) one(ctx context.Context, s *injected, bundle []byte, now time.Time) (time.Duration, error) {
	c, err := s.api.get(ctx, s.target.Name)
	if apierrors.IsNotFound(err) {
		if !s.absent {
			in.cfg.Log.Info("there is no such webhook configuration yet", "configuration", s.target.String())
		}
		s.absent, s.wrote = true, nil
		return 0, nil // it sends no reviews, and gets the caBundle when it is made
	}
	if err != nil {
		return 0, explain("reading the "+s.target.String(), err)
	}
	s.absent = false
	if has(c, bundle) {
		s.wrote, s.waiting = bundle, false
		return 0, nil
	}
	reset := s.wrote != nil && certs.SameTrust(s.wrote, bundle)
	if reset {
		if wait := s.restraint.remaining(now); wait > 0 {
			if !s.waiting {
				in.cfg.Log.Warn("somebody reset the caBundle again; it is put back later, and until then the API server "+
					"cannot verify this server", "configuration", s.target.String(), "by", resetBy(c),
					"in", wait.Round(time.Second).String(), "times", s.restraint.count)
			}
			s.waiting = true
			return wait, nil
		}
	}
	patch, err := bundlePatch(c, bundle)
	if err != nil {
		return 0, err
	}
	err = s.api.patch(ctx, s.target.Name, patch)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return 0, errChanged
	}
	if err != nil {
		return 0, explain("writing the caBundle of the "+s.target.String(), err)
	}
	s.wrote, s.waiting = bundle, false
	if !reset {
		in.metrics.writes.WithLabelValues("changed").Inc()
		in.cfg.Log.Info("caBundle written", "configuration", s.target.String())
		return 0, nil
	}
	in.metrics.writes.WithLabelValues("restored").Inc()
	s.restraint.restored(now)
	in.cfg.Log.Warn("somebody reset the caBundle; it is put back", "configuration", s.target.String(),
		"by", resetBy(c), "times", s.restraint.count)
	if s.restraint.tell(now) {
		in.tell(ctx, s, c, now)
	}
	return 0, nil
}

func has(c configuration, bundle []byte) bool {
	for _, h := range c.hooks {
		if !certs.SameTrust(h.caBundle, bundle) {
			return false
		}
	}
	return true
}

// resetBy returns the field manager that owns a caBundle of c and is not us: who wrote another one. Whoever removed it
// owns nothing, and is unknown.
func resetBy(c configuration) string {
	writer, at := "unknown", time.Time{}
	for _, m := range c.ManagedFields {
		if m.Manager == fieldManager || m.FieldsV1 == nil || !strings.Contains(m.FieldsV1.GetRawString(), `"f:caBundle"`) {
			continue
		}
		if m.Time != nil && !m.Time.Time.Before(at) {
			writer, at = m.Manager, m.Time.Time
		}
	}
	return writer
}

// tell makes an Event of it. Nothing depends on it: one that cannot be made is logged.
func (in *injector) tell(ctx context.Context, s *injected, c configuration, now time.Time) {
	message := fmt.Sprintf("Somebody (field manager: %s) reset the caBundle, and Truce put it back, %d times in %s. From now "+
		"on Truce waits longer and longer, up to %s; until then the API server cannot verify Truce, and failurePolicy "+
		"decides. Tell that tool to ignore webhooks[].clientConfig.caBundle: docs/certificates.md says how. "+
		"The API server's audit log tells which tool it is.",
		resetBy(c), s.restraint.count, now.Sub(s.restraint.first).Round(time.Second), longestWait)
	stamp := metav1.NewTime(now)
	event := &corev1.Event{
		// Events about what is in no namespace go there.
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "truce-cabundle-"},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "admissionregistration.k8s.io/v1", Kind: s.target.kind(), Name: s.target.Name, UID: c.UID,
			ResourceVersion: c.ResourceVersion,
		},
		Type: corev1.EventTypeWarning, Reason: "CABundleReset", Message: message,
		Source:         corev1.EventSource{Component: "truce"},
		FirstTimestamp: stamp, LastTimestamp: stamp, Count: 1,
		ReportingController: "truce.dev/webhook", ReportingInstance: in.cfg.Identity,
	}
	_, err := in.cfg.Client.CoreV1().Events(metav1.NamespaceDefault).Create(ctx, event, metav1.CreateOptions{})
	if err != nil {
		in.cfg.Log.Warn("no Event made", "configuration", s.target.String(), "error", explain("making an Event", err))
	}
}
