package admission

import "testing"

func TestNamesOwner(t *testing.T) {
	for path, want := range map[string]bool{
		"metadata.ownerReferences[uid=1]":                           true,
		"metadata.labels[app.kubernetes.io/instance]":               true,
		"metadata.annotations[argocd.argoproj.io/tracking-id]":      true,
		"metadata.annotations[cert-manager.io/certificate-name]":    true,
		"metadata.labels[reconcile.external-secrets.io/created-by]": true,
		"metadata.annotations[config.k8s.io/owning-inventory]":      true,
		"metadata.labels[kustomize.toolkit.fluxcd.io/namespace]":    true,
		"metadata.annotations[meta.helm.sh/release-namespace]":      true,
		"metadata.labels[olm.owner.namespace]":                      true,
		"metadata.labels[namespace]":                                false,
		"metadata.labels[crossplane.io/composite]":                  true,
		"metadata.labels[kustomize.toolkit.fluxcd.io/name]":         true,
		"metadata.labels[name]":                                     false, // nobody's key
		"metadata.labels[app.kubernetes.io/version]":                false,
		"metadata.annotations[deployment.kubernetes.io/revision]":   false,
		"spec.name":                        false,
		"data[app.kubernetes.io/instance]": false,
	} {
		if got := namesOwner([]byte(path)); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
