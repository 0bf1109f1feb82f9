package admission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	admissionv1 "k8s.io/api/admission/v1"
)

// seen is an Observer that counts.
type seen struct {
	mu                          sync.Mutex
	reviewed, refused, panicked int
	status                      int
}

func (s *seen) Reviewed(Phase, *Response, time.Duration) { s.mu.Lock(); s.reviewed++; s.mu.Unlock() }
func (s *seen) Refused(_ Phase, status int) {
	s.mu.Lock()
	s.refused++
	s.status = status
	s.mu.Unlock()
}
func (s *seen) Panicked(Phase, any, []byte) { s.mu.Lock(); s.panicked++; s.mu.Unlock() }

func handlerFor(h *hand) (*Handler, *seen) {
	s := &seen{}
	return &Handler{Guard: h.guard, Phase: Validating, Observer: s, Now: func() time.Time { return h.now }}, s
}

func post(handler http.Handler, contentType string, body io.Reader) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/validate", body)
	req.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	return w
}

// allowed reads an answer, which must be a whole AdmissionReview.
func allowed(t *testing.T, w *httptest.ResponseRecorder) bool {
	t.Helper()
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || review.Response == nil || review.Response.UID == "" {
		t.Fatalf("not a whole answer: %s", w.Body)
	}
	return review.Response.Allowed
}

func TestWhatIsNoReviewIsAnHTTPErrorAndNeverADenial(t *testing.T) {
	h := newHand(t, policyWith("Reject")).by("red", "red")
	good := string(h.body(h.annotation("a"), h.annotation("b")))
	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	for _, c := range []struct {
		name, contentType string
		body              io.Reader
		status            int
		says              string
	}{
		{"no content type", "", strings.NewReader(good), 415, "must be application/json"},
		{"another content type", "text/plain", strings.NewReader(good), 415, `"text/plain"`},
		{"a broken content type", "application/json; x", strings.NewReader(good), 415, "must be application/json"},
		{"nothing", "application/json", strings.NewReader(""), 400, ""},
		{"no JSON", "application/json", strings.NewReader("hello"), 400, ""},
		{"a list", "application/json", strings.NewReader("[]"), 400, ""},
		{"nested too deeply", "application/json", strings.NewReader(deep), 400, ""},
		{"an object nested too deeply", "application/json", strings.NewReader(
			strings.Replace(good, `"dryRun":false`, `"dryRun":false,"x":`+deep, 1)), 400, ""},
		{"no request", "application/json", strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), 400, "request"},
		{"a null request", "application/json", strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}`), 400, "request"},
		{"no uid", "application/json", strings.NewReader(strings.Replace(good, `"uid":"review-1"`, `"uid":""`, 1)), 400, "uid"},
		{"another kind", "application/json", strings.NewReader(strings.Replace(good, `"AdmissionReview"`, `"Pod"`, 1)), 400, "kind"},
		{"another version", "application/json", strings.NewReader(strings.Replace(good, `admission.k8s.io/v1"`, `admission.k8s.io/v1beta1"`, 1)), 400, "apiVersion"},
		{"an object that is none", "application/json", strings.NewReader(
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"UPDATE","resource":{"resource":"pods"},"object":[1],"oldObject":{}}}`), 400, "object"},
		{"too much, as announced", "application/json", bytes.NewReader(make([]byte, MaxBody+1)), 413, "larger than"},
		{"too much, unannounced", "application/json", io.MultiReader(bytes.NewReader(make([]byte, MaxBody)), strings.NewReader("x")), 413, "larger than"},
		{"a client that goes away", "application/json", io.MultiReader(strings.NewReader(good[:100]), failing{}), 400, "reading the body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler, s := handlerFor(h)
			w := post(handler, c.contentType, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || !strings.HasPrefix(w.Body.String(), "truce: ") {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body.String()[:min(200, w.Body.Len())], c.status, c.says)
			}
			if s.refused != 1 || s.status != c.status || s.reviewed != 0 {
				t.Errorf("observed %d refusals (%d), %d reviews", s.refused, s.status, s.reviewed)
			}
			if w := post(handler, "application/json; charset=utf-8", strings.NewReader(good)); w.Code != 200 || !allowed(t, w) {
				t.Errorf("the next review: %d %s", w.Code, w.Body)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestOnlyPOST(t *testing.T) {
	handler, _ := handlerFor(newHand(t, policyWith("Reject")))
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, "/validate", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestAReviewCutShortAnywhereIsRefused(t *testing.T) {
	h := newHand(t, policyWith("Reject")).by("red", "red")
	handler, _ := handlerFor(h)
	good := h.body(h.annotation("a"), h.annotation("b"))
	for n := range good {
		if w := post(handler, "application/json", bytes.NewReader(good[:n])); w.Code != 400 {
			t.Fatalf("cut after %d of %d bytes: %d %s", n, len(good), w.Code, w.Body)
		}
	}
}

func TestOddReviewsThatPass(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(string) string
	}{
		{"unknown members", func(s string) string {
			return strings.Replace(s, `"dryRun":false`, `"dryRun":false,"news":[{"x":1}]`, 1)
		}},
		{"duplicate keys", func(s string) string { return strings.Replace(s, `"dryRun":false`, `"dryRun":true,"dryRun":false`, 1) }},
		{"duplicate keys in the object", func(s string) string { return strings.Replace(s, `"other":"x"`, `"other":"y","other":"x"`, 2) }},
		{"invalid UTF-8", func(s string) string { return strings.ReplaceAll(s, `"other":"x"`, "\"other\":\"\xff\xfe\"") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, policyWith("Reject")).by("red", "red")
			handler, _ := handlerFor(h)
			good := string(h.body(h.annotation("a"), h.annotation("b")))
			body := c.edit(good)
			if body == good {
				t.Fatal("the case changes nothing")
			}
			if w := post(handler, "application/json", strings.NewReader(body)); w.Code != 200 || !allowed(t, w) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestLargeReviewsAreBounded(t *testing.T) {
	h := newHand(t, policyWith("Reject")).by("red", "red")
	handler, _ := handlerFor(h)
	annotations := func(v string) map[string]any {
		all := map[string]any{}
		for i := range 100_000 {
			all[fmt.Sprintf("key-%06d", i)] = v
		}
		return h.object(map[string]any{"metadata": map[string]any{"annotations": all}})
	}
	many := h.body(annotations("a"), annotations("b"))
	large := h.body(h.object(map[string]any{"data": map[string]any{"x": strings.Repeat("a", 3<<20)}}),
		h.object(map[string]any{"data": map[string]any{"x": strings.Repeat("b", 3<<20)}}))
	for name, body := range map[string][]byte{"100,000 annotations": many, "a 3 MiB object": large} {
		if w := post(handler, "application/json", bytes.NewReader(body)); w.Code != 200 || !allowed(t, w) {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if n := h.guard.store.Len(); n != 1 {
		t.Errorf("%d objects remembered", n)
	}
}

func TestAPanicIsAnInternalErrorAndHarmsNobodyElse(t *testing.T) {
	h := newHand(t, policyWith("Reject")).by("red", "red")
	handler, s := handlerFor(h)
	broken := &Handler{Phase: Validating, Observer: s, Now: time.Now} // no Guard
	body := h.body(h.annotation("a"), h.annotation("b"))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 50 {
				if w := post(broken, "application/json", bytes.NewReader(body)); w.Code != 500 || strings.Contains(w.Body.String(), "allowed") {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				if w := post(handler, "application/json", bytes.NewReader(body)); w.Code != 200 || !strings.Contains(w.Body.String(), `"allowed":true`) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wait.Wait()
	if s.panicked != 200 || s.reviewed != 200 {
		t.Errorf("%d panics, %d reviews", s.panicked, s.reviewed)
	}
}

func TestConcurrentReviewsOfManyObjects(t *testing.T) {
	h := newHand(t, policyWith("Reject"))
	handler, _ := handlerFor(h)
	bodies := make([][]byte, 64)
	for i := range bodies {
		h.name, h.uid = fmt.Sprint("web-", i%16), fmt.Sprint("uid-", i%16)
		bodies[i] = h.by("red", "red").body(h.annotation("a"), h.annotation(fmt.Sprint(i)))
	}
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := range bodies {
				if got := post(handler, "application/json", bytes.NewReader(bodies[(i*7+w)%len(bodies)])); got.Code != 200 {
					t.Errorf("%d %s", got.Code, got.Body)
				}
			}
		})
	}
	wait.Wait()
	if n := h.guard.store.Len(); n != 16 {
		t.Errorf("%d objects remembered, want 16", n)
	}
}
