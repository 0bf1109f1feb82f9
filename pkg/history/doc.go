// Package history remembers who wrote which field of which object, and when.
//
// A Store keeps one Object per Key in a bounded, sharded LRU. An Object is one small self-contained value: it keeps,
// for every field that has changed, the last States the field was in, as keyed hashes of the values, never the values
// themselves. It is changed atomically, in Store.Update, and has a binary encoding, so that a store shared by several
// replicas can hold it.
//
// The truth is what the API server stored, and an admission webhook only sees what is proposed. So each request
// teaches twice: Object.Settle takes the stored value of a field, which confirms, drops or corrects what was proposed
// before; Object.Propose then notes the new proposal, which stays pending until a later request confirms it.
//
// The package is a leaf: it knows nothing of Kubernetes, and time is always an argument.
package history
