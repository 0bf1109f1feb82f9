package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/audit"
)

func newAuditTimeline() *cobra.Command {
	var flags auditFlags
	var o audit.TimelineOptions
	cmd := &cobra.Command{
		Use:   "timeline KIND/NAME [LOG...]",
		Short: "Tell the history of one object: who changed what, from what to what",
		Long: `Tell the history of one object: who changed which field, when, from what to what, with those that brought an earlier
value back marked. KIND is a kind or a resource: deployment, deployments.apps. The namespace is that of --namespace.

Values are shown, but never those of Secrets; --hash shows hashes instead.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ok bool
			if o.Kind, o.Name, ok = strings.Cut(args[0], "/"); !ok || o.Kind == "" || o.Name == "" {
				return fmt.Errorf("%q is no object: write KIND/NAME, such as deployment/web", args[0])
			}
			if o.Limit < 1 {
				return errors.New("--limit must be 1 at least")
			}
			in, err := flags.open(cmd, args[1:])
			if err != nil {
				return err
			}
			t, err := audit.FindTimeline(in.ctx, in.Input, o)
			in.finish()
			if err != nil {
				return err
			}
			return flags.print(cmd.OutOrStdout(), t)
		},
	}
	flags.add(cmd, "table", "json", "yaml")
	cmd.Flags().StringVar(&o.Field, "field", "", "only this `field` and what is below it, such as spec.replicas")
	cmd.Flags().BoolVar(&o.Hash, "hash", false, "show hashes instead of values")
	cmd.Flags().IntVar(&o.Limit, "limit", 1000, "`number` of changes, the latest ones")
	return cmd
}

func newAuditRelists() *cobra.Command {
	var flags auditFlags
	var per time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:   "relists [LOG...]",
		Short: "Find list storms: who lists everything, and what happened around it",
		Long: `Find clients that list everything again and again, and the moments when many did: lists without a resourceVersion,
which etcd has to answer, lists of version 0, which the API server's cache may, and watches that begin with a list. Beside
them: how long watches lasted, 410 Gone, 429, and the writes and starts of API servers at the time.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if per < time.Second {
				return errors.New("--per must be 1s at least")
			}
			if limit < 1 {
				return errors.New("--limit must be 1 at least")
			}
			in, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			found, err := audit.FindRelists(in.ctx, in.Input, per, limit)
			in.finish()
			if err != nil {
				return err
			}
			return flags.print(cmd.OutOrStdout(), found)
		},
	}
	flags.add(cmd, "table", "json", "yaml")
	cmd.Flags().DurationVar(&per, "per", 10*time.Second, "`length` of the intervals in which storms are looked for")
	cmd.Flags().IntVar(&limit, "limit", 20, "`number` of clients")
	return cmd
}

func newAuditQuery() *cobra.Command {
	var flags auditFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "query EXPR [LOG...]",
		Short: "Print the events of which a CEL expression is true",
		Long: `Print the events of which a CEL expression is true. It may name the members of an event as they are in JSON (verb,
user, objectRef, responseStatus, requestObject, annotations, …), and besides them code, the response's status, and latency,
the time that the request took:

  truce audit query 'verb == "patch" && objectRef.resource == "deployments" && code == 409' audit.log
  truce audit query 'user.username.startsWith("system:serviceaccount:") && latency > duration("1s")' audit.log

The output is the events themselves, one per line, or a table of the most telling members.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := audit.NewQuery(args[0])
			if err != nil {
				return err
			}
			if limit < 0 {
				return errors.New("--limit must be 0 at least")
			}
			in, err := flags.open(cmd, args[1:])
			if err != nil {
				return err
			}
			out := newEventWriter(cmd.OutOrStdout(), flags.output)
			err = q.Run(in.ctx, in.Input, limit, out.write)
			in.finish()
			return errors.Join(err, out.flush())
		},
	}
	flags.add(cmd, "jsonl", "table", "csv")
	cmd.Flags().IntVar(&limit, "limit", 0, "`number` of events, 0 for all")
	return cmd
}

// eventWriter writes events in one of the formats.
type eventWriter struct {
	write func(*audit.Event) error
	flush func() error
}

var eventColumns = []string{"time", "user", "verb", "resource", "namespace", "name", "code", "agent"}

func eventCells(e *audit.Event) []string {
	resource := string(e.Object.Resource)
	if len(e.Object.Group) > 0 {
		resource += "." + string(e.Object.Group)
	}
	if len(e.Object.Subresource) > 0 {
		resource += "/" + string(e.Object.Subresource)
	}
	agent, _, _ := strings.Cut(string(e.UserAgent), "/")
	return []string{
		e.Received.Time().Format("2006-01-02T15:04:05.000000Z"), string(e.User()), string(e.Verb), resource,
		string(e.Object.Namespace), string(e.Object.Name), strconv.Itoa(e.Code), agent,
	}
}

func newEventWriter(w io.Writer, format string) *eventWriter {
	switch format {
	case "csv":
		c := csv.NewWriter(w)
		_ = c.Write(eventColumns) // Error returns what went wrong
		return &eventWriter{
			write: func(e *audit.Event) error { return c.Write(eventCells(e)) },
			flush: func() error { c.Flush(); return c.Error() },
		}
	case "table":
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		n := 0
		fmt.Fprintln(t, strings.ToUpper(strings.Join(eventColumns, "\t")))
		return &eventWriter{
			write: func(e *audit.Event) error {
				cells := eventCells(e)
				for i := range cells {
					cells[i] = strings.Map(func(r rune) rune {
						if r < ' ' || r == 0x7f {
							return ' '
						}
						return r
					}, cells[i])
				}
				fmt.Fprintln(t, strings.Join(cells, "\t"))
				if n++; n%1000 == 0 { // memory stays bounded; columns may shift then
					return t.Flush()
				}
				return nil
			},
			flush: t.Flush,
		}
	}
	b := bufio.NewWriterSize(w, 64<<10)
	return &eventWriter{
		write: func(e *audit.Event) error {
			// Of a document of many lines an event has some, too.
			for line := range strings.Lines(string(e.Raw)) {
				if _, err := b.WriteString(strings.TrimSpace(line)); err != nil {
					return err
				}
			}
			return b.WriteByte('\n')
		},
		flush: b.Flush,
	}
}
