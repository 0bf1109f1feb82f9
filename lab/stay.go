package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/lab/stage"
	"github.com/truce-dev/truce/test/cluster"
)

// What one can try in.
const (
	demoNamespace = "demo"
	demoName      = "shared"
)

// stay keeps everything up until ctx ends, for whoever wants to try something, and shows the fights that come of it.
func (l *lab) stay(ctx context.Context) error {
	if err := l.prepareDemo(ctx); err != nil {
		return err
	}
	s := l.screen
	s.heading("Try it yourself")
	s.text("All of it stays up until Ctrl-C, with the last policy in force: annotations are held, all else is " +
		"throttled. Fights that you provoke are shown below. In another terminal:")
	s.lines("")
	if _, err := exec.LookPath("kubectl"); err != nil {
		s.lines(s.dim("  # There is no kubectl on the PATH. This builds one, in some minutes:"),
			s.cyan(fmt.Sprintf(`  export PATH="$PATH:$(go -C %s/test/controlplane run . kubectl)"`, quote(cluster.Root()))), "")
	}
	s.lines(s.commands(commands(l.stage.Cluster.Kubeconfig, l.stage.PolicyFile(), l.stage.Webhook.OpsAddress))...)

	l.stage.OnFight(func(e stage.Entry) { s.fight(e, clock(e.Time)) })
	defer l.stage.OnFight(nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-l.stage.Entries:
			l.reloaded(ctx, e)
		}
	}
}

// reloaded shows what came of a change of the policy file, and registers what the new policy needs.
func (l *lab) reloaded(ctx context.Context, e stage.Entry) {
	switch {
	case e.Msg == stage.MsgLoaded:
		text := fmt.Sprintf("mode %s, %s.", e.Mode, count(e.Rules, "rule"))
		if _, err := l.stage.Register(ctx); err != nil {
			text += " But " + err.Error()
		}
		l.screen.event(clock(e.Time), l.screen.green, "POLICY LOADED", text)
	case e.Msg == stage.MsgProblem:
		l.screen.event(clock(e.Time), l.screen.red, "POLICY PROBLEM",
			fmt.Sprintf("line %d, column %d: %s: %s", e.Line, e.Column, e.Path, e.Problem))
	case e.Level == "ERROR" || e.Level == "WARN":
		l.screen.event(clock(e.Time), l.screen.yellow, e.Level, strings.TrimSpace(e.Msg+" "+e.Error))
	}
}

// command is something to try.
type command struct {
	why   string
	lines []string
}

// commands are what to try. kubectl counts as a person at work, who toggles things and is left alone; so the fights
// here are fought in the name of controllers.
func commands(kubeconfig, policyFile, ops string) []command {
	fight := func(verb, object string) []string {
		return []string{
			`while sleep 0.2; do for who in red blue; do`,
			`  kubectl -n ` + demoNamespace + ` ` + verb + ` ` + object + ` --overwrite colour=$who \`,
			`    --as=system:serviceaccount:` + demoNamespace + `:$who --field-manager=$who`,
			`done; done`,
		}
	}
	return []command{
		{"Who you are here: an administrator.", []string{"export KUBECONFIG=" + quote(kubeconfig)}},
		{"What the API server sends to Truce.", []string{
			"kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
		}},
		{"Two controllers disagree about an annotation of a ServiceAccount: held. kubectl by itself counts as a person, " +
			"and people may toggle things; hence the names.", fight("annotate", "serviceaccount/"+demoName)},
		{"A label of a ConfigMap: throttled.", fight("label", "configmap/"+demoName)},
		{"The policy. Change it and save, it is read at once; what is wrong with it shows below.", []string{
			"${EDITOR:-vi} " + quote(policyFile),
		}},
		{"Fights, and who changed what, for a browser.", []string{"http://" + ops + "/"}},
		{"The same here, in this directory; what kubectl says; metrics.", []string{
			"go run ./cmd/truce fights -A --url=http://" + ops,
			"kubectl -n " + demoNamespace + " describe serviceaccount/" + demoName,
			"curl -s http://" + ops + "/metrics | grep ^truce_",
		}},
	}
}

func (s *screen) commands(list []command) (lines []string) {
	for _, c := range list {
		for _, l := range hang("  # ", c.why, s.width) {
			lines = append(lines, s.dim("  # "+strings.TrimSpace(strings.TrimPrefix(l, "  # "))))
		}
		for _, l := range c.lines {
			lines = append(lines, "  "+s.cyan(l))
		}
		lines = append(lines, "")
	}
	return lines
}

// prepareDemo makes objects to fight over and lets the ServiceAccounts of their namespace write them.
func (l *lab) prepareDemo(ctx context.Context) error {
	admin := l.stage.Admin
	if err := l.stage.CreateNamespace(ctx, demoNamespace); err != nil {
		return err
	}
	_, err := admin.CoreV1().ServiceAccounts(demoNamespace).Create(ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: demoName}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making a ServiceAccount to try things with: %w", err)
	}
	_, err = admin.CoreV1().ConfigMaps(demoNamespace).Create(ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: demoName}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making a ConfigMap to try things with: %w", err)
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "everything"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	}}
	if _, err := admin.RbacV1().Roles(demoNamespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making a role to try things with: %w", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + demoNamespace,
		}},
	}
	if _, err := admin.RbacV1().RoleBindings(demoNamespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("giving a role to try things with: %w", err)
	}
	return nil
}

// quote makes a path fit for a shell.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
