package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/truce-dev/truce/pkg/audit"
)

func newAuditReport() *cobra.Command {
	var flags auditFlags
	var out, file string
	cmd := &cobra.Command{
		Use:   "report -o FILE [LOG...]",
		Short: "Write all of it as one HTML page to send to a colleague",
		Long: `Write fights, who calls, bursts and list storms as one HTML file. It loads nothing, and opens from a disk. Values of
fields are not in it, hashes are; names of objects and users are.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return errors.New("--output says which file the report goes to, - for standard output")
			}
			p, err := loadPolicy(file, "")
			if err != nil {
				return err
			}
			in, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			err = audit.WriteReport(in.ctx, in.Input, p, time.Now(), &b)
			in.finish()
			if err != nil {
				return err
			}
			if out == "-" {
				_, err = cmd.OutOrStdout().Write(b.Bytes())
				return err
			}
			if err := os.WriteFile(out, b.Bytes(), 0o600); err != nil {
				return fmt.Errorf("writing the report: %w", err)
			}
			return nil
		},
	}
	flags.addFilters(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "HTML `file` to write")
	cmd.Flags().StringVar(&file, "policy", "", "policy `file` whose thresholds and look-alikes count; the built-in one if left out")
	return cmd
}
