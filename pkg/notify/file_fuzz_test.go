package notify

import (
	"net/http"
	"testing"
)

// Whatever a file says, reading it ends, and what it takes for good makes messages.
func FuzzLoad(f *testing.F) {
	f.Add(head + plainReceiver)
	f.Add(head + "receivers:\n- name: a\n  slack: {urlFile: x}\n  fights: {namespaces: ['a*'], every: 1h}\n  changes: {resources: ['*.apps']}\n")
	f.Add(head + "receivers:\n- name: a\n  http: {url: 'http://a', body: '{\"a\": {{json .Groups}}}'}\n")
	f.Add(head + "receivers:\n- name: a\n  cloudEvents: {url: 'http://a', source: 'a b', headers: [{name: a, value: b}]}\n")
	f.Add(head + "receivers:\n- name: a\n  http: {url: 'http://a', contentType: a, body: '{{range 999999999}}{{range 99999999}}{{end}}{{end}}'}\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Load([]byte(text), "notify.yaml")
		if err != nil {
			return
		}
		for i := range file.Receivers {
			to, err := newTarget(&file.Receivers[i], file.Cluster)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range samples() {
				r, _ := http.NewRequest(http.MethodPost, "https://receiver.example/", nil)
				if err := to.format.fill(r, &m); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
