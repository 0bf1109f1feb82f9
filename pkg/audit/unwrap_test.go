package audit_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/truce-dev/truce/pkg/audit"
)

// What managed clouds export tells the same as the event that it was made of.
func TestCloudsWrapEvents(t *testing.T) {
	type told struct {
		User, Verb, Resource, Group, Subresource, Namespace, Name string
		Code                                                      int
		Level, Agent, Response                                    string
	}
	want := told{
		User: "system:serviceaccount:argocd:argocd-application-controller", Verb: "patch", Resource: "deployments", Group: "apps",
		Namespace: "shop", Name: "web", Code: 200, Level: "RequestResponse", Agent: "argocd-application-controller/v3.1",
		Response: `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","namespace":"shop","resourceVersion":"12"},"spec":{"replicas":3}}`,
	}
	for _, name := range []string{
		"cloudwatch-filter-log-events.json", "cloudwatch-s3-export.txt", "cloudwatch-subscription.json",
		"cloud-logging-sink.jsonl", "cloud-logging-read.json", "azure-storage.jsonl", "azure-event-hub.json",
		"azure-aksaudit.jsonl", "container.log", "docker.jsonl",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/clouds", name))
			if err != nil {
				t.Fatal(err)
			}
			in := input(t, string(text))
			n := 0
			err = in.Ordered(context.Background(), func(*audit.Event) bool { return true }, func(e *audit.Event) {
				if n++; string(e.Verb) != "patch" {
					return
				}
				got := told{
					string(e.User()), string(e.Verb), string(e.Object.Resource), string(e.Object.Group), string(e.Object.Subresource),
					string(e.Object.Namespace), string(e.Object.Name), e.Code, string(e.Level), string(e.UserAgent), "",
				}
				var response map[string]any
				if err := json.Unmarshal(e.Response(), &response); err != nil {
					t.Fatalf("%v: %s", err, e.Response())
				}
				delete(response, "@type")
				var wanted map[string]any
				_ = json.Unmarshal([]byte(want.Response), &wanted)
				if diff := cmp.Diff(wanted, response); diff != "" {
					t.Errorf("response (-want +got):\n%s", diff)
				}
				got.Response = want.Response
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("event (-want +got):\n%s", diff)
				}
				if at := e.Done.Time().Format("2006-01-02T15:04:05.000"); at != "2025-01-01T00:00:01.500" {
					t.Errorf("it was done at %s", at)
				}
			})
			if err != nil || n != 2 || in.Problems.Count() > 0 {
				t.Errorf("%d events, want 2: %v %s", n, err, in.Problems.String())
			}
		})
	}
}

// A log entry of something else in the same export is counted as foreign.
func TestCloudsExportOtherThingsToo(t *testing.T) {
	in := input(t, `{"protoPayload":{"serviceName":"compute.googleapis.com","methodName":"v1.compute.instances.insert"},"timestamp":"2025-01-01T00:00:00Z"}`+"\n"+
		`{"category":"kube-apiserver","properties":{"log":"I0101 00:00:00.000000 1 httplog.go:132] ok"}}`+"\n"+event(1)+"\n")
	if got := ids(t, in); len(got) != 1 || in.Problems.Count() != 2 {
		t.Errorf("%v, %s", got, in.Problems.String())
	}
}

// In an EventList as an API server posts it, events do not say of what kind they are: the list does.
func TestEventsOfAListThatDoNotSayWhatTheyAre(t *testing.T) {
	one := strings.Replace(event(1), `"kind":"Event","apiVersion":"audit.k8s.io/v1",`, "", 1)
	list := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + one + `,` + strings.Replace(one, `"auditID":"1"`, `"auditID":"2"`, 1) + `]}`
	in := input(t, list)
	if got := ids(t, in); !slices.Equal(got, []string{"1", "2"}) || in.Problems.Count() > 0 {
		t.Errorf("%v %s", got, in.Problems.String())
	}
	in = input(t, `{"items":[{"auditID":"1"},{"auditID":"1","stage":"ResponseComplete","level":"Metadata","apiVersion":"v1"}]}`)
	if got := ids(t, in); len(got) > 0 || in.Problems.Count() == 0 {
		t.Errorf("what is no event: %v", got)
	}
}
