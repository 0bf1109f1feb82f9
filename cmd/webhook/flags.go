package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/truce-dev/truce/certs"
	"github.com/truce-dev/truce/certs/incluster"
	"github.com/truce-dev/truce/pkg/policy"
)

// Config is what the flags say, checked.
type Config struct {
	policy policySource

	certDir     string // empty: a certificate of our own
	selfCertDir string // empty: one that newSelfCert chooses
	selfHosts   certs.Hosts
	inCluster   inClusterConfig
	kubeconfig  string // empty: as a pod does

	clientCA    string // empty: clients are not authenticated
	clientNames []string

	listen    address
	opsListen address

	report reportConfig

	logLevel  slog.Level
	logFormat string

	shutdownDelay   time.Duration
	shutdownTimeout time.Duration

	checkConfig bool
}

// address is a place to listen at. The host may be empty (all addresses), the port 0 (any free one).
type address struct {
	host string
	port int
}

func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

const long = `Truce's admission webhook: remembers who wrote which field, finds writers that fight, and answers as a
policy says.

Reviews are served at /validate and /mutate over TLS. The certificate comes from one of three places. In a cluster,
--cert-secret names a Secret in which all replicas keep it: one of them makes and renews it, and writes the caBundle
of the webhook configurations. --cert-dir is a directory that somebody else fills. Without either, the server makes
a certificate authority and a certificate in a directory of its own, and prints the path of what belongs into the
caBundle. The files of --policy, --cert-dir and --client-ca are watched. A policy with problems is refused; the one in
force stays.

On SIGTERM or SIGINT the server says at /readyz that it is not ready, goes on serving for --shutdown-delay, takes no
more connections, finishes what is in flight, and exits with 0. A second signal ends it at once.`

// parseFlags reads the command line. done says that it asked for no more than what was printed to stdout. The error
// holds every problem, one per line.
func parseFlags(args []string, stdout io.Writer) (cfg Config, done bool, err error) {
	var problems []error
	done = true // unless RunE is reached
	cmd := &cobra.Command{
		Use:           "webhook",
		Short:         "Truce's admission webhook",
		Long:          long,
		Version:       versionLine(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done = false
			problems = append(problems, contradictions(cmd, &cfg)...)
			return nil
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(io.Discard)

	flags := cmd.Flags()
	flags.SortFlags = false
	add := func(v interface {
		Set(string) error
		String() string
		Type() string
	}, name, usage string) {
		flags.Var(v, name, usage)
	}
	flags.StringVar(&cfg.policy.path, "policy", "", "`FILE` with the policy; watched (default: the built-in policy)")
	add(checked(&problems, "mode", &cfg.policy.mode, "", "MODE", parseMode),
		"mode", "Audit, Warn or Enforce, instead of what the policy says")
	flags.StringVar(&cfg.certDir, "cert-dir", "",
		"`DIR` with tls.crt and tls.key; watched (default: make a certificate)")
	flags.StringVar(&cfg.selfCertDir, "self-cert-dir", "",
		"`DIR` for a certificate made by the server, one per server\n"+
			"(default: truce/certs in the user's cache directory, or a new temporary one)")
	add(checked(&problems, "self-cert-hosts", &cfg.selfHosts, "", "HOSTS", parseHosts),
		"self-cert-hosts",
		"names and addresses it is for, with commas between them\n(default: localhost and this machine's name)")
	add(checked(&problems, "cert-secret", &cfg.inCluster.secret, "", "NAMESPACE/NAME", parseNamespacedName),
		"cert-secret", "Secret in which the replicas keep certificate authority and certificate;\n"+
			"one of them, which holds the Lease of the same name, renews them")
	add(&listValue[incluster.Target]{checked(&problems, "webhook-config", new(incluster.Target), "", "KIND/NAME",
		incluster.ParseTarget), &cfg.inCluster.targets},
		"webhook-config", "validating/NAME or mutating/NAME, whose webhooks get the caBundle;\n"+
			"may be given several times")
	add(checked(&problems, "service", &cfg.inCluster.service, "", "NAMESPACE/NAME", parseNamespacedName),
		"service", "Service by which the API server calls the webhook, for the names of the\n"+
			"certificate; --self-cert-hosts adds others")
	flags.StringVar(&cfg.kubeconfig, "kubeconfig", "",
		"`FILE` that says how to reach the API server (default: as a pod does)")
	flags.StringVar(&cfg.clientCA, "client-ca", "",
		"`FILE` with the certificate authority of the API server's client certificate;\n"+
			"watched (default: whoever reaches the port may send reviews)")
	add(&listValue[string]{checked(&problems, "client-name", new(string), "", "NAME", parseName), &cfg.clientNames},
		"client-name", "common name or DNS name that this certificate must have;\n"+
			"may be given several times (default: any)")
	add(checked(&problems, "listen", &cfg.listen, ":9443", "ADDRESS", parseAddress),
		"listen", "where reviews are served; port 0 is any free one")
	add(checked(&problems, "ops-listen", &cfg.opsListen, "127.0.0.1:8081", "ADDRESS", parseAddress),
		"ops-listen", "where /healthz, /readyz, /metrics and /api/v1 are served; port 0 is any free one.\n"+
			"Unless it is a loopback address, the API server is asked who may read the last two")
	flags.BoolVar(&cfg.report.opsTLS, "ops-tls", false, "serve operations over TLS, with the certificate of the reviews")
	flags.BoolVar(&cfg.report.metricsAuth, "metrics-auth", true,
		"ask who may read /metrics, too; false if whoever reaches the port may")
	flags.BoolVar(&cfg.report.events, "events", true, "write Kubernetes Events about fights, if there is an API server")
	add(checked(&problems, "top-fights", &cfg.report.topFights, "0", "N", parseTop),
		"top-fights", "how many of the fastest fights get a metric with the object's name, up to 100")
	flags.StringVar(&cfg.report.valueKey, "value-key", "",
		"`FILE` with a secret for the hashes of values that are shown; give all replicas the same,\n"+
			"so that what they show can be compared (default: one in --journal-dir, or a random one)")
	flags.BoolVar(&cfg.report.watch, "watch", true,
		"watch what admission cannot see, if there is an API server: webhook configurations,\n"+
			"admission policies, and what the policy lists under observe")
	flags.StringVar(&cfg.report.journal, "journal-dir", "",
		"`DIR` in which to keep changes, one per server (default: changes are kept in memory only)")
	add(checked(&problems, "journal-age", &cfg.report.journalAge, "168h", "TIME", parseAge),
		"journal-age", "how long changes are kept there")
	add(checked(&problems, "journal-size", &cfg.report.journalSize, "256Mi", "SIZE", parseSize),
		"journal-size", "how large the journal gets there, about")
	flags.StringVar(&cfg.report.notify, "notify", "",
		"`FILE` of receivers that are told of fights and changes: Slack, Teams, HTTP, CloudEvents")
	add(checked(&problems, "notify-claims", &cfg.report.notifyClaims, "", "NAMESPACE/NAME", parseNamespacedName),
		"notify-claims", "ConfigMap by which replicas agree on which of them tells what\n"+
			"(default: each tells what it sees)")
	add(checked(&problems, "log-level", &cfg.logLevel, "info", "LEVEL", parseLevel),
		"log-level", "debug, info, warn or error")
	add(checked(&problems, "log-format", &cfg.logFormat, "json", "FORMAT", parseFormat),
		"log-format", "json or console")
	add(checked(&problems, "shutdown-delay", &cfg.shutdownDelay, "5s", "TIME", parseWait),
		"shutdown-delay", "how long to go on serving after a signal,\nuntil nobody sends reviews here any more")
	add(checked(&problems, "shutdown-timeout", &cfg.shutdownTimeout, "20s", "TIME", parseWait),
		"shutdown-timeout", "how long to wait, after that, for what is in flight;\n"+
			"together with the delay less than the pod's terminationGracePeriodSeconds")
	flags.BoolVar(&cfg.checkConfig, "check-config", false, "load the policy and the receivers, print OK or every problem, and exit")
	flags.Bool("version", false, "print the version and exit")

	if err := cmd.Execute(); err != nil {
		problems = append(problems, err)
	}
	return cfg, done, errors.Join(problems...)
}

// contradictions looks at what no flag shows alone, and fills in defaults that depend on other flags.
func contradictions(cmd *cobra.Command, cfg *Config) (problems []error) {
	changed := cmd.Flags().Changed
	for _, name := range []string{
		"policy", "cert-dir", "self-cert-dir", "kubeconfig", "client-ca", "value-key", "journal-dir", "notify",
	} {
		if changed(name) && cmd.Flag(name).Value.String() == "" {
			problems = append(problems, fmt.Errorf("--%s is empty: give a path, or leave the flag out", name))
		}
	}
	for _, name := range []string{"self-cert-dir", "self-cert-hosts"} {
		if changed(name) && cfg.certDir != "" {
			problems = append(problems, fmt.Errorf("--%s and --cert-dir contradict each other: "+
				"with --cert-dir, the server makes no certificate", name))
		}
	}
	if cfg.listen == cfg.opsListen && cfg.listen.port != 0 {
		problems = append(problems,
			fmt.Errorf("--listen and --ops-listen are both %s: give them different ports", cfg.listen))
	}
	for _, name := range []string{"cert-dir", "self-cert-dir"} {
		if changed(name) && changed("cert-secret") {
			problems = append(problems, fmt.Errorf("--%s and --cert-secret contradict each other: "+
				"the certificate comes from one place", name))
		}
	}
	for _, name := range []string{"webhook-config", "service"} {
		if changed(name) && !changed("cert-secret") {
			problems = append(problems, fmt.Errorf("--%s is of no use without --cert-secret", name))
		}
	}
	if changed("cert-secret") {
		problems = append(problems, cfg.completeInCluster(changed)...)
	}
	if changed("notify-claims") && !changed("notify") {
		problems = append(problems, errors.New("--notify-claims is of no use without --notify"))
	}
	if changed("client-name") && !changed("client-ca") {
		problems = append(problems, errors.New("--client-name is of no use without --client-ca"))
	}
	if !changed("self-cert-hosts") {
		cfg.selfHosts = defaultHosts(cfg.listen.host)
	}
	return problems
}

// completeInCluster says what --cert-secret lacks, and puts together what the certificate is for.
func (cfg *Config) completeInCluster(changed func(string) bool) (problems []error) {
	if !changed("webhook-config") {
		problems = append(problems, errors.New("--cert-secret needs --webhook-config: "+
			"the API server verifies the certificate by the caBundle in there"))
	}
	if changed("service") {
		s := cfg.inCluster.service
		// The first is what the API server asks for; the others are what people at work in the cluster do.
		cfg.inCluster.hosts, _ = certs.ParseHosts([]string{ // parts that are good make names that are good
			s.Name + "." + s.Namespace + ".svc", s.Name + "." + s.Namespace, s.Name + "." + s.Namespace + ".svc.cluster.local",
		})
	}
	if changed("self-cert-hosts") {
		cfg.inCluster.hosts = cfg.inCluster.hosts.And(cfg.selfHosts)
	} else if !changed("service") {
		problems = append(problems, errors.New("--cert-secret needs --service: the certificate must have its names"))
	}
	return problems
}

// defaultHosts are what clients on this machine and, by its name, on others call the server.
func defaultHosts(listenHost string) certs.Hosts {
	list := []string{"localhost", "127.0.0.1", "::1"}
	for _, host := range []string{listenHost, hostname()} {
		if _, err := certs.ParseHosts([]string{host}); err == nil {
			list = append(list, host)
		}
	}
	hosts, _ := certs.ParseHosts(list) // each of them is good
	return hosts
}

func hostname() string {
	name, _ := os.Hostname() // without a name, the certificate is not for it
	return name
}

// flagValue is a flag whose problem, if it has one, joins a list, so that all are reported at once.
type flagValue[T any] struct {
	problems *[]error
	name     string
	into     *T
	text     string
	kind     string
	parse    func(string) (T, error)
}

// checked returns a flag that starts as initial. An empty initial text leaves into as it is.
func checked[T any](problems *[]error, name string, into *T, initial, kind string,
	parse func(string) (T, error),
) *flagValue[T] {
	v := &flagValue[T]{problems: problems, name: name, into: into, kind: kind, parse: parse}
	if initial != "" {
		_ = v.Set(initial) // what is wrong with a default is noted among the problems
	}
	return v
}

func (v *flagValue[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err != nil {
		*v.problems = append(*v.problems, fmt.Errorf("--%s: %w", v.name, err))
		return nil
	}
	v.text, *v.into = text, parsed
	return nil
}

func (v *flagValue[T]) String() string { return v.text }
func (v *flagValue[T]) Type() string   { return v.kind }

// listValue is a flag that may be given several times.
type listValue[T any] struct {
	*flagValue[T]
	list *[]T
}

func (v *listValue[T]) Set(text string) error {
	before := len(*v.problems)
	_ = v.flagValue.Set(text) // what is wrong is noted among the problems
	if len(*v.problems) == before {
		*v.list = append(*v.list, *v.into)
	}
	return nil
}

func parseNamespacedName(text string) (types.NamespacedName, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, fmt.Errorf("%q is no name: give NAMESPACE/NAME", text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

func parseName(text string) (string, error) {
	if text == "" {
		return "", errors.New("it is empty: give the name in the certificate, or leave the flag out")
	}
	return text, nil
}

func parseMode(text string) (policy.Mode, error) {
	switch mode := policy.Mode(text); mode {
	case policy.Audit, policy.Warn, policy.Enforce:
		return mode, nil
	}
	return "", fmt.Errorf("%q is no mode: give Audit, Warn or Enforce", text)
}

func parseHosts(text string) (certs.Hosts, error) { return certs.ParseHosts(strings.Split(text, ",")) }

func parseAddress(text string) (address, error) {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return address{}, fmt.Errorf("%q is no address: give host:port or :port", text)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return address{}, fmt.Errorf("%q is no address: the port must be a number from 0 to 65535", text)
	}
	return address{host, int(port)}, nil
}

func parseLevel(text string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[text]
	if !ok {
		return 0, fmt.Errorf("%q is no level: give debug, info, warn or error", text)
	}
	return level, nil
}

func parseFormat(text string) (string, error) {
	if text != formatJSON && text != formatConsole {
		return "", fmt.Errorf("%q is no format: give %s or %s", text, formatJSON, formatConsole)
	}
	return text, nil
}

func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no time: give it with its unit, such as 5s", text)
	case d < 0 || d > 10*time.Minute:
		return 0, fmt.Errorf("%s is out of bounds: give 0s to 10m", text)
	}
	return d, nil
}

// defaultSelfCertDir is the same at each start, so that what was registered with its authority stays good. A
// temporary directory must be a new one: in one that can be foretold, somebody else could have left an authority.
func defaultSelfCertDir() (string, error) {
	if cache, err := os.UserCacheDir(); err == nil {
		return filepath.Join(cache, "truce", "certs"), nil
	}
	return os.MkdirTemp("", "truce-certs-")
}
