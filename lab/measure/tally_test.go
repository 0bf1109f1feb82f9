package measure

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/truce-dev/truce/pkg/registration"
)

func TestTally(t *testing.T) {
	version := func(rv string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{ResourceVersion: rv}}
	}
	denial := `admission webhook "` + registration.ValidatingName + `" denied the request: truce: fought over`
	accounts := schema.GroupResource{Resource: "serviceaccounts"}
	throttled := apierrors.NewTooManyRequestsError(denial)
	rejected := apierrors.NewForbidden(accounts, "checkout", errors.New(denial))
	foreign := apierrors.NewForbidden(accounts, "checkout", errors.New("no role"))
	busy := apierrors.NewTooManyRequestsError("the server is busy")
	conflict := apierrors.NewConflict(accounts, "checkout", errors.New("modified"))

	tl, sent := &Tally{}, version("7")
	tl.Wrote(sent, version("8"), nil)
	tl.HandleWarningHeader(299, "", "truce: 3 reversals: others will be throttled")
	tl.Wrote(sent, version("9"), nil)
	tl.HandleWarningHeader(299, "", "truce: 14 reversals: others will be throttled")
	tl.Wrote(sent, version("7"), nil)
	transient := []error{
		busy, apierrors.NewTimeoutError("request did not complete", 1), apierrors.NewServerTimeout(accounts, "update", 1),
		&url.Error{Op: "Put", Err: context.DeadlineExceeded}, apierrors.NewInternalError(errors.New("etcdserver: request timed out")),
	}
	for _, err := range append([]error{throttled, rejected, conflict, foreign}, transient...) {
		tl.Wrote(sent, nil, err)
	}

	want := Writes{Attempted: 12, Stored: 2, Held: 1, Denied: 2, Conflicts: 1, Busy: 5, Failed: 1, Failure: foreign}
	if diff := cmp.Diff(want, tl.Now(), cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	var texts []string
	for _, told := range tl.Untold() {
		texts = append(texts, told.Text)
	}
	if diff := cmp.Diff([]string{"truce: 3 reversals: others will be throttled", throttled.Error(), rejected.Error()}, texts); diff != "" {
		t.Errorf("told for the first time (-want +got):\n%s", diff)
	}
	if again := tl.Untold(); len(again) != 0 {
		t.Errorf("told for the first time, again: %v", again)
	}
}
