package main

import (
	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/audit"
)

func newAuditFights() *cobra.Command {
	var flags auditFlags
	var fail failOn
	var file string
	cmd := &cobra.Command{
		Use:   "fights [LOG...]",
		Short: "List fights and loops, those that did the most damage first",
		Long: `List fights and loops that the log shows, found by the very code that the webhook runs, also those over resources of
which the API server tells no webhook. The ones that wrote the most bytes come first.

What can be found depends on the level that the audit policy records writes at. RequestResponse: everything. Request: what
clients sent, without defaults, other webhooks' changes and server-side apply's removals. Metadata: objects created and
deleted by turns, and who wrote what by turns, but not which fields.

Exit code 2 with --fail-on if something is found.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fail.check(); err != nil {
				return err
			}
			p, err := loadPolicy(file, "")
			if err != nil {
				return err
			}
			in, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			found, err := audit.FindFights(in.ctx, in.Input, p)
			in.finish()
			if err != nil {
				return err
			}
			if err := flags.print(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			return fail.judge(found)
		},
	}
	flags.add(cmd, "table", "json", "yaml")
	fail.add(cmd)
	cmd.Flags().StringVar(&file, "policy", "", "policy `file` whose thresholds and look-alikes count; the built-in one if left out")
	return cmd
}
