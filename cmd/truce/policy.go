package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/truce-dev/truce/pkg/policy"
	"github.com/truce-dev/truce/pkg/registration"
)

func newLint() *cobra.Command {
	return &cobra.Command{
		Use:   "lint POLICY...",
		Short: "Check policy files",
		Long:  "Check policy files. Every problem is printed as file:line:column: path: what is wrong. Exit code 1 if there is any.",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			bad := false
			for _, f := range files {
				if _, err := policy.LoadFile(f); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
					bad = true
				}
			}
			if bad {
				return errSilent
			}
			return nil
		},
	}
}

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Work with policy files"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "default",
			Short: "Print the built-in default policy, with the presets",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(policy.DefaultYAML())
				return err
			},
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of policy files, for editors",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(policy.Schema())
				return err
			},
		},
		newWebhooks(),
	)
	return cmd
}

func newWebhooks() *cobra.Command {
	var name, service, address, bundle string
	cmd := &cobra.Command{
		Use:   "webhooks [POLICY]",
		Short: "Print the webhook configurations that a policy needs",
		Long: `Print the ValidatingWebhookConfiguration that a policy needs and, if a rule holds fields, the
MutatingWebhookConfiguration. Rules, selectors and match conditions are as narrow as the policy allows: writes that
cannot matter never reach the webhook. Without POLICY: those of the built-in default policy.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			p, err := loadPolicy(file, "")
			if err != nil {
				return err
			}
			e, err := endpoint(name, service, address, bundle)
			if err != nil {
				return err
			}
			validating, mutating := registration.Configurations(p, e)
			docs := []any{validating}
			if mutating != nil {
				docs = append(docs, mutating)
			}
			for _, d := range docs {
				text, err := yaml.Marshal(d)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "---\n%s", text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "truce", "`name` of the configurations")
	cmd.Flags().StringVar(&service, "service", "truce-system/truce:443", "Truce's Service, as `namespace/name:port`")
	cmd.Flags().StringVar(&address, "url", "", "`URL` (https://host:port) of a webhook that runs outside the cluster, instead of --service")
	cmd.Flags().StringVar(&bundle, "ca-bundle", "", "PEM `file` with the CA that signed the webhook's certificate")
	return cmd
}

func endpoint(name, service, address, bundle string) (registration.Endpoint, error) {
	e := registration.Endpoint{Name: name, URL: address}
	if address != "" {
		if u, err := url.Parse(address); err != nil || u.Host == "" || strings.TrimSuffix(address, "/") != "https://"+u.Host {
			return e, fmt.Errorf("--url is %q, it must be https://host:port without a path", address)
		}
	} else {
		ref := &admissionv1.ServiceReference{}
		namespace, rest, ok := strings.Cut(service, "/")
		host, number, hasPort := strings.Cut(rest, ":")
		if hasPort {
			n, err := strconv.ParseUint(number, 10, 16)
			ok = ok && err == nil && n > 0
			port := int32(n)
			ref.Port = &port
		}
		if !ok || namespace == "" || host == "" || strings.Contains(host, "/") {
			return e, fmt.Errorf("--service is %q, it must be namespace/name or namespace/name:port", service)
		}
		ref.Namespace, ref.Name = namespace, host
		e.Service = ref
	}
	if bundle != "" {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			return e, fmt.Errorf("reading --ca-bundle: %w", err)
		}
		if !strings.Contains(string(pem), "-----BEGIN CERTIFICATE-----") {
			return e, errors.New("--ca-bundle: " + bundle + " holds no PEM certificate")
		}
		e.CABundle = pem
	}
	return e, nil
}
