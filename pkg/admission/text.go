package admission

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// appendText appends what the JSON string with the given text between its quotes means. It reports whether all escapes
// are valid; those that are not stay as they are. A surrogate alone becomes U+FFFD, as in encoding/json; bytes that are
// no UTF-8 are copied.
func appendText(dst, text []byte) (_ []byte, ok bool) {
	ok = true
	for {
		plain := bytes.IndexByte(text, '\\')
		if plain < 0 {
			return append(dst, text...), ok
		}
		dst = append(dst, text[:plain]...)
		text = text[plain:]
		r, n := unescape(text)
		if n == 0 {
			ok = false
			r, n = '\\', 1
		}
		dst = utf8.AppendRune(dst, r)
		text = text[n:]
	}
}

// unescape returns the character that the escape at the start of text stands for, and its length, 0 if it is not valid.
func unescape(text []byte) (r rune, n int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch c := text[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := unescapeHex(text)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		low, _ := unescapeHex(text[6:])
		if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
			return both, 12
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

// unescapeHex reads \uXXXX.
func unescapeHex(text []byte) (r rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unquoted returns the text of s, a string with its quotes. It allocates only if there are escapes.
func unquoted(s []byte) []byte {
	s = s[1 : len(s)-1]
	if hasEscape(s) {
		s, _ = appendText(nil, s)
	}
	return s
}
