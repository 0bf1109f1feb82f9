package history

import "hash/maphash"

// Key names an object, or a family of objects that share an owner and a generated name.
type Key struct {
	Group, Resource, Namespace, Name string
}

// digest stands for a Key inside a Store, which so holds a million names in 16 bytes each, and compares them without
// following pointers. Its halves are hashed with seeds of their own: index places the object, check tells it apart
// from another one at the same index. Two keys with the same digest are not to be expected in a cluster's lifetime.
type digest struct{ index, check uint64 }

type seeds struct{ index, check maphash.Seed }

func newSeeds() seeds { return seeds{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s seeds) digest(k Key) digest {
	return digest{maphash.Comparable(s.index, k), maphash.Comparable(s.check, k)}
}
