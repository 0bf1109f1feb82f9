package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as `90s`, `5m`, `48h`, `7d` or `1d12h`; a day is 24 hours.
type Duration time.Duration

// maxDuration is far longer than anything a policy allows; it only keeps the arithmetic from overflowing.
const maxDuration = 1000 * 24 * time.Hour

// parseDuration reads a Duration, which must be positive.
func parseDuration(s string) (Duration, error) {
	const how = "write it as `90s`, `5m`, `48h` or `7d`"
	rest, days := s, time.Duration(0)
	if number, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%s is not a duration; %s", quote(s), how)
		}
		rest, days = after, time.Duration(n)*24*time.Hour
	}
	var clock time.Duration
	if rest != "" || s == "" {
		var err error
		if clock, err = time.ParseDuration(rest); err != nil {
			return 0, fmt.Errorf("%s is not a duration; %s", quote(s), how)
		}
	}
	switch {
	case clock < 0 || days+clock == 0:
		return 0, errors.New("must be longer than zero")
	case days > maxDuration || clock > maxDuration:
		return 0, fmt.Errorf("%s is too long", quote(s))
	}
	return Duration(days + clock), nil
}

// String writes d without needless zero units, in a form that parseDuration reads: `48h`, not `48h0m0s`.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText makes d a string in JSON and YAML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what a person or MarshalText wrote.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
