package history

import "testing"

func TestValues(t *testing.T) {
	key := [16]byte{1, 2, 3}
	h := KeyedHasher(key)
	t.Run("equal values are equal under one key", func(t *testing.T) {
		if h.Sum([]byte(`"a"`)) != KeyedHasher(key).Sum([]byte(`"a"`)) {
			t.Error("replicas that share a key would not agree")
		}
	})
	t.Run("different values differ", func(t *testing.T) {
		seen := map[Value]string{Absent: "absent", Present: "present"}
		for _, v := range []string{``, `""`, `null`, `0`, `"0"`, `a`, `b`, "\x00", "\x00\x00"} {
			s := h.Sum([]byte(v))
			if other, ok := seen[s]; ok {
				t.Errorf("%q has the value of %q", v, other)
			}
			seen[s] = v
		}
	})
	t.Run("another key, other values", func(t *testing.T) {
		key[15] = 9
		if h.Sum([]byte(`"a"`)) == KeyedHasher(key).Sum([]byte(`"a"`)) {
			t.Error("the key's last byte does not count")
		}
		if a, b := NewHasher(), NewHasher(); a == b {
			t.Error("two random keys are equal")
		}
	})
	t.Run("the hash is SipHash-2-4", func(t *testing.T) { // a vector of its paper: replicas of all versions must agree
		var key [16]byte
		in := make([]byte, 15)
		for i := range key {
			key[i] = byte(i)
		}
		for i := range in {
			in[i] = byte(i)
		}
		if got, want := KeyedHasher(key).Sum(in), Value(0xa129ca6149be45e5); got != want {
			t.Errorf("%x, want %x", got, want)
		}
	})
}

func TestHashesOfIdentifiers(t *testing.T) {
	if sum("") != 0 {
		t.Error("an unknown identifier must be zero")
	}
	long := make([]byte, 200)
	for i := range long {
		long[i] = 'x'
	}
	a := sum(string(long))
	long[199] = 'y'
	if sum(string(long)) == a {
		t.Error("the end of a long identifier does not count")
	}
}
