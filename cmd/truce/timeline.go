package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/pkg/report"
)

func newTimeline() *cobra.Command {
	var c connection
	var field, manager, since, output string
	cmd := &cobra.Command{
		Use:   "timeline KIND/NAME",
		Short: "Tell who changed which field of an object when",
		Long: "Tell who changed which field of an object when, of all that the replicas remember. Values are hidden unless\n" +
			"the policy shows them: letters tell which are the same. A ↺ marks a change that brings an earlier value back.",
		Example: "  truce timeline sa/web -n shop --since 1h\n  truce timeline deployment/web --field spec.replicas",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, name, ok := strings.Cut(args[0], "/")
			if !ok || kind == "" || name == "" {
				return fmt.Errorf("%q is no KIND/NAME, such as serviceaccount/web", args[0])
			}
			resource, namespaced, err := c.resource(kind)
			if err != nil {
				return err
			}
			q := url.Values{"object": {resource + "/" + name}}
			if ns := c.inNamespace(); namespaced && ns != "" {
				q.Set("namespace", ns)
			}
			for key, v := range map[string]string{"field": field, "manager": manager, "since": since} {
				if v != "" {
					q.Set(key, v)
				}
			}
			answers, err := read[report.Changes](cmd.Context(), &c, cmd.ErrOrStderr(), report.APIRoot+"/changes", q)
			if err != nil {
				return err
			}
			changes := report.MergeChanges(answers...)
			if len(answers) > 1 && changes.Key == "" {
				fmt.Fprintln(cmd.ErrOrStderr(),
					"truce: the replicas hash values with different keys (see --value-key of the webhook): compare those of one only")
			}
			return printTimeline(cmd.OutOrStdout(), changes, output)
		},
	}
	c.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&field, "field", "", "only this field, or with * at its end those that begin so")
	cmd.Flags().StringVar(&manager, "manager", "", "only changes by this field manager, user or pod")
	cmd.Flags().StringVar(&since, "since", "", "only since a time, or for so long, such as 1h")
	cmd.Flags().StringVarP(&output, "output", "o", "", "wide, json or yaml")
	return cmd
}

// resource returns the resource of a kind, resource or short name, as the API server knows it. With --url, there is
// nobody to ask: it is taken as it is.
func (c *connection) resource(kind string) (resource string, namespaced bool, err error) {
	if len(c.urls) > 0 {
		return strings.ToLower(kind), true, nil
	}
	cfg, err := c.clientConfig().ClientConfig()
	if err != nil {
		return "", false, fmt.Errorf("reading the kubeconfig (or give --url): %w", err)
	}
	client, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return "", false, err
	}
	// Some of the lists may be missing, when the server of an aggregated API is down.
	lists, err := client.ServerPreferredResources()
	if err != nil && len(lists) == 0 {
		return "", false, fmt.Errorf("asking the API server for its resources: %w", err)
	}
	kind = strings.ToLower(kind)
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			for _, n := range append([]string{r.Name, r.SingularName, strings.ToLower(r.Kind)}, r.ShortNames...) {
				if n != "" && (kind == n || kind == n+"."+gv.Group) {
					return schema.GroupResource{Group: gv.Group, Resource: r.Name}.String(), r.Namespaced, nil
				}
			}
		}
	}
	return "", false, fmt.Errorf("the API server has no %q", kind)
}

func printTimeline(w io.Writer, changes report.Changes, output string) error {
	switch output {
	case "json", "yaml":
		b, err := json.MarshalIndent(changes, "", "  ")
		if err == nil && output == "yaml" {
			b, err = yaml.JSONToYAML(b)
		}
		if err == nil {
			_, err = fmt.Fprintln(w, strings.TrimSpace(string(b)))
		}
		return err
	case "", "wide":
	default:
		return fmt.Errorf("-o: %q is none of wide, json and yaml", output)
	}
	if len(changes.Items) == 0 {
		return errors.New("no change is remembered; a policy's rules say which fields are watched")
	}
	if changes.Truncated {
		fmt.Fprintln(w, "(there are older ones: see --since and --field)")
	}
	names := letters{}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tFIELD\tCHANGE\t\tBY\tOUTCOME\tFIGHT")
	for _, c := range changes.Items {
		from, to := names.of(c.Field, c.From, c.FromValue), names.of(c.Field, c.To, c.ToValue)
		by, flip := shortWriter(c.Writer), ""
		if output == "wide" {
			from, to, by = c.From, c.To, c.Writer.String()
		}
		if c.Reversal {
			flip = "↺"
		}
		fmt.Fprintf(t, "%s\t%s\t%s → %s\t%s\t%s\t%s\t%s\n", c.Time.Local().Format(time.DateTime+".000"), c.Field, from, to, flip, by,
			c.Outcome, c.Fight)
	}
	return t.Flush()
}

// letters name the values of each field in the order in which they come: A, B, …
type letters map[string]map[string]string

func (l letters) of(field, hash, value string) string {
	if hash == "absent" || hash == "present" {
		return hash
	}
	if value != "" {
		return clip(value, 40, false)
	}
	if l[field] == nil {
		l[field] = map[string]string{}
	}
	if l[field][hash] == "" {
		l[field][hash] = letter(len(l[field]))
	}
	return l[field][hash]
}

func letter(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return letter(n/26-1) + string(rune('A'+n%26))
}
