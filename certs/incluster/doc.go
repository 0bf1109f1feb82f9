// Package incluster keeps the certificates of a webhook in a Secret that all its replicas share, and the caBundle of its
// webhook configurations: what [certs.Keyring] is, and how it rotates, is package certs' to know; here it meets the
// API server.
//
// Every replica serves with what the Secret holds. The one that holds the Lease beside it makes what is missing, rotates
// what is due, and writes the caBundle. The Lease is for economy. What keeps two replicas that start at once, or that
// both believe that they hold it, from making two authorities is the Secret's resourceVersion: nobody overwrites what he
// has not read, and nobody serves with a certificate that is not stored.
//
// A caBundle that somebody else resets is put back, at once at first and then after waits that double, see [restraint];
// the third time, an Event on the configuration says whose tool it is. Without the right to do something, or with an API
// server that is away, the keeper goes on with the certificate that it has, says what it lacks (Keeper.Check, a log
// line), and tries again; it never ends the process. No review waits for any of this.
//
// docs/security.md has the rules that the service account needs, as YAML that a test applies. In short: get, watch and
// update of the Secret and of the Lease by name (create only if they are not made beforehand, empty), get, watch and
// patch of the webhook configurations by name, and create of Events in the namespace default.
//
// # Why not cert-controller
//
// github.com/open-policy-agent/cert-controller (v0.16.0, pkg/rotator) is the library for this, and falls short of what
// Truce needs:
//
//   - No overlap. refreshCerts replaces authority and serving certificate in one update of the Secret, and ensureCerts
//     then sets the caBundle to the new authority alone. Until the kubelet has brought the new files to the last replica,
//     about a minute, the API server refuses the replicas that still serve with the old ones. Truce's next authority is
//     in every caBundle before it signs.
//   - No restraint. ReconcileWH updates every configuration at every event of its watch, whether it differs or not;
//     against a tool that resets the caBundle this is a fight at full speed, which nobody is told of.
//   - The Secret must be there already, with the files of it mounted, and both within a number of tries: otherwise
//     Start returns an error, which ends the manager and the process.
//   - It reads through a cache of all Secrets of the namespace and of all webhook configurations of the cluster, which
//     takes the right to list them; rules with resourceNames do not do. With it come a manager and, as requirements of
//     its module, kube-aggregator, the types of a policy engine and a test framework.
//   - It updates whole configurations, with what it knows of their types through unstructured; Truce patches the
//     caBundles alone.
//   - It looks every 12 hours at time.Now: the machine's clock decides, and no test can tell it another time. Truce goes
//     by the API server's clock, which verifies the certificates, see [Clock].
//   - Somebody else's certificates in the Secret are overwritten; of the names, only the first is checked.
package incluster
