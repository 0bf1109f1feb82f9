//go:build !amd64

package admission

// vectors: mark is faster than to look at eight bytes at once.
const vectors = false

func mark(b *[64]byte, m *marks) { markPlainly(b, m) }
