package admission

// vectors: mark is faster than to look at eight bytes at once.
const vectors = true

// mark marks the bytes of b. It takes instructions that every amd64 processor has (SSE2); markPlainly says what it does.
//
//go:noescape
func mark(b *[64]byte, m *marks)
