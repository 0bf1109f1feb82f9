package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/audit"
)

func newAuditTop() *cobra.Command {
	var flags auditFlags
	var by []string
	o := audit.TopOptions{}
	cmd := &cobra.Command{
		Use:   "top [LOG...]",
		Short: "List who makes the most requests, at what rate, and in which bursts",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.By, err = audit.ParseDimensions(by); err != nil {
				return err
			}
			if o.Per < time.Second {
				return errors.New("--per must be 1s at least")
			}
			if o.Limit < 1 {
				return errors.New("--limit must be 1 at least")
			}
			in, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			top, err := audit.CountTop(in.ctx, in.Input, o)
			in.finish()
			if err != nil {
				return err
			}
			return flags.print(cmd.OutOrStdout(), top)
		},
	}
	flags.add(cmd, "table", "json", "yaml")
	cmd.Flags().StringSliceVar(&by, "by", []string{"user", "verb", "resource"}, "`what` tells requests apart: "+audit.Dimensions())
	cmd.Flags().DurationVar(&o.Per, "per", time.Minute, "`length` of the intervals for peaks and bursts")
	cmd.Flags().IntVar(&o.Limit, "limit", 20, "`number` of rows")
	return cmd
}
