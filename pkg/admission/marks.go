package admission

// marks tell of 64 bytes, one bit each, which of them are of a kind.
type marks struct {
	quotes, slashes uint64
	// brackets are { } [ ] and what is found in strings only; closing has a bit of the byte that is set in } and ] alone of
	// these four.
	brackets, closing uint64
}

// markPlainly is mark in Go, to be compared with.
func markPlainly(b *[64]byte, m *marks) {
	*m = marks{}
	for i, c := range b {
		bit := uint64(1) << i
		switch {
		case c == '"':
			m.quotes |= bit
		case c == '\\':
			m.slashes |= bit
		}
		if c|0x26 == 0x7f {
			m.brackets |= bit
		}
		if c&4 != 0 {
			m.closing |= bit
		}
	}
}

// escapedBits are the bytes that a backslash before them escapes. The first one is if carry; next tells the same of the
// byte after the last one.
func escapedBits(slashes uint64, carry bool) (escaped uint64, next bool) {
	if carry {
		escaped = 1
		slashes &^= 1
	}
	for slashes != 0 {
		first := slashes & -slashes
		if first == 1<<63 {
			return escaped, true
		}
		escaped |= first << 1
		slashes &^= first | first<<1
	}
	return escaped, false
}

// within marks what is within strings, given their quotes: the opening quote is, the closing one is not.
func within(quotes uint64) uint64 {
	quotes ^= quotes << 1 // the parity of the quotes up to each byte
	quotes ^= quotes << 2
	quotes ^= quotes << 4
	quotes ^= quotes << 8
	quotes ^= quotes << 16
	quotes ^= quotes << 32
	return quotes
}
