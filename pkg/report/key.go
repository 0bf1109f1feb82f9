package report

import (
	"crypto/sha256"
	"encoding/hex"
)

// KeyOf returns the key that values are hashed with, made of a secret of any length, and an id that tells it apart from
// others without telling what it is.
func KeyOf(secret []byte) (key [16]byte, id string) {
	sum := sha256.Sum256(append([]byte("truce value key\n"), secret...))
	copy(key[:], sum[:])
	sum = sha256.Sum256(append([]byte("truce value key id\n"), secret...))
	return key, hex.EncodeToString(sum[:6])
}
