package report

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/kubernetes"
)

// TokenHeader carries a bearer token past the API server's proxy, which keeps the header Authorization to itself.
const TokenHeader = "X-Truce-Authorization"

// Gate lets requests through whose users the API server knows and allows what they want: it is asked by TokenReview and
// SubjectAccessReview, and its answers are kept for a while, as controller-runtime does for metrics. Unlike there, what
// is asked for need not be the path, and handlers learn who it is.
type Gate struct {
	authenticator authenticator.Request
	authorizer    authorizer.Authorizer
}

// NewGate returns a Gate that asks the API server through client, which must be allowed to create tokenreviews and
// subjectaccessreviews.
func NewGate(client kubernetes.Interface) (*Gate, error) {
	backoff := &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}
	authn, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                &apiserver.AnonymousAuthConfig{Enabled: false},
		CacheTTL:                 time.Minute,
		TokenAccessReviewClient:  client.AuthenticationV1(),
		TokenAccessReviewTimeout: 10 * time.Second,
		WebhookRetryBackoff:      backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("making the authenticator: %w", err)
	}
	authz, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             time.Minute, // a right that was taken away is to be gone soon
		DenyCacheTTL:              10 * time.Second,
		WebhookRetryBackoff:       backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("making the authorizer: %w", err)
	}
	return &Gate{authn, authz}, nil
}

// Guard returns h behind the gate. The permission for a request is the verb get or post, as its method, on the path that
// permission returns, a non-resource URL. A Gate that is nil lets nobody through.
func (g *Gate) Guard(h http.Handler, permission func(path string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g == nil {
			http.Error(w, "nobody can be authenticated here: the server knows no API server to ask (see --kubeconfig)",
				http.StatusServiceUnavailable)
			return
		}
		if token := r.Header.Get(TokenHeader); token != "" && r.Header.Get("Authorization") == "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", token)
		}
		who, ok, err := g.authenticator.AuthenticateRequest(r)
		switch {
		case err != nil && strings.Contains(err.Error(), "invalid bearer token"), err == nil && !ok:
			w.Header().Set("WWW-Authenticate", `Bearer realm="truce"`)
			http.Error(w, "a valid bearer token is needed", http.StatusUnauthorized)
			return
		case err != nil:
			http.Error(w, "the API server could not be asked who you are", http.StatusServiceUnavailable)
			return
		}
		verb, path := strings.ToLower(r.Method), permission(r.URL.Path)
		decision, _, err := g.authorizer.Authorize(r.Context(), authorizer.AttributesRecord{User: who.User, Verb: verb, Path: path})
		switch {
		case err != nil && decision != authorizer.DecisionAllow:
			http.Error(w, "the API server could not be asked what you may do", http.StatusServiceUnavailable)
			return
		case decision != authorizer.DecisionAllow:
			http.Error(w, fmt.Sprintf("user %q may not %s the non-resource URL %s", who.User.GetName(), verb, path),
				http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, who.User.GetName())))
	})
}

// Permission returns the non-resource URL that stands for a path of the API; other paths stand for themselves.
func Permission(path string) string {
	if rest, ok := strings.CutPrefix(path, APIRoot); ok {
		return AuthRoot + rest
	}
	return path
}

type userKey struct{}

// userOf returns who makes a request; whoever can reach a loopback address is not asked.
func userOf(r *http.Request) string {
	if user, ok := r.Context().Value(userKey{}).(string); ok {
		return user
	}
	return ""
}

// Local returns h for whoever reaches a loopback address, but not for the pages of other sites in a browser there.
func Local(h http.Handler) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A site whose name is made to resolve to 127.0.0.1 is of the same origin, as far as the browser knows.
		if host := hostOf(r.Host); host != "localhost" && net.ParseIP(host) == nil {
			http.Error(w, "ask for localhost, or for an address", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func hostOf(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	return strings.Trim(host, "[]")
}
