// Package certs makes the certificates Truce serves with when nobody gives it any: a certificate authority of its own
// and a serving certificate signed by it, in the layout of a kubernetes.io/tls Secret.
//
//	ca.crt   the authority's certificate: what goes into the caBundle of a webhook configuration
//	ca.key   the authority's key, so that a new serving certificate does not need a new caBundle
//	tls.crt  the serving certificate
//	tls.key  its key
//
// [Bundle] is that set of files in memory, [CheckAuthority] and [CheckServing] say whether it is fit for use at a given
// time, and [Ensure] keeps a directory fit, for one server. [Keyring] is what several replicas share in a Secret, with the
// authorities before and after the present one, and [Lifetimes.Rotate] keeps that fit, so that nobody is ever shown a
// certificate that he does not trust yet or any more; package incluster brings it to the API server. Only Ensure touches
// files, and nothing here reads the clock: time is an argument.
package certs
