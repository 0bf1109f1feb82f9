// Package policy is what Truce is told: which fields of which objects it watches, what counts as a fight over them, and
// what is done about one.
//
// Load reads a policy file and answers either with a Policy, compiled and immutable, or with every Problem the file has.
// A Policy is asked twice per request: Match, once, says which rules and look-alikes are about the object at all; the
// Matched it returns then says, per changed field, which rule watches it and whether a known look-alike silences it.
//
// Default is the built-in policy. Its look-alikes are the presets that other files name.
package policy
