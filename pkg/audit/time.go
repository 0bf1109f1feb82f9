package audit

import (
	"bytes"
	"net/url"
	"time"
)

// Micros is a point in time in microseconds since 1970, which is how exactly audit events tell it. 0 is not known.
type Micros int64

// Time returns m as a time, in UTC; the zero time if it is not known.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// At returns the Micros of t.
func At(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// parseTime reads RFC 3339; 0 if it is none. The form that the API server writes, in UTC, takes no detour.
func parseTime(b []byte) Micros {
	const form = "0000-00-00T00:00:00"
	if len(b) <= len(form) || b[len(b)-1] != 'Z' {
		return parseAnyTime(b)
	}
	for i := range len(form) {
		if c := b[i]; form[i] == '0' && (c < '0' || c > '9') || form[i] != '0' && c != form[i] {
			return parseAnyTime(b)
		}
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	micros := 0
	if fraction := b[len(form) : len(b)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) == 1 {
			return parseAnyTime(b)
		}
		scale := 100_000
		for _, c := range fraction[1:] {
			if c < '0' || c > '9' {
				return parseAnyTime(b)
			}
			micros += int(c-'0') * scale
			scale /= 10
		}
	}
	year, month, day := two(0)*100+two(2), two(5), two(8)
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || two(11) > 23 || two(14) > 59 || two(17) > 59 {
		return parseAnyTime(b)
	}
	if day > 28 && day > days(year, month+1, 1)-days(year, month, 1) {
		return parseAnyTime(b)
	}
	seconds := int64(days(year, month, day))*86_400 + int64(two(11)*3600+two(14)*60+two(17))
	return Micros(seconds*1_000_000 + int64(micros))
}

// days returns the days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the
// leap day is the last one.
func days(year, month, day int) int {
	if month == 13 {
		year, month = year+1, 1
	}
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719_468
}

func parseAnyTime(b []byte) Micros {
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil || t.Year() < 1970 {
		return 0
	}
	return At(t)
}

func unescapeQuery(b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return b
	}
	s, err := url.QueryUnescape(string(b))
	if err != nil {
		return b
	}
	return []byte(s)
}
