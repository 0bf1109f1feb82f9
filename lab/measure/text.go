package measure

import (
	"math"
	"strconv"
)

// Text writes the number for people, with the unit where it depends on the size: `26 ms`, `8.0 s`, `1,234`, `0.4`.
func (v Value) Text() string {
	if v.Absent {
		return "–"
	}
	var text string
	switch {
	case v.Unit == "s" && v.Number < 0.9995:
		text = strconv.Itoa(int(math.Round(v.Number*1000))) + " ms"
	case v.Unit == "s" && v.Number < 99.95:
		text = strconv.FormatFloat(v.Number, 'f', 1, 64) + " s"
	case v.Unit == "s":
		text = thousands(v.Number) + " s"
	case v.Unit == "/s" && v.Number < 9.95:
		text = strconv.FormatFloat(v.Number, 'f', 1, 64)
	default:
		text = thousands(v.Number)
	}
	if v.AtLeast {
		text = "≥" + text
	}
	return text
}

// thousands writes a whole number with a comma between thousands.
func thousands(f float64) string {
	s := strconv.FormatInt(int64(math.Round(f)), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
