package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func answer(status int, header, value string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
	}
}

func TestWhatCanSucceedIsRepeated(t *testing.T) {
	tests := []struct {
		status int
		again  bool
	}{
		{200, false}, {202, false}, {204, false},
		{301, false}, {302, false}, {307, false}, {400, false}, {401, false}, {403, false}, {404, false}, {410, false}, {413, false},
		{408, true}, {425, true}, {429, true},
		{500, true}, {502, true}, {503, true}, {504, true}, {501, false}, {505, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			s := newScene(t, plainReceiver)
			s.receiver.set(answer(test.status, "", ""))
			s.register.start(s.now, "web")
			s.pass(10 * time.Minute)
			n := len(s.receiver.take(t))
			if again := n > 1; again != test.again {
				t.Errorf("posted %d times", n)
			}
			if n > 12 {
				t.Errorf("posted %d times in ten minutes: that is no backoff", n)
			}
			result := resultFailed
			switch {
			case test.again:
				result = resultRetried
			case test.status < 300:
				result = resultSent
			}
			if got := s.count("http", result); got != float64(n) {
				t.Errorf("%v counted as %s, want %d", got, result, n)
			}
		})
	}
}

func TestRetryAfterIsObeyedUpToACap(t *testing.T) {
	tests := []struct {
		name, value string
		wait        time.Duration
	}{
		{"seconds", "90", 90 * time.Second},
		{"a date", noon.Add(4*time.Second + 2*time.Minute).Format(http.TimeFormat), 2 * time.Minute},
		{"a day", "86400", retryAfterMax},
		{"more seconds than there are", "99999999999999999999", 0},
		{"a date far away", noon.AddDate(1, 0, 0).Format(http.TimeFormat), retryAfterMax},
		{"the past", noon.AddDate(-1, 0, 0).Format(http.TimeFormat), 0},
		{"nonsense", "soon", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.wait == 0 {
				if got := retryAfter(test.value, noon); got != 0 {
					t.Errorf("got %v", got)
				}
				return
			}
			s := newScene(t, plainReceiver)
			s.receiver.set(answer(429, "Retry-After", test.value))
			s.register.start(s.now, "web")
			s.pass(4 * time.Second)
			s.want("Started 1")
			s.receiver.set(nil)
			s.pass(test.wait - 2*time.Second)
			s.want()
			s.pass(3 * time.Second)
			s.want("Started 1")
		})
	}
}

func TestAReceiverThatWasGoneIsToldHowThingsStand(t *testing.T) {
	s := newScene(t, plainReceiver)
	s.receiver.set(answer(503, "", ""))
	s.register.start(s.now, "a")
	s.register.start(s.now, "b")
	s.register.start(s.now, "over", "green", "blue")
	s.pass(10 * time.Minute)
	s.receiver.take(t)
	s.register.start(s.now, "c")
	s.register.end(s.now, "over")
	s.pass(10 * time.Minute)
	s.receiver.take(t)
	s.receiver.set(nil)
	s.pass(6 * time.Minute)
	got := map[Phase]int{}
	for _, m := range s.receiver.take(t) {
		got[m.Phase] += len(m.Groups[0].Fights)
	}
	if len(got) != 2 || got[Started] != 3 || got[Ended] != 1 {
		t.Errorf("fights that were told, by phase: %v", got)
	}
}

func TestWhatNobodyCouldBeToldOfIsDroppedAfterAnHour(t *testing.T) {
	s := newScene(t, plainReceiver)
	s.receiver.set(answer(503, "", ""))
	s.register.start(s.now, "web")
	s.pass(time.Minute)
	s.register.end(s.now, "web")
	s.pass(owed - 2*time.Second)
	if n := len(s.notifier.teller[0].tracker.groups); n != 1 {
		t.Errorf("%d groups kept", n)
	}
	s.pass(10 * time.Minute)
	if n := len(s.notifier.teller[0].tracker.groups); n != 0 || s.count("http", resultDropped) != 1 {
		t.Errorf("%d groups kept, %v dropped", n, s.count("http", resultDropped))
	}
}

// A receiver that never answers costs its own messages and nothing else.
func TestASlowReceiverKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "receivers:\n- name: slow\n  http: {url: 'https://slow.example/'}\n- name: fast\n  http: {url: 'https://fast.example/'}\n")
		for _, teller := range s.notifier.teller {
			teller.o.Now = time.Now
		}
		told := make(chan time.Time, 100)
		tried := 0
		s.receiver.set(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Host == "slow.example" {
				s.receiver.mu.Lock()
				tried++
				s.receiver.mu.Unlock()
				<-r.Context().Done()
				return
			}
			told <- time.Now()
		})
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			s.notifier.Run(ctx)
			close(stopped)
		}()
		begin := time.Now()
		s.register.start(begin, "web")
		if d := (<-told).Sub(begin); d > 5*time.Second {
			t.Errorf("the fast receiver was told after %v", d)
		}
		<-time.After(5 * time.Minute)
		s.receiver.mu.Lock()
		n := tried
		s.receiver.mu.Unlock()
		if n < 2 || n > 12 {
			t.Errorf("the slow one was tried %d times in five minutes", n)
		}
		cancel()
		begin = time.Now()
		<-stopped
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %v to stop", d)
		}
	})
}

// The same on a real connection.
func TestAReceiverOnTheNetwork(t *testing.T) {
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	release := make(chan struct{})
	tests := []struct {
		name   string
		url    string
		answer func(http.ResponseWriter, *http.Request)
		want   string
		again  bool
	}{
		{"takes it", server.URL, nil, "", false},
		{"refuses it", server.URL, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "invalid_blocks", http.StatusBadRequest) },
			"answered 400: invalid_blocks", false},
		{"cuts the connection", server.URL, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", true},
		{"sends it elsewhere", server.URL, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		},
			"answered 302", false},
		{"answers without end", server.URL, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "answered 500", true},
		{"is slow", server.URL, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}, "deadline exceeded", true},
		{"is not there", "http://127.0.0.1:1", nil, "connection refused", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r.set(test.answer)
			ctx := t.Context()
			if test.name == "is slow" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			m := stories()["started"]
			to := target{"http", place{url: test.url + "/hook/T0P-s3cret"}, chat(asJSON), false}
			f := to.post(ctx, newClient(nil), &m, noon)
			if test.want == "" {
				if f != nil {
					t.Fatal(f)
				}
				return
			}
			if f == nil || !strings.Contains(f.Error(), test.want) || f.again != test.again {
				t.Fatalf("got %+v, want %q, again %v", f, test.want, test.again)
			}
			if strings.Contains(f.Error(), "s3cret") {
				t.Errorf("the URL shows: %v", f)
			}
		})
	}
	close(release)
}

// leaky is a transport whose errors hold all it knows.
type leaky struct{}

func (leaky) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s %s %s %v", r.URL, r.URL.Path, r.URL.RequestURI(), r.Header)
}

func TestNoSecretIsLogged(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const urlSecret, password, query, token = "T024-B01-x5h8UrlS3cret", "p4ssw0rd-s3cret", "qu3ry-s3cret", "t0ken-s3cret"
	link := "https://user:" + password + "@hooks.example/services/" + urlSecret + "?sig=" + query
	good := write("url", link+"\n")
	header := write("token", "Bearer "+token+"\n")
	echo := func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.RequestURI()+" "+r.Header.Get("Authorization")+" "+link, http.StatusBadRequest)
	}
	tests := []struct {
		name, urlFile, tokenFile string
		transport                http.RoundTripper
		logged                   string
	}{
		{"errors of the transport", good, header, leaky{}, "cannot be notified"},
		{"errors of the real transport", write("nowhere", strings.Replace(link, "hooks.example", "127.0.0.1:1", 1)), header, nil, "connection refused"},
		{"what the receiver answers", good, header, direct{http.HandlerFunc(echo)}, "answered 400"},
		{"no URL", write("broken", "https://hooks.example:port/"+urlSecret), header, leaky{}, "is no URL"},
		{"another scheme", write("scheme", "ftp://hooks.example/"+urlSecret), header, leaky{}, "is no URL"},
		{"a header that cannot be", good, write("lines", "Bearer "+token+"\r\nX: "+token), leaky{}, "a character that a header cannot have"},
		{"no file", filepath.Join(dir, "gone"), header, leaky{}, "no such file"},
		{"an empty file", write("empty", "\n"), header, leaky{}, "is empty"},
		{"a huge file", write("huge", strings.Repeat(urlSecret, 1000)), header, leaky{}, "is longer than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, fmt.Sprintf("receivers:\n- name: r\n  http: {urlFile: %q, headers: [{name: Authorization, valueFile: %q}]}\n",
				test.urlFile, test.tokenFile))
			teller := s.notifier.teller[0]
			teller.client = newClient(test.transport)
			s.register.start(s.now, "web")
			s.pass(5 * time.Second)
			log := s.log.String()
			if !strings.Contains(log, test.logged) {
				t.Errorf("the log lacks %q: %s", test.logged, log)
			}
			for _, secret := range []string{urlSecret, password, query, token} {
				if strings.Contains(log, secret) || strings.Contains(log, url.QueryEscape(secret)) {
					t.Errorf("%s is in the log: %s", secret, log)
				}
			}
		})
	}
}

func TestASecretThatWasExchangedIsInUseAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "url")
	p := place{urlFile: path}
	if _, _, err := p.read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte("https://"+name+".example/\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		to, _, err := p.read()
		if err != nil || to.url.Host != name+".example" {
			t.Errorf("got %v, %v", to.url, err)
		}
	}
}
