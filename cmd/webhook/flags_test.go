package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/certs/incluster"
	"github.com/truce-dev/truce/pkg/policy"
)

func mustParse(t *testing.T, args ...string) Config {
	t.Helper()
	var stdout buffer
	cfg, done, err := parseFlags(args, &stdout)
	if err != nil {
		t.Fatal(err)
	}
	if done || stdout.String() != "" {
		t.Fatalf("done %t, stdout %q", done, stdout.String())
	}
	return cfg
}

var configs = cmp.Options{
	cmp.AllowUnexported(Config{}, address{}, policySource{}, inClusterConfig{}, reportConfig{}),
	cmpopts.EquateComparable(netip.Addr{}),
}

func TestFlagDefaults(t *testing.T) {
	want := Config{
		listen: address{"", 9443}, opsListen: address{"127.0.0.1", 8081},
		logLevel: slog.LevelInfo, logFormat: formatJSON,
		shutdownDelay: 5 * time.Second, shutdownTimeout: 20 * time.Second,
		report: reportConfig{
			events: true, metricsAuth: true, watch: true, journalAge: 7 * 24 * time.Hour, journalSize: 256 << 20,
		},
	}
	got := mustParse(t)
	for _, host := range []string{"localhost"} {
		if !slices.Contains(got.selfHosts.DNS, host) {
			t.Errorf("the certificate is not for %s: %v", host, got.selfHosts)
		}
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		if !slices.Contains(got.selfHosts.IPs, netip.MustParseAddr(ip)) {
			t.Errorf("the certificate is not for %s: %v", ip, got.selfHosts)
		}
	}
	got.selfHosts = certs.Hosts{}
	if diff := cmp.Diff(want, got, configs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFlags(t *testing.T) {
	want := Config{
		policy:      policySource{path: "p.yaml", mode: policy.Enforce},
		selfCertDir: "own",
		selfHosts:   certs.Hosts{DNS: []string{"truce.svc"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		listen:      address{"0.0.0.0", 0}, opsListen: address{"", 65535},
		logLevel: slog.LevelDebug, logFormat: formatConsole,
		shutdownTimeout: time.Minute, checkConfig: true, kubeconfig: "kc",
		report: reportConfig{
			opsTLS: true, topFights: 100, valueKey: "key", journal: "j", journalAge: time.Hour, journalSize: 16 << 20,
			notify:       "n.yaml",
			notifyClaims: types.NamespacedName{Namespace: "truce-system", Name: "claims"},
		},
	}
	got := mustParse(t, "--policy", "p.yaml", "--mode=Enforce", "--self-cert-dir", "own",
		"--self-cert-hosts", "truce.svc,10.0.0.1", "--listen", "0.0.0.0:0", "--ops-listen", ":65535",
		"--log-level", "debug", "--log-format", "console", "--shutdown-delay", "0s", "--shutdown-timeout", "1m",
		"--check-config", "--kubeconfig=kc", "--ops-tls", "--top-fights=100", "--value-key=key", "--events=false",
		"--metrics-auth=false", "--watch=false", "--journal-dir=j", "--journal-age=1h", "--journal-size=16Mi",
		"--notify=n.yaml", "--notify-claims=truce-system/claims")
	if diff := cmp.Diff(want, got, configs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := mustParse(t, "--cert-dir", "theirs").certDir; got != "theirs" {
		t.Errorf("certificate directory %q", got)
	}
	at := netip.MustParseAddr("192.0.2.7")
	if got := mustParse(t, "--listen", "192.0.2.7:443").selfHosts; !slices.Contains(got.IPs, at) {
		t.Errorf("the certificate is for %v, not for the address it is served at", got)
	}
}

func TestFlagsOfCertificatesInASecret(t *testing.T) {
	got := mustParse(t, "--cert-secret", "truce-system/truce-certs", "--service", "truce-system/truce",
		"--webhook-config", "validating/truce", "--webhook-config", "mutating/truce", "--kubeconfig", "k",
		"--client-ca", "ca.crt", "--client-name", "kube-apiserver", "--client-name", "a,b")
	want := inClusterConfig{
		secret:  types.NamespacedName{Namespace: "truce-system", Name: "truce-certs"},
		service: types.NamespacedName{Namespace: "truce-system", Name: "truce"},
		targets: []incluster.Target{{Name: "truce"}, {Mutating: true, Name: "truce"}},
		hosts: certs.Hosts{DNS: []string{
			"truce.truce-system", "truce.truce-system.svc", "truce.truce-system.svc.cluster.local",
		}},
	}
	if diff := cmp.Diff(want, got.inCluster, configs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got.kubeconfig != "k" || got.clientCA != "ca.crt" || !slices.Equal(got.clientNames, []string{"kube-apiserver", "a,b"}) {
		t.Errorf("kubeconfig %q, authority %q, names %q", got.kubeconfig, got.clientCA, got.clientNames)
	}
	more := mustParse(t, "--cert-secret", "a/b", "--webhook-config", "validating/truce", "--self-cert-hosts", "10.0.0.1,truce.example.com")
	if h := more.inCluster.hosts; !slices.Equal(h.DNS, []string{"truce.example.com"}) || len(h.IPs) != 1 {
		t.Errorf("the certificate is for %v", h)
	}
}

func TestWrongFlags(t *testing.T) {
	tests := []struct {
		name string
		args string
		want []string
	}{
		{"a mode that is none", "--mode warn", []string{`--mode: "warn" is no mode: give Audit, Warn or Enforce`}},
		{"a level that is none", "--log-level INFO", []string{`--log-level: "INFO" is no level`}},
		{"a format that is none", "--log-format xml", []string{`--log-format: "xml" is no format: give json or console`}},
		{"an address without a port", "--listen localhost", []string{`--listen: "localhost" is no address: give host:port`}},
		{"a port that is too high", "--ops-listen :65536", []string{`--ops-listen: ":65536" is no address: the port`}},
		{"a port by name", "--listen :https", []string{`--listen: ":https" is no address: the port`}},
		{
			"both servers on one port", "--listen :9443 --ops-listen :9443",
			[]string{"--listen and --ops-listen are both :9443: give them different ports"},
		},
		{"a time without unit", "--shutdown-delay 5", []string{`--shutdown-delay: "5" is no time: give it with its unit`}},
		{"a time before now", "--shutdown-delay -1ns", []string{"--shutdown-delay: -1ns is out of bounds"}},
		{"a time that is too long", "--shutdown-timeout 10m1s", []string{"--shutdown-timeout: 10m1s is out of bounds"}},
		{"an empty path", "--policy=", []string{"--policy is empty: give a path, or leave the flag out"}},
		{
			"hosts that are none", "--self-cert-hosts a_b,localhost:1",
			[]string{`--self-cert-hosts: "a_b" is neither`, `"localhost:1" is neither`},
		},
		{
			"a certificate of both kinds", "--cert-dir a --self-cert-dir b",
			[]string{"--self-cert-dir and --cert-dir contradict each other"},
		},
		{
			"a certificate from two places", "--cert-dir a --cert-secret b/c --service b/d --webhook-config mutating/e",
			[]string{"--cert-dir and --cert-secret contradict each other"},
		},
		{
			"a Secret without the rest", "--cert-secret b/c",
			[]string{"--cert-secret needs --webhook-config", "--cert-secret needs --service"},
		},
		{
			"the rest without a Secret", "--service b/d --webhook-config mutating/e --client-name f",
			[]string{
				"--webhook-config is of no use without --cert-secret", "--service is of no use without --cert-secret",
				"--client-name is of no use without --client-ca",
			},
		},
		{
			"names that are none", "--cert-secret c --webhook-config truce --webhook-config other/truce --service B/d --client-ca x --client-name=",
			[]string{
				`--cert-secret: "c" is no name: give NAMESPACE/NAME`,
				`--webhook-config: "truce" is no webhook configuration: give validating/NAME or mutating/NAME`,
				`--webhook-config: "other/truce" is no webhook configuration`,
				`--service: "B/d" is no name`, "--client-name: it is empty",
			},
		},
		{"claims without notifications", "--notify-claims a/b", []string{"--notify-claims is of no use without --notify"}},
		{"an argument", "serve", []string{`unknown command "serve" for "webhook"`}},
		{"an unknown flag", "--polcy x", []string{"unknown flag: --polcy"}},
		{
			"all that is wrong at once", "--mode x --listen y --cert-dir= --log-format z",
			[]string{"--mode: ", "--listen: ", "--log-format: ", "--cert-dir is empty"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, stderr := runToEnd(t, strings.Fields(test.args)...)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if len(lines) != len(test.want)+1 || lines[len(lines)-1] != "See webhook --help." {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(test.want)+1, stderr.String())
			}
			for i, want := range test.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %q, want %q", lines[i], want)
				}
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for flag, want := range map[string]string{"--help": "--shutdown-delay TIME", "--version": "truce webhook "} {
		code, stdout, stderr := runToEnd(t, flag)
		if code != exitOK || !strings.Contains(stdout.String(), want) || stderr.String() != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", flag, code, stdout.String(), stderr.String())
		}
	}
}

func TestDefaultSelfCertDir(t *testing.T) {
	t.Run("is in the user's cache directory", func(t *testing.T) {
		t.Setenv("XDG_CACHE_HOME", "/cache")
		t.Setenv("HOME", "/cache")
		dir, err := defaultSelfCertDir()
		if err != nil || !strings.HasPrefix(dir, "/cache") || filepath.Base(filepath.Dir(dir)) != "truce" {
			t.Errorf("%q, %v", dir, err)
		}
	})
	t.Run("without one it is new each time", func(t *testing.T) {
		t.Setenv("XDG_CACHE_HOME", "")
		t.Setenv("HOME", "")
		t.Setenv("TMPDIR", t.TempDir())
		first, err := defaultSelfCertDir()
		if err != nil {
			t.Fatal(err)
		}
		second, err := defaultSelfCertDir()
		if err != nil {
			t.Fatal(err)
		}
		if first == second {
			t.Errorf("twice %s", first)
		}
		if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v, %v", info, err)
		}
	})
}
