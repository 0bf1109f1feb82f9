package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/replay"
)

func newReplay() *cobra.Command {
	var file, mode, output string
	cmd := &cobra.Command{
		Use:   "replay STORY...",
		Short: "Play stories of fights and look-alikes through the webhook's code, in virtual time",
		Long: `Play stories of fights and look-alikes through the very code that the webhook runs, in virtual time, against a
simulated API server. STORY is a file or a folder; testdata/corpus/FORMAT.md describes the format.

Exit code 1 if any story is not judged as it expects.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("--output is %q, it must be table or json", output)
			}
			p, err := loadPolicy(file, mode)
			if err != nil {
				return err
			}
			report := replay.Run(paths, replay.Options{Reviewer: func() replay.Reviewer {
				return admission.NewGuard(p, history.New(admission.Bounds(p)), history.NewHasher())
			}})
			write := report.WriteTable
			if output == "json" {
				write = report.WriteJSON
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			for _, err := range report.Errors {
				fmt.Fprintln(cmd.ErrOrStderr(), "truce: "+err.Error())
			}
			if !report.OK() {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "policy", "", "policy `file`; the built-in default policy if left out")
	cmd.Flags().StringVar(&mode, "mode", "", "`mode` to play in instead of the policy's: Audit, Warn or Enforce")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "output `format`: table, or json, one object per line")
	return cmd
}

// loadPolicy loads a policy file, or the default policy if it has no name, in a mode of its own if one is given.
func loadPolicy(file, mode string) (*policy.Policy, error) {
	p := policy.Default()
	if file != "" {
		var err error
		if p, err = policy.LoadFile(file); err != nil {
			return nil, err
		}
	}
	if mode == "" {
		return p, nil
	}
	return p.WithMode(policy.Mode(mode))
}
