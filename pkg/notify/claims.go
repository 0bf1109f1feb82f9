package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Claims is a ConfigMap by which replicas agree on which of them tells what. Each replica sees the fights in its own
// reviews, and no replica sees them all, so none of them can tell for the others; but of those that see the same, one is
// enough. Whoever is the first to write that it tells a receiver of a group does; the ConfigMap's resourceVersion sees to
// it that there is one first.
type Claims struct {
	Client    typedcorev1.ConfigMapsGetter
	ConfigMap types.NamespacedName
	// Replica is this one's name, another one after each start: a replica that starts anew has forgotten what it told.
	Replica string
}

// claim is what a replica wants to tell.
type claim struct {
	key   string // of receiver and group
	phase Phase
	// every and pause are how often the same may be told by any replica: see Fights.
	every, pause time.Duration
}

// What a ConfigMap holds.
const (
	maxClaims = 2000
	claimsAge = 31 * 24 * time.Hour // more than the longest time between two messages about a fight
	// claimSlack is how much earlier than others this replica may be at telling that a fight goes on.
	claimSlack = 30 * time.Second
)

const claimTimeout = 5 * time.Second

// take claims what it may, and returns whether it did, one by one. On an error, nothing is known.
func (c *Claims) take(ctx context.Context, now time.Time, claims []claim) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	for {
		mine, err := c.try(ctx, now, claims)
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			if err != nil {
				err = fmt.Errorf("agreeing with other replicas by the ConfigMap %s: %w", c.ConfigMap, err)
			}
			return mine, err
		}
	}
}

func (c *Claims) try(ctx context.Context, now time.Time, claims []claim) ([]bool, error) {
	client := c.Client.ConfigMaps(c.ConfigMap.Namespace)
	stored, err := client.Get(ctx, c.ConfigMap.Name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	switch {
	case missing:
		stored = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.ConfigMap.Namespace, Name: c.ConfigMap.Name}}
	case err != nil:
		return nil, err
	}
	if stored.Data == nil {
		stored.Data = map[string]string{}
	}
	mine, any := make([]bool, len(claims)), false
	for i, want := range claims {
		if mine[i] = c.may(stored.Data[want.key], want, now); mine[i] {
			any = true
			stored.Data[want.key] = entry{want.phase, now, c.Replica}.String()
		}
	}
	if !any {
		return mine, nil
	}
	prune(stored.Data, now)
	if missing {
		_, err = client.Create(ctx, stored, metav1.CreateOptions{})
	} else {
		_, err = client.Update(ctx, stored, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, err
	}
	return mine, nil
}

// may reports whether this replica may tell what it wants to, after what was claimed last.
func (c *Claims) may(last string, want claim, now time.Time) bool {
	e, err := parseEntry(last)
	if err != nil || e.by == c.Replica {
		return true // this replica paces itself
	}
	age := now.Sub(e.at)
	switch {
	case want.phase == Ended && e.phase != Ended:
		// This replica no longer sees it, which another one may still do: it is for the one that told of it to say.
		return age >= want.every+claimSlack
	case want.phase == Ended:
		return age >= want.pause
	case e.phase == Ended:
		return want.phase == Ongoing || age >= want.pause
	case want.phase == Started:
		return age >= 2*want.every // whoever told of it would have told again by now
	}
	return age >= want.every-min(claimSlack, want.every/4)
}

// entry is what was told last, when, and by whom.
type entry struct {
	phase Phase
	at    time.Time
	by    string
}

func (e entry) String() string {
	return string(e.phase) + " " + e.at.UTC().Format(time.RFC3339) + " " + e.by
}

func parseEntry(text string) (e entry, err error) {
	parts := strings.SplitN(text, " ", 3)
	if len(parts) != 3 {
		return e, errors.New("no claim")
	}
	e.phase, e.by = Phase(parts[0]), parts[2]
	e.at, err = time.Parse(time.RFC3339, parts[1])
	return e, err
}

// prune keeps the ConfigMap small.
func prune(data map[string]string, now time.Time) {
	at := map[string]time.Time{}
	for key, text := range data {
		e, err := parseEntry(text)
		if err != nil || now.Sub(e.at) >= claimsAge {
			delete(data, key)
			continue
		}
		at[key] = e.at
	}
	if len(data) <= maxClaims {
		return
	}
	keys := make([]string, 0, len(at))
	for key := range at {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return at[a].Compare(at[b]) })
	for _, key := range keys[:len(keys)-maxClaims] {
		delete(data, key)
	}
}
