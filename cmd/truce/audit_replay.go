package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/audit"
	"github.com/truce-dev/truce/pkg/policy"
)

func newAuditReplay() *cobra.Command {
	var flags auditFlags
	var file, mode, other string
	cmd := &cobra.Command{
		Use:   "replay [LOG...]",
		Short: "Try a policy on the past: what it would have warned about, throttled, rejected, held",
		Long: `Take every recorded write through the very code of the webhook, in the time of the log, and say what the policy would
have done: which writes it would have warned about or stopped, whose, what would have been stored, and which fights to
look at before it enforces anything.

A log tells what clients did, not what they would have done, had they been denied: most try again. So each write is taken
for what its writer meant to change, and made upon what would have been stored by then.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var policies []audit.NamedPolicy
			for i, name := range []string{file, other} {
				if i > 0 && name == "" {
					continue
				}
				p, err := loadPolicy(name, mode)
				if err != nil {
					return err
				}
				policies = append(policies, audit.NamedPolicy{Name: cmp.Or(name, "built-in policy"), Policy: p, Mode: p.File.Mode})
			}
			in, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			runs, err := audit.RunBacktests(in.ctx, in.Input, policies...)
			in.finish()
			if err != nil {
				return err
			}
			return flags.print(cmd.OutOrStdout(), audit.Backtests(runs))
		},
	}
	flags.add(cmd, "table", "json", "yaml")
	cmd.Flags().StringVar(&file, "policy", "", "policy `file`; the built-in policy if left out")
	cmd.Flags().StringVar(&mode, "mode", string(policy.Enforce), "`mode` to try it in: Audit, Warn or Enforce; empty for the policy's own")
	cmd.Flags().StringVar(&other, "compare", "", "another policy `file` to try on the same writes")
	return cmd
}
