package admission

// sameButTimes reports whether two texts are equal except for points in time (RFC 3339) at the same places.
func sameButTimes(a, b []byte) bool {
	some := false
	for len(a) > 0 && len(b) > 0 {
		if n, m := timeLen(a), timeLen(b); n > 0 && m > 0 {
			some = true
			a, b = a[n:], b[m:]
			continue
		}
		if a[0] != b[0] {
			return false
		}
		a, b = a[1:], b[1:]
	}
	return some && len(a) == len(b)
}

// timeForm is how a point in time begins; each 0 is a digit.
const timeForm = "0000-00-00T00:00:00"

// timeLen returns the length of the point in time at the start of b, 0 if there is none.
func timeLen(b []byte) int {
	if len(b) <= len(timeForm) || b[4] != '-' {
		return 0
	}
	for i := range len(timeForm) {
		if c := b[i]; !(timeForm[i] == '0' && isDigit(c) || c == timeForm[i] && c != '0' || i == 10 && c == 't') {
			return 0
		}
	}
	n := len(timeForm)
	if b[n] == '.' {
		digits, _ := cutDigits(b[n+1:])
		if len(digits) == 0 {
			return 0
		}
		n += 1 + len(digits)
	}
	if n == len(b) {
		return 0
	}
	switch b[n] {
	case 'Z', 'z':
		return n + 1
	case '+', '-':
		if z := b[n+1:]; len(z) >= 5 && isDigit(z[0]) && isDigit(z[1]) && z[2] == ':' && isDigit(z[3]) && isDigit(z[4]) {
			return n + 6
		}
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
