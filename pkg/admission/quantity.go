package admission

import (
	"bytes"

	"k8s.io/apimachinery/pkg/api/resource"
)

// sameQuantity reports whether two scalars, as JSON, are Kubernetes quantities of the same value that are written in
// different ways: "1000m" and 1, "1Gi" and "1024Mi". A controller that compares text takes them for different.
func sameQuantity(a, b []byte) bool {
	a, b = bare(a), bare(b)
	if !mayBeQuantity(a) || !mayBeQuantity(b) {
		return false
	}
	if isNumber(a) && isNumber(b) { // a counter, most of the time: no need to parse
		return sameNumber(a, b)
	}
	x, err := resource.ParseQuantity(string(a))
	if err != nil {
		return false
	}
	y, err := resource.ParseQuantity(string(b))
	return err == nil && x.Cmp(y) == 0
}

// bare takes the quotes off a string.
func bare(b []byte) []byte {
	if b[0] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}

// mayBeQuantity reports whether b has the form of a quantity of reasonable size. Large exponents would take ParseQuantity
// long.
func mayBeQuantity(b []byte) bool {
	if len(b) == 0 || len(b) > 32 {
		return false
	}
	if b[0] == '+' || b[0] == '-' {
		b = b[1:]
	}
	digits, rest := cutDigits(b)
	some := len(digits) > 0
	if len(rest) > 0 && rest[0] == '.' {
		digits, rest = cutDigits(rest[1:])
		some = some || len(digits) > 0
	}
	if !some {
		return false
	}
	switch len(rest) {
	case 0:
		return true
	case 1:
		return bytes.IndexByte([]byte("numkMGTPE"), rest[0]) >= 0
	case 2:
		if rest[1] == 'i' {
			return bytes.IndexByte([]byte("KMGTPE"), rest[0]) >= 0
		}
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	rest = rest[1:]
	if rest[0] == '+' || rest[0] == '-' {
		rest = rest[1:]
	}
	digits, rest = cutDigits(rest)
	return len(digits) > 0 && len(digits) <= 2 && len(rest) == 0
}
