package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/pkg/report"
)

// lookEvery is how often --watch looks.
const lookEvery = 2 * time.Second

func newFights() *cobra.Command {
	var c connection
	var all, watch, ended bool
	var output string
	cmd := &cobra.Command{
		Use:   "fights",
		Short: "List the fights that go on",
		Long: "List the fights and loops that go on, of all replicas together: in the context's namespace and of the\n" +
			"cluster's objects, or with -A in all namespaces.",
		Example: "  truce fights -A\n  truce fights -n shop -w\n  truce fights --url http://localhost:8081 -o yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch output {
			case "", "wide", "json", "yaml":
			default:
				return fmt.Errorf("-o: %q is none of wide, json and yaml", output)
			}
			namespace := ""
			if !all {
				namespace = c.inNamespace()
			}
			seen := map[string]string{}
			header := true
			for {
				fights, err := listFights(cmd.Context(), &c, cmd.ErrOrStderr(), namespace, ended)
				if err != nil {
					return err
				}
				if watch {
					fights = news(seen, fights)
				}
				if err := printFights(cmd.OutOrStdout(), fights, output, header, time.Now()); err != nil {
					return err
				}
				if !watch {
					if len(fights) == 0 && (output == "" || output == "wide") {
						fmt.Fprintln(cmd.ErrOrStderr(), "No fights.")
					}
					return nil
				}
				header = header && len(fights) == 0
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(lookEvery):
				}
			}
		},
	}
	c.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "in all namespaces")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and print fights again when they change")
	cmd.Flags().BoolVar(&ended, "ended", false, "also those that ended lately")
	cmd.Flags().StringVarP(&output, "output", "o", "", "wide, json or yaml")
	return cmd
}

func listFights(ctx context.Context, c *connection, warn io.Writer, namespace string, ended bool) ([]report.Fight, error) {
	answers, err := read[report.Fights](ctx, c, warn, report.APIRoot+"/fights", nil)
	if err != nil {
		return nil, err
	}
	lists := make([][]report.Fight, len(answers))
	for i, a := range answers {
		lists[i] = a.Items
	}
	fights := []report.Fight{}
	for _, f := range report.MergeFights(lists...) { // the replicas' views differ: only what they say together is filtered
		if (ended || f.State.Active()) && (namespace == "" || f.Object.Namespace == namespace || f.Object.Namespace == "") {
			fights = append(fights, f)
		}
	}
	return fights, nil
}

// news returns the fights that changed since they were seen.
func news(seen map[string]string, fights []report.Fight) (changed []report.Fight) {
	for _, f := range fights {
		if now := fmt.Sprint(f.State, f.Writes, f.Until); seen[f.ID] != now {
			seen[f.ID] = now
			changed = append(changed, f)
		}
	}
	return changed
}

func printFights(w io.Writer, fights []report.Fight, output string, header bool, now time.Time) error {
	switch output {
	case "json":
		b, err := json.MarshalIndent(report.Fights{Items: fights}, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(w, string(b))
		}
		return err
	case "yaml":
		b, err := yaml.Marshal(report.Fights{Items: fights})
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
	if len(fights) == 0 {
		return nil
	}
	wide := output == "wide"
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if header {
		fmt.Fprint(t, "ID\tNAMESPACE\tOBJECT\tFIELD\tPARTIES\tAGE\tPER MIN\tSTATE\tUNTIL\tPREVENTED")
		if wide {
			fmt.Fprint(t, "\tKIND\tSIGNAL\tRULE\tMODE\tACTION\tWRITES\tREVERSALS\tLAST")
		}
		fmt.Fprintln(t)
	}
	for _, f := range fights {
		state := string(f.State)
		if f.ObservedOnly {
			state += " (observed)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\t%s\t%d", f.ID, cmp.Or(f.Object.Namespace, "-"), f.Object,
			cmp.Or(clip(f.Field, 60, wide), "-"), clip(partyList(f.Parties, wide), 60, wide), age(now.Sub(f.Detected)),
			f.RatePerMinute, state, remaining(f.Until, now), f.Prevented.Total())
		if wide {
			fmt.Fprintf(t, "\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s ago", f.Kind, f.Signal, f.Rule, f.Mode, f.Action, f.Writes,
				f.Reversals, age(now.Sub(f.LastSeen)))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// partyList names the parties: by their managers if there is one, in full if there is room.
func partyList(all []report.Writer, full bool) string {
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.String()
		if !full {
			names[i] = shortWriter(w)
		}
	}
	return strings.Join(names, ", ")
}

func shortWriter(w report.Writer) string {
	if w.Manager != "" {
		return w.Manager
	}
	return cmp.Or(strings.TrimPrefix(w.User, "system:serviceaccount:"), w.Pod, "unknown")
}

// clip cuts s if it is long, unless there is room.
func clip(s string, n int, room bool) string {
	if r := []rune(s); !room && len(r) > n {
		return string(r[:n/2]) + "…" + string(r[len(r)-n/2+1:])
	}
	return s
}

// age writes a duration as kubectl does.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func remaining(until, now time.Time) string {
	if until.IsZero() {
		return "-"
	}
	if !until.After(now) {
		return until.Local().Format(time.TimeOnly) + " (over)"
	}
	return until.Local().Format(time.TimeOnly) + " (" + age(until.Sub(now)) + ")"
}

func newDescribe() *cobra.Command {
	cmd := &cobra.Command{Use: "describe", Short: "Tell all about a fight"}
	var c connection
	fight := &cobra.Command{
		Use:   "fight ID",
		Short: "Tell all about a fight",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := findFight(cmd.Context(), &c, cmd.ErrOrStderr(), args[0])
			if err != nil {
				return err
			}
			return describe(cmd.OutOrStdout(), f, time.Now())
		},
	}
	c.addFlags(fight.Flags())
	cmd.AddCommand(fight)
	return cmd
}

// findFight returns the only fight whose id begins so.
func findFight(ctx context.Context, c *connection, warn io.Writer, id string) (report.Fight, error) {
	fights, err := listFights(ctx, c, warn, "", true)
	if err != nil {
		return report.Fight{}, err
	}
	var found []report.Fight
	for _, f := range fights {
		if strings.HasPrefix(f.ID, id) {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return report.Fight{}, fmt.Errorf("there is no fight %s; truce fights -A --ended lists all", id)
	case 1:
		return found[0], nil
	}
	return report.Fight{}, fmt.Errorf("%d fights have an id that begins with %s", len(found), id)
}

func describe(w io.Writer, f report.Fight, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(t, "%s:\t%v\n", name, value) }
	clock := func(x time.Time) string { return x.Local().Format(time.DateTime) + " (" + age(now.Sub(x)) + " ago)" }
	line("ID", f.ID)
	line("Kind", f.Kind)
	line("Object", f.Object)
	line("Namespace", cmp.Or(f.Object.Namespace, "-"))
	line("Field", cmp.Or(f.Field, "-"))
	line("Signal", f.Signal)
	line("Rule", fmt.Sprintf("%s (action %s, mode %s)", f.Rule, f.Action, f.Mode))
	state := string(f.State)
	if !f.Until.IsZero() {
		state += " until " + remaining(f.Until, now)
	}
	line("State", state)
	if f.ObservedOnly {
		line("Observed only", "admission never sees these writes; nothing can be done about them here")
	}
	line("First seen", clock(f.FirstSeen))
	line("Detected", clock(f.Detected))
	line("Last seen", clock(f.LastSeen))
	if !f.Ended.IsZero() {
		line("Ended", clock(f.Ended))
	}
	line("Writes", fmt.Sprintf("%d, %d of them reversals, %.1f per minute lately", f.Writes, f.Reversals, f.RatePerMinute))
	p := f.Prevented
	line("Prevented", fmt.Sprintf("%d (%d throttled, %d rejected, %d held)", p.Total(), p.Throttled, p.Rejected, p.Held))
	for i, party := range f.Parties {
		name := "Parties"
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(t, "%s\t%s\n", strings.TrimSuffix(name+":", " :"), party)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "Turns:")
	for _, turn := range f.Turns {
		fmt.Fprintf(w, "  %s  %s", turn.Time.Local().Format(time.DateTime), turn.Turn)
		if !turn.Until.IsZero() {
			fmt.Fprintf(w, ", until %s", turn.Until.Local().Format(time.TimeOnly))
		}
		if turn.By != "" {
			fmt.Fprintf(w, ", by %s", turn.By)
		}
		fmt.Fprintln(w)
	}
	return nil
}

func newRelease() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "End a truce now",
		Long: "End a truce now, in all replicas. The fight is over until its parties are found fighting anew, for which what\n" +
			"they did so far does not count.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return act(cmd, &c, args[0], "release", nil, func(f report.Fight) string {
				return fmt.Sprintf("The truce over %s of %s has ended.", f.Field, f.Object)
			})
		},
	}
	c.addFlags(cmd.Flags())
	return cmd
}

func newHold() *cobra.Command {
	var c connection
	var length time.Duration
	cmd := &cobra.Command{
		Use:     "hold ID",
		Short:   "Make a truce last",
		Long:    "Make the truce of a fight last, in all replicas, from now for as long as --for says: at most 7 days.",
		Example: "  truce hold f-7c1e0b527c1e --for 1h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if length <= 0 || length > report.MaxHold {
				return fmt.Errorf("--for: %v is out of bounds: give up to %v", length, report.MaxHold)
			}
			body, err := json.Marshal(map[string]string{"for": length.String()})
			if err != nil {
				return err
			}
			return act(cmd, &c, args[0], "hold", body, func(f report.Fight) string {
				return fmt.Sprintf("The truce over %s of %s lasts until %s.", f.Field, f.Object, f.Until.Local().Format(time.DateTime))
			})
		},
	}
	c.addFlags(cmd.Flags())
	cmd.Flags().DurationVar(&length, "for", time.Hour, "how long")
	return cmd
}

// act has all replicas do something to a fight. Those that do not know it have nothing to do.
func act(cmd *cobra.Command, c *connection, id, what string, body []byte, say func(report.Fight) string) error {
	f, err := findFight(cmd.Context(), c, cmd.ErrOrStderr(), id)
	if err != nil {
		return err
	}
	all, err := c.replicas(cmd.Context(), operator)
	if err != nil {
		return err
	}
	path := report.APIRoot + "/fights/" + url.PathEscape(f.ID) + "/" + what
	var failures []error
	done := 0
	for _, r := range c.askAll(cmd.Context(), all, http.MethodPost, path, nil, body) {
		if r.err == nil && r.status == http.StatusNotFound {
			continue
		}
		err := r.failure()
		if err == nil {
			err = json.Unmarshal(r.body, &f)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", r.replica, err))
			continue
		}
		done++
	}
	if done == 0 && len(failures) == 0 {
		return fmt.Errorf("no replica knows fight %s any more", f.ID)
	}
	if done == 0 {
		return errors.Join(failures...)
	}
	for _, err := range failures {
		fmt.Fprintln(cmd.ErrOrStderr(), "truce: not there:", err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), say(f))
	return err
}
