package certs

import "time"

// InCluster are the lifetimes of a keyring in a Secret. Its authority lasts a year and not ten, because nobody has to do
// anything about its rotation, and what happens every few months is known to work.
var InCluster = Lifetimes{
	Authority: 365 * days, Serving: 90 * days,
	RenewAuthority: 90 * days, RenewServing: 30 * days,
	Backdate: time.Hour, Overlap: 24 * time.Hour,
}

// Step is something that [Lifetimes.Rotate] did. The set is closed: the steps are metric labels.
type Step string

// The steps of a rotation in their order, and the two that are none.
const (
	AuthorityAnnounced Step = "authority announced" // a next authority was made, to be trusted first
	AuthorityChanged   Step = "authority changed"   // the next authority signs from now on
	AuthorityRetired   Step = "authority retired"   // the former one is trusted no longer
	AuthorityMade      Step = "authority made"      // there was none that could be used
	CertificateMade    Step = "certificate made"    // a new serving certificate
)

// Steps lists all steps.
var Steps = []Step{AuthorityAnnounced, AuthorityChanged, AuthorityRetired, AuthorityMade, CertificateMade}

// Rotate returns k as it should be at now, and what had to be done for it; nothing, most of the time. trusted says that
// everybody who verifies certificates has trusted k's next authority for long enough.
//
// An authority that is about to expire is replaced in three steps, so that at no time somebody is shown a certificate
// whose authority he does not trust: the next authority is made, and trusted (see [Keyring.Trust]) while the old one
// signs; then it signs, while the old one is trusted; after the overlap the old one goes. Only an authority that cannot
// be used at all is replaced at once.
func (l Lifetimes) Rotate(k Keyring, hosts Hosts, trusted bool, now time.Time) (Keyring, []Step, error) {
	var steps []Step
	next := Bundle{CA: k.NextCA, CAKey: k.NextCAKey}
	usable := func(f Fault) bool { return f == Fit || f == Expiring }
	current, coming := l.checkAuthority(k.Bundle, now), l.checkAuthority(next, now)
	serving := l.checkServing(k.Bundle, hosts, now)
	signs := current != KeyMissing && current != KeyMismatch
	if !signs && usable(serving) {
		current = Expiring // what it signed is still good, so there is time to replace it in good order
	}
	switch {
	case usable(current) && trusted && coming == Fit, !usable(current) && usable(coming):
		k.FormerCA = k.withFormer(now)
		k.CA, k.CAKey, k.NextCA, k.NextCAKey = next.CA, next.CAKey, nil, nil
		steps = append(steps, AuthorityChanged)
	case !usable(current):
		made, err := l.authority(now)
		if err != nil {
			return Keyring{}, nil, err
		}
		k.FormerCA = k.withFormer(now)
		k.CA, k.CAKey, k.NextCA, k.NextCAKey = made.CA, made.CAKey, nil, nil
		steps = append(steps, AuthorityMade)
	case current == Expiring && coming != Fit:
		var err error
		if k, err = l.Announce(k, now); err != nil {
			return Keyring{}, nil, err
		}
		steps = append(steps, AuthorityAnnounced)
	case coming != Fit: // nobody needs it
		k.NextCA, k.NextCAKey = nil, nil
	}

	if len(steps) > 0 && steps[0] != AuthorityAnnounced {
		signs, serving = true, l.checkServing(k.Bundle, hosts, now)
	}
	if signs && serving != Fit && !(serving == Expiring && lastsAsLongAsItCan(k.Bundle)) {
		renewed, err := l.renew(k.Bundle, hosts, now)
		if err != nil {
			return Keyring{}, nil, err
		}
		k.Bundle = renewed
		steps = append(steps, CertificateMade)
	}
	if len(k.FormerCA) > 0 && l.servedFor(k.Bundle, now) >= l.Overlap {
		k.FormerCA = nil
		steps = append(steps, AuthorityRetired)
	}
	return k, steps, nil
}

// Announce returns k with a new next authority, which begins a rotation whether one is due or not.
func (l Lifetimes) Announce(k Keyring, now time.Time) (Keyring, error) {
	made, err := l.authority(now)
	if err != nil {
		return Keyring{}, err
	}
	k.NextCA, k.NextCAKey = made.CA, made.CAKey
	return k, nil
}

// lastsAsLongAsItCan reports whether the serving certificate ends with its authority: another one would end no later.
func lastsAsLongAsItCan(b Bundle) bool {
	cert, err := parseCertificate(b.Cert)
	if err != nil {
		return false
	}
	ca, err := parseCertificate(b.CA)
	return err == nil && !cert.NotAfter.Before(ca.NotAfter)
}

// servedFor tells how long ago the serving certificate was made: at the latest since then its authority signs.
func (l Lifetimes) servedFor(b Bundle, now time.Time) time.Duration {
	cert, err := parseCertificate(b.Cert)
	if err != nil {
		return 0
	}
	return now.Sub(cert.NotBefore.Add(l.Backdate))
}
