package admission

import (
	"math/rand/v2"
	"testing"
)

// What the processor's vectors mark is what the plain loop does.
func TestMark(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for c := range 256 { // every byte at every place
		for at := range 64 {
			var b [64]byte
			b[at] = byte(c)
			compareMarks(t, &b)
		}
	}
	for range 10_000 {
		var b [64]byte
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		compareMarks(t, &b)
	}
}

func compareMarks(t *testing.T, b *[64]byte) {
	t.Helper()
	var got, want marks
	mark(b, &got)
	markPlainly(b, &want)
	if got != want {
		t.Fatalf("of %q: %+v, want %+v", b[:], got, want)
	}
}

func TestWithinAndEscapedBits(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		quotes, slashes, carry := random.Uint64()&random.Uint64(), random.Uint64()|random.Uint64(), random.Uint32()&1 == 1
		var inside, escaped uint64
		in, escape := false, carry
		for i := range 64 {
			if quotes>>i&1 == 1 {
				in = !in
			}
			if in {
				inside |= 1 << i
			}
			if escape {
				escaped |= 1 << i
				escape = false
			} else {
				escape = slashes>>i&1 == 1
			}
		}
		if got := within(quotes); got != inside {
			t.Fatalf("within(%x) = %x, want %x", quotes, got, inside)
		}
		if got, next := escapedBits(slashes, carry); got != escaped || next != escape {
			t.Fatalf("escapedBits(%x, %t) = %x, %t, want %x, %t", slashes, carry, got, next, escaped, escape)
		}
	}
}
