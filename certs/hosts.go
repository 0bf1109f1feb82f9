package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Hosts are the names and addresses a serving certificate is good for. Both lists are sorted and without duplicates,
// which [ParseHosts] sees to.
type Hosts struct {
	DNS []string
	IPs []netip.Addr
}

// ParseHosts splits a list of host names and IP addresses. The error lists every entry that is neither.
func ParseHosts(list []string) (Hosts, error) {
	var h Hosts
	var problems []error
	for _, entry := range list {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if ip, err := netip.ParseAddr(entry); err == nil {
			if ip.Zone() != "" {
				problems = append(problems, fmt.Errorf("%q: a certificate cannot hold an address with a zone", entry))
				continue
			}
			h.IPs = append(h.IPs, ip.Unmap())
			continue
		}
		if !validDNSName(entry) {
			problems = append(problems, fmt.Errorf(
				"%q is neither a DNS name nor an IP address: give it without scheme, port and path", entry))
			continue
		}
		h.DNS = append(h.DNS, entry)
	}
	if len(list) == 0 {
		problems = append(problems, errors.New("no host names: a certificate needs at least one"))
	}
	if len(problems) > 0 {
		return Hosts{}, errors.Join(problems...)
	}
	return h.sorted(), nil
}

// validDNSName accepts what a client may ask for by name, and a wildcard in the leftmost place.
func validDNSName(name string) bool {
	if strings.HasPrefix(name, "*.") {
		return len(validation.IsWildcardDNS1123Subdomain(name)) == 0
	}
	return len(validation.IsDNS1123Subdomain(name)) == 0
}

func (h Hosts) sorted() Hosts {
	h.DNS = slices.Compact(slices.Sorted(slices.Values(h.DNS)))
	h.IPs = slices.Compact(slices.SortedFunc(slices.Values(h.IPs), netip.Addr.Compare))
	return h
}

// hostsOf returns the hosts a certificate is good for.
func hostsOf(cert *x509.Certificate) Hosts {
	var h Hosts
	for _, name := range cert.DNSNames {
		h.DNS = append(h.DNS, strings.ToLower(name))
	}
	for _, raw := range cert.IPAddresses {
		if ip, ok := netip.AddrFromSlice(raw); ok {
			h.IPs = append(h.IPs, ip.Unmap())
		}
	}
	return h.sorted()
}

// And returns the hosts of both.
func (h Hosts) And(other Hosts) Hosts {
	return Hosts{DNS: slices.Concat(h.DNS, other.DNS), IPs: slices.Concat(h.IPs, other.IPs)}.sorted()
}

func (h Hosts) equal(other Hosts) bool {
	return slices.Equal(h.DNS, other.DNS) && slices.Equal(h.IPs, other.IPs)
}

func (h Hosts) netIPs() []net.IP {
	var ips []net.IP
	for _, ip := range h.IPs {
		ips = append(ips, ip.AsSlice())
	}
	return ips
}
