package certs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseHosts(t *testing.T) {
	tests := []struct {
		name string
		list []string
		want Hosts
	}{
		{
			name: "names and addresses are told apart",
			list: []string{"localhost", "127.0.0.1", "::1", "truce.truce-system.svc"},
			want: Hosts{
				DNS: []string{"localhost", "truce.truce-system.svc"},
				IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")},
			},
		},
		{
			name: "order, case, blanks and duplicates do not matter",
			list: []string{" B ", "a", "b", "A", "::ffff:10.0.0.1", "10.0.0.1"},
			want: Hosts{DNS: []string{"a", "b"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		},
		{
			name: "a wildcard may be the leftmost label",
			list: []string{"*.truce-system.svc"},
			want: Hosts{DNS: []string{"*.truce-system.svc"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseHosts(test.list)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseHostsRefuses(t *testing.T) {
	tests := []struct {
		name string
		list []string
		want []string
	}{
		{"no hosts", nil, []string{"no host names"}},
		{"an empty host", []string{""}, []string{`"" is neither`}},
		{"a port", []string{"localhost:9443"}, []string{`"localhost:9443" is neither`}},
		{"a scheme", []string{"https://localhost"}, []string{`"https://localhost" is neither`}},
		{"a wildcard in the middle", []string{"a.*.svc"}, []string{`"a.*.svc" is neither`}},
		{"an address with a zone", []string{"fe80::1%eth0"}, []string{"with a zone"}},
		{"all that is wrong at once", []string{"good", "a_b", "c d"}, []string{`"a_b" is neither`, `"c d" is neither`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseHosts(test.list)
			if err == nil {
				t.Fatalf("accepted as %v", got)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("problem %q, want %q", lines[i], want)
				}
			}
		})
	}
}
