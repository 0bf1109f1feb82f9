package policy

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What default.yaml writes out is what a file that leaves it out gets.
func TestTheDefaultPolicyShowsTheDefaults(t *testing.T) {
	shown, left := Default().File, load(t, "rules: [{name: everything}]").File
	if diff := cmp.Diff(presetNames(), left.Presets); diff != "" {
		t.Errorf("presets (-want +got):\n%s", diff)
	}
	names := []string{}
	for _, l := range shown.LookAlikes {
		names = append(names, l.Name)
	}
	if diff := cmp.Diff(left.Presets, names); diff != "" {
		t.Errorf("default.yaml defines other look-alikes (-want +got):\n%s", diff)
	}
	left.Presets, shown.Presets, shown.LookAlikes = nil, nil, nil
	if len(shown.Rules) != 1 {
		t.Fatalf("default.yaml has %d rules", len(shown.Rules))
	}
	shown.Rules[0].Match.ExcludeResources, shown.Rules[0].Match.ExcludeFields = nil, nil
	if diff := cmp.Diff(left, shown); diff != "" {
		t.Errorf("default.yaml shows other values (-default +shown):\n%s", diff)
	}
}

// The file is shared between callers of Default, so that the test above must not have changed it.
func TestDefaultYAMLIsACopy(t *testing.T) {
	a := DefaultYAML()
	a[0]++
	if bytes.Equal(a, DefaultYAML()) {
		t.Error("a caller can change it")
	}
	s := Schema()
	s[0]++
	if bytes.Equal(s, Schema()) {
		t.Error("a caller can change the schema")
	}
}

func TestDefaults(t *testing.T) {
	f := load(t, "rules: [{name: a}]").File
	count := func(n int) *int { return &n }
	want := File{
		APIVersion: APIVersion, Kind: Kind, Mode: Warn,
		History: History{Objects: 200_000, FieldsPerObject: 64, StatesPerField: 12, WritersPerObject: 16, Memory: 48 * hour},
		People:  defaultPeople(),
		Presets: presetNames(),
		Rules: []Rule{{
			Name:  "a",
			Match: Match{Resources: []string{"*"}, Namespaces: []string{"*"}, Fields: []string{"**"}},
			Detect: Detect{
				Reversals:       CountWithin{count(3), 2 * minute},
				SlowReversals:   Count{count(4)},
				PeopleReversals: CountWithin{count(5), hour},
				SelfReversals:   CountWithin{count(8), minute},
				OwnerReversals:  Count{count(3)},
				Alternations:    CountWithin{count(10), 10 * minute},
				Loops:           CountWithin{count(20), 10 * second},
			},
			Action:   ActionThrottle,
			Throttle: Throttle{Every: minute, Burst: 1},
			Truce:    Truce{Length: 5 * minute, Max: hour},
			Values:   ValuesHidden,
		}},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDefaultsFollowWhatIsGiven(t *testing.T) {
	p, err := LoadFile("testdata/working_short_memory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := p.File.Rules[0].Detect
	for name, got := range map[string]Duration{
		"reversals": d.Reversals.Within, "people": d.PeopleReversals.Within, "self": d.SelfReversals.Within, "alternations": d.Alternations.Within,
	} {
		if got != minute {
			t.Errorf("%s look back %s, further than memory", name, got)
		}
	}
	if got := d.Loops.Within; got != 10*second {
		t.Errorf("loops: got %s, want the default", got)
	}
	if got, want := p.File.Rules[0].Truce, (Truce{Length: 30 * second, Max: 30 * second}); got != want {
		t.Errorf("a max shorter than the default length: got %+v", got)
	}
	if got, want := p.File.Rules[1].Truce, (Truce{Length: 2 * hour, Max: 2 * hour}); got != want {
		t.Errorf("a length longer than the default max: got %+v", got)
	}
}

func TestACountOfZeroIsKept(t *testing.T) {
	f := load(t, "rules: [{name: a, detect: {ownerReversals: {count: 0}, loops: {count: 0}}}]").File
	d := f.Rules[0].Detect
	if *d.OwnerReversals.Count != 0 || *d.Loops.Count != 0 {
		t.Errorf("got %d and %d", *d.OwnerReversals.Count, *d.Loops.Count)
	}
}

func TestPeople(t *testing.T) {
	for _, c := range []struct {
		name, people  string
		user, manager string
		want          Hand
	}{
		{"a user of single sign-on", "", "jane@example.com", "", Person},
		{"a script with kubectl", "", "system:serviceaccount:ci:deployer", "kubectl-client-side-apply", Script},
		{"the browser", "", "jane", "Mozilla", Person},
		{"k9s", "", "jane", "k9s", Person},
		{"helm by hand", "", "maria", "helm", Person},
		{"Flux's helm-controller", "", "system:serviceaccount:flux-system:helm-controller", "helm-controller", Machine},
		{"Flux's command line", "", "jane", "flux", Person},
		{"Flux's operator", "", "system:serviceaccount:flux-system:flux-operator", "flux-operator", Machine},
		{"a controller", "", "system:serviceaccount:argocd:argocd-application-controller", "argocd-controller", Machine},
		{"a controller without a manager", "", "system:kube-controller-manager", "", Machine},
		{"a kubelet", "", "system:node:worker-1", "", Machine},
		{"a service account of Google Cloud", "", "deployer@shop.iam.gserviceaccount.com", "Terraform", Machine},
		{"the one that Google's machines have by default", "", "1234-compute@developer.gserviceaccount.com", "", Machine},
		{"a federated workload of Google Cloud", "", "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/subject/x@y", "", Machine},
		{"a federated person of Google Cloud", "", "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/jane@example.com", "", Person},
		{"a workflow of GitHub", "", "octo/shop/.github/workflows/deploy.yml@refs/heads/main", "", Machine},
		{"a session of AWS single sign-on", "", "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin/jane@example.com", "", Person},
		{"a role of AWS", "", "arn:aws:sts::111122223333:assumed-role/deployer/i-0123456789abcdef0", "", Machine},
		{"a managed identity of Azure", "", "7a1a3c3e-52f4-4e0d-9bd0-5f6b1a3f0c11", "", Machine},
		{"a script with kubectl that runs as a service account of Google Cloud", "", "deployer@shop.iam.gserviceaccount.com", "kubectl", Script},
		{"a robot that is excluded by name", "people: {users: ['*@*'], excludeUsers: [jenkins@example.com]}", "jenkins@example.com", "", Machine},
		{"the robot's colleague", "people: {users: ['*@*'], excludeUsers: [jenkins@example.com]}", "jane@example.com", "", Person},
		{"nobody", "people: {}", "jane@example.com", "kubectl", Machine},
		{"others than the default", "people: {users: [jane]}", "jane", "", Person},
		{"not the default any more", "people: {users: [jane]}", "bob@example.com", "kubectl", Machine},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := load(t, c.people+"\nrules: [{name: a}]").Hand(c.user, c.manager, nil); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		back string
	}{
		{"90s", 90 * time.Second, "1m30s"},
		{"5m", 5 * time.Minute, "5m"},
		{"48h", 48 * time.Hour, "48h"},
		{"7d", 7 * 24 * time.Hour, "168h"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"1h0m5s", time.Hour + 5*time.Second, "1h0m5s"},
		{"1h5m", time.Hour + 5*time.Minute, "1h5m"},
		{"1.5s", 1500 * time.Millisecond, "1.5s"},
		{"10ms", 10 * time.Millisecond, "10ms"},
		{"+1s", time.Second, "1s"},
		{"0d1s", time.Second, "1s"},
		{"1000d", 24000 * time.Hour, "24000h"},
	} {
		var got Duration
		if err := got.UnmarshalText([]byte(c.text)); err != nil || time.Duration(got) != c.want {
			t.Errorf("%s: got %v, %v", c.text, got, err)
		}
		if text, err := got.MarshalText(); err != nil || string(text) != c.back {
			t.Errorf("%s: printed as %s, %v, want %s", c.text, text, err, c.back)
		}
	}
	for text, want := range map[string]string{
		"":                     "`` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"5":                    "`5` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"d":                    "`d` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"-1d":                  "`-1d` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"1d-1h":                "must be longer than zero",
		"1d1":                  "`1d1` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"0s":                   "must be longer than zero",
		"0d":                   "must be longer than zero",
		"-1s":                  "must be longer than zero",
		"1001d":                "`1001d` is too long",
		"24001h":               "`24001h` is too long",
		"99999999999999999d":   "`99999999999999999d` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"9999999999999999h":    "`9999999999999999h` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"1d2d":                 "`1d2d` is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
		"one minute or so\n\n": "\"one minute or so\\n\\n\" is not a duration; write it as `90s`, `5m`, `48h` or `7d`",
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil || err.Error() != want || d != 0 {
			t.Errorf("%q: got %v, %v, want %s", text, d, err, want)
		}
	}
}
