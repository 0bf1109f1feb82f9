package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/truce-dev/truce/pkg/report"
)

// connection says how to reach the replicas of Truce: each pod through the API server's proxy, as the kubeconfig says,
// or the addresses given.
type connection struct {
	kubeconfig, context string
	namespace           string // the objects' that are asked about
	install             string // the namespace that Truce runs in
	selector            string
	port                string
	tls                 bool
	urls                []string
	token               string
	account             string
	timeout             time.Duration
}

// The service accounts whose tokens are asked for if the kubeconfig has none: one may read, the other act.
const (
	viewer   = "truce-viewer"
	operator = "truce-operator"
)

func (c *connection) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "`FILE` to use instead of $KUBECONFIG or ~/.kube/config")
	f.StringVar(&c.context, "context", "", "`NAME` of the kubeconfig's context to use")
	f.StringVarP(&c.namespace, "namespace", "n", "", "namespace of the objects (default: the context's)")
	f.StringVar(&c.install, "truce-namespace", "truce-system", "namespace that Truce runs in")
	f.StringVar(&c.selector, "selector", "app.kubernetes.io/name=truce", "labels of Truce's pods")
	f.StringVar(&c.port, "ops-port", "8081", "number or name of the pods' operations port")
	f.BoolVar(&c.tls, "ops-tls", false, "the operations port speaks TLS")
	f.StringSliceVar(&c.urls, "url", nil, "`URL` of an operations port to ask instead of the pods; may be given several times")
	f.StringVar(&c.token, "token", os.Getenv("TRUCE_TOKEN"),
		"bearer token to be known by (default: $TRUCE_TOKEN, the kubeconfig's,\nor a new one of the service account)")
	f.StringVar(&c.account, "service-account", "",
		"service account in Truce's namespace to ask for a token of, if the kubeconfig has none\n"+
			"(default: "+viewer+" to read, "+operator+" to act)")
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to wait for each replica")
}

// replica is one process of Truce.
type replica struct {
	name string
	// ask sends a request and returns the status and the body of the answer.
	ask func(ctx context.Context, method, path string, query url.Values, body []byte) (int, []byte, error)
}

func (c *connection) clientConfig() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context})
}

// inNamespace returns the namespace of objects that is meant.
func (c *connection) inNamespace() string {
	if c.namespace != "" || len(c.urls) > 0 {
		return c.namespace
	}
	ns, _, err := c.clientConfig().Namespace()
	if err != nil {
		return ""
	}
	return ns
}

// replicas finds all replicas. account is whose token to ask for if there is none.
func (c *connection) replicas(ctx context.Context, account string) ([]replica, error) {
	if len(c.urls) > 0 {
		all := make([]replica, len(c.urls))
		for i, u := range c.urls {
			all[i] = c.direct(u)
		}
		return all, nil
	}
	cfg, err := c.clientConfig().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig (or give --url): %w", err)
	}
	cfg.UserAgent = "kubectl-truce/" + versionOf()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	pods, err := client.CoreV1().Pods(c.install).List(ctx, metav1.ListOptions{LabelSelector: c.selector})
	if err != nil {
		return nil, fmt.Errorf("finding Truce's pods: %w", err)
	}
	var all []replica
	token := ""
	for _, pod := range pods.Items {
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		if token == "" {
			if token, err = c.authorization(ctx, cfg, client, account); err != nil {
				return nil, err
			}
		}
		all = append(all, c.proxied(client, pod.Name, token))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no pod of Truce runs in namespace %s with labels %s; see --truce-namespace and --selector",
			c.install, c.selector)
	}
	return all, nil
}

// authorization returns the header by which Truce asks the API server who we are.
func (c *connection) authorization(ctx context.Context, cfg *rest.Config, client kubernetes.Interface, account string,
) (string, error) {
	if c.token != "" {
		return "Bearer " + c.token, nil
	}
	if c.account == "" {
		if header := authorizationOf(cfg); strings.HasPrefix(header, "Bearer ") {
			return header, nil
		}
		c.account = account
	}
	seconds := int64(600) // as short as there is
	t, err := client.CoreV1().ServiceAccounts(c.install).CreateToken(ctx, c.account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("Truce wants a bearer token, of which the kubeconfig has none (give --token), "+
			"and one of the service account %s/%s is not to be had: %w", c.install, c.account, err)
	}
	return "Bearer " + t.Status.Token, nil
}

// authorizationOf returns the Authorization header that the kubeconfig's user sends, whatever it is made by; empty if
// none is, as with client certificates.
func authorizationOf(cfg *rest.Config) (header string) {
	rt, err := rest.HTTPWrappersForConfig(cfg, roundTrip(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Get("Authorization")
		return nil, errors.New("that was all we wanted to know")
	}))
	if err != nil {
		return ""
	}
	req, err := http.NewRequest(http.MethodGet, cfg.Host, nil)
	if err != nil {
		return ""
	}
	resp, err := rt.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return header
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// proxied returns the replica in a pod, behind the API server's proxy.
func (c *connection) proxied(client kubernetes.Interface, pod, authorization string) replica {
	scheme := ""
	if c.tls {
		scheme = "https"
	}
	name := utilnet.JoinSchemeNamePort(scheme, pod, c.port)
	return replica{pod, func(ctx context.Context, method, path string, query url.Values, body []byte) (int, []byte, error) {
		r := client.CoreV1().RESTClient().Verb(method).Namespace(c.install).Resource("pods").SubResource("proxy").Name(name).
			Suffix(path).SetHeader(report.TokenHeader, authorization).MaxRetries(0)
		for k, vs := range query {
			for _, v := range vs {
				r.Param(k, v)
			}
		}
		if body != nil {
			r.Body(body).SetHeader("Content-Type", "application/json")
		}
		status := 0
		result := r.Do(ctx).StatusCode(&status)
		answer, err := result.Raw()
		if status != 0 && answer != nil {
			err = nil // an answer, be it a refusal
		}
		return status, answer, err
	}}
}

// direct returns the replica at a URL.
func (c *connection) direct(base string) replica {
	return replica{base, func(ctx context.Context, method, path string, query url.Values, body []byte) (int, []byte, error) {
		u := strings.TrimSuffix(base, "/") + path
		if len(query) > 0 {
			u += "?" + query.Encode()
		}
		req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
		return resp.StatusCode, answer, err
	}}
}

// reply is what one replica answered.
type reply struct {
	replica string
	status  int
	body    []byte
	err     error
}

// askAll asks all replicas at once.
func (c *connection) askAll(ctx context.Context, all []replica, method, path string, query url.Values, body []byte) []reply {
	replies := make([]reply, len(all))
	var asked sync.WaitGroup
	for i, r := range all {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.timeout)
			defer cancel()
			status, answer, err := r.ask(ctx, method, path, query, body)
			replies[i] = reply{r.name, status, answer, err}
		})
	}
	asked.Wait()
	return replies
}

// read returns what the replicas answer, decoded. Those that do not are reported to warn, and are an error only if none
// does.
func read[T any](ctx context.Context, c *connection, warn io.Writer, path string, query url.Values) ([]T, error) {
	all, err := c.replicas(ctx, viewer)
	if err != nil {
		return nil, err
	}
	var answers []T
	var failures []error
	for _, r := range c.askAll(ctx, all, http.MethodGet, path, query, nil) {
		var v T
		err := r.failure()
		if err == nil {
			err = json.Unmarshal(r.body, &v)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", r.replica, err))
			continue
		}
		answers = append(answers, v)
	}
	if len(answers) == 0 {
		return nil, errors.Join(failures...)
	}
	for _, err := range failures {
		fmt.Fprintln(warn, "truce: left out:", err)
	}
	return answers, nil
}

// failure returns what kept the replica from answering with 200.
func (r *reply) failure() error {
	switch {
	case r.err != nil:
		return r.err
	case r.status != http.StatusOK:
		text := strings.TrimSpace(string(r.body))
		var status metav1.Status
		if json.Unmarshal(r.body, &status) == nil && status.Message != "" { // of the API server's proxy
			text = status.Message
		}
		return fmt.Errorf("%d: %s", r.status, text)
	}
	return nil
}
