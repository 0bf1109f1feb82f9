package admission

import (
	"bytes"
	"strconv"
)

// isNumber reports whether b is a JSON number.
func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	digits, rest := cutDigits(b)
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	if len(rest) > 0 && rest[0] == '.' {
		if digits, rest = cutDigits(rest[1:]); len(digits) == 0 {
			return false
		}
	}
	if len(rest) > 0 && (rest[0] == 'e' || rest[0] == 'E') {
		rest = rest[1:]
		if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		if digits, rest = cutDigits(rest); len(digits) == 0 {
			return false
		}
	}
	return len(rest) == 0
}

func cutDigits(b []byte) (digits, rest []byte) {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return b[:n], b[n:]
}

// appendNumber appends a form of the JSON number b that is the same for all ways to write the same number: the sign, the
// digits without zeros around them, and the power of ten of the first one. No digit gets lost, as it would in a float64.
func appendNumber(dst, b []byte) []byte {
	exponent := int64(0)
	mantissa := b
	if e := bytes.IndexAny(b, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.ParseInt(string(b[e+1:]), 10, 62); err != nil {
			return append(dst, b...) // beyond measure: equal only if written the same way
		}
		mantissa = b[:e]
	}
	start := len(dst)
	if mantissa[0] == '-' {
		dst = append(dst, '-')
		mantissa = mantissa[1:]
	}
	first := len(dst)
	whole := bytes.IndexByte(mantissa, '.')
	if whole < 0 {
		whole = len(mantissa)
	}
	exponent += int64(whole) - 1
	for _, c := range mantissa {
		switch {
		case c == '.':
		case c == '0' && len(dst) == first:
			exponent--
		default:
			dst = append(dst, c)
		}
	}
	dst = bytes.TrimRight(dst, "0")
	if len(dst) <= first {
		return append(dst[:start], '0') // -0 is 0
	}
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, exponent, 10)
}

// sameNumber reports whether two JSON numbers are equal.
func sameNumber(a, b []byte) bool {
	var x, y [64]byte
	return bytes.Equal(appendNumber(x[:0], a), appendNumber(y[:0], b))
}
