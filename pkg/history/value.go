package history

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/dchest/siphash"
)

// Value is the keyed hash of a field's value. The key keeps a dump of the memory from being matched against guesses of
// a secret's value.
type Value uint64

// Absent is the value of a field that is not there. It is a value like any other: an empty string is not absent.
const Absent Value = 0

// Present is the value of an object's existence.
const Present Value = 1

// Hasher turns values into Values. It is immutable.
type Hasher struct{ k0, k1 uint64 }

// NewHasher returns a Hasher with a random key.
func NewHasher() Hasher {
	var key [16]byte
	rand.Read(key[:]) // never fails, says its documentation
	return KeyedHasher(key)
}

// KeyedHasher returns the Hasher of a given key. Replicas that share a store share its key.
func KeyedHasher(key [16]byte) Hasher {
	return Hasher{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// Sum returns the Value of b, which is neither Absent nor Present.
func (h Hasher) Sum(b []byte) Value {
	return max(Value(siphash.Hash(h.k0, h.k1, b)), Present+1)
}
