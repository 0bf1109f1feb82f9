package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// corpusStory is what these tests need of a story in testdata/corpus.
type corpusStory struct {
	ID     string
	Expect struct {
		Verdict string
		Fields  []string
		Parties []string
	}
	Objects map[string]*struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
	}
	Writers map[string]struct{ User, Manager string }
	Steps   []struct {
		By, Object, Sub string
		Merge           struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
		}
	}
}

// targets returns what the story's objects are.
func (s *corpusStory) targets() []*Target {
	seen := map[groupResource]bool{}
	add := func(apiVersion, kind string) {
		if kind == "" {
			return
		}
		group, _, ok := strings.Cut(apiVersion, "/")
		if !ok {
			group = ""
		}
		name := strings.ToLower(kind)
		switch {
		case strings.HasSuffix(name, "y"):
			name = strings.TrimSuffix(name, "y") + "ies"
		case strings.HasSuffix(name, "ss"):
			name += "es"
		case !strings.HasSuffix(name, "s"):
			name += "s"
		}
		seen[groupResource{group, name}] = true
	}
	for _, o := range s.Objects {
		if o != nil {
			add(o.APIVersion, o.Kind)
		}
	}
	for _, step := range s.Steps {
		add(step.Merge.APIVersion, step.Merge.Kind)
	}
	var ts []*Target
	for gr := range seen {
		ts = append(ts, &Target{Group: gr.group, Resource: gr.resource, Namespace: "x"})
	}
	return ts
}

func stories(t *testing.T) []corpusStory {
	t.Helper()
	var all []corpusStory
	for _, file := range glob(t, filepath.Join("..", "..", "testdata", "corpus", "*.yaml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s corpusStory
		if err := yaml.Unmarshal(data, &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, s)
	}
	return all
}

// A preset that silences a contested field of a known fight is too broad. Only OneWriter may, if there are two parties.
func TestPresetsLeaveKnownFightsAlone(t *testing.T) {
	checked := 0
	for _, s := range stories(t) {
		if s.Expect.Verdict == "none" {
			continue
		}
		for _, target := range s.targets() {
			m := Default().Match(target)
			for _, party := range s.Expect.Parties {
				w := s.Writers[party]
				for _, field := range s.Expect.Fields {
					checked++
					got := m.Silence([]byte(field), w.User, w.Manager, nil)
					if got == Always || got == OneWriter && len(s.Expect.Parties) < 2 {
						t.Errorf("%s: writes of %s of %s by %s are silenced: %s", s.ID, field, target.Resource, party, got)
					}
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d writes were looked at", checked)
	}
}

// What each preset is for, and what it must not hide: a write that differs in one thing.
func TestPresets(t *testing.T) {
	const kcm, ns = "system:kube-controller-manager", "system:serviceaccount:kube-system:"
	tested := map[string]bool{}
	for _, c := range []struct {
		preset, resource, path, user string
		want                         Silence
		but                          string // another resource/path/user, told by its form, of which nothing is silenced
	}{
		{"leader-election", "leases.coordination.k8s.io", "spec.renewTime", "x", Always, "metadata.labels[a]"},
		{"leader-election", "leases.coordination.k8s.io", "spec.holderIdentity", "x", Always, "configmaps"},
		{"leader-annotation", "endpoints", "metadata.annotations[control-plane.alpha.kubernetes.io/leader]", "x", Always, "metadata.annotations[control-plane.alpha.kubernetes.io/other]"},
		{"patroni-leader", "endpoints", "metadata.annotations[renewTime]", "x", Always, "subsets"},
		{"patroni-endpoints", "endpoints", "subsets", "manager:Patroni", Always, "services"},
		{"patroni-endpoints", "endpoints", "subsets", "manager:Patroni", Always, "user:system:serviceaccount:a:b"},
		{"namespace-emptied", "configmaps", "$exists", ns + "namespace-controller", Always, "user:" + ns + "generic-garbage-collector"},
		{"namespace-emptied", "widgets.example.com", "$exists", ns + "namespace-controller", Always, "metadata.finalizers[*]"},
		{"patroni-member", "pods", "metadata.annotations[status]", "x", OneWriter, "metadata.annotations[state]"},
		{"events", "events", "count", "x", Always, "pods"},
		{"node-status", "nodes", "status.conditions[type=Ready].status", "system:node:a", Always, "user:jane"},
		{"node-status", "nodes", "status.conditions[type=Ready].status", ns + "node-controller", Always, "spec.podCIDR"},
		{"node-status", "nodes", "status.volumesAttached[name=a].devicePath", ns + "attachdetach-controller", Always, "status.addresses[type=InternalIP].address"},
		{"node-status", "nodes", "status.volumesInUse[*]", "system:node:a", Always, "status.nodeInfo.osImage"},
		{"node-status", "nodes", "status.images[*]", "system:node:a", Always, "status.daemonEndpoints.kubeletEndpoint.Port"},
		{"node-status", "nodes", "status.conditions[type=KernelDeadlock].lastHeartbeatTime", "system:serviceaccount:monitoring:node-problem-detector", Always, "metadata.annotations[a]"},
		{"node-taints", "nodes", "spec.taints[key=node.kubernetes.io/not-ready]", ns + "node-controller", Always, "spec.taints[key=example.com/not-ready]"},
		{"node-taints", "nodes", "spec.taints[key=node.kubernetes.io/not-ready][effect=NoExecute].timeAdded", kcm, Always, "user:system:serviceaccount:a:b"},
		{"node-taints", "nodes", "spec.taints[key=node.cloudprovider.kubernetes.io/uninitialized].value", ns + "cloud-controller-manager", Always, "spec.taints[key=nvidia.com/gpu].value"},
		{"startup-taints", "nodes", "spec.taints[key=nidhogg.uswitch.com/kube-system.kiam-agent]", "x", OneWriter, "spec.taints[key=example.com/kube-system.kiam-agent]"},
		{"startup-taints", "nodes", "spec.taints[key=node.cilium.io/agent-not-ready].effect", "x", OneWriter, "spec.taints[key=node.cilium.io/other].effect"},
		{"autoscaler-taints", "nodes", "spec.taints[key=DeletionCandidateOfClusterAutoscaler].value", "x", OneWriter, "spec.unschedulable"},
		{"node-bookkeeping", "nodes", "metadata.annotations[node.alpha.kubernetes.io/ttl]", "x", OneWriter, "metadata.annotations[node.alpha.kubernetes.io/other]"},
		{"node-bookkeeping", "nodes", "metadata.labels[nvidia.com/gpu-driver-upgrade-state]", "x", OneWriter, "metadata.labels[nvidia.com/gpu-driver-upgrade.skip]"},
		{"gpu-operands", "nodes", "metadata.labels[nvidia.com/gpu.deploy.device-plugin]", "x", OneWriter, "metadata.labels[nvidia.com/mig.config]"},
		{"reboot-coordination", "daemonsets.apps", "metadata.annotations[weave.works/kured-node-lock]", "x", Always, "metadata.annotations[weave.works/other]"},
		{"pod-status", "pods", "status.phase", "system:node:a", Always, "user:jane"},
		{"pod-status", "pods", "status.conditions[type=Ready].status", "system:node:a", Always, "$exists"},
		{"readiness-gates", "pods", "status.conditions[type=target-health.elbv2.k8s.aws/k8s-a-b].status", "x", OneWriter, "status.conditions[type=Ready].status"},
		{"endpoints", "endpoints", "subsets", kcm, OneWriter, "user:jane"},
		{"endpoints", "endpointslices.discovery.k8s.io", "endpoints", ns + "endpointslice-controller", OneWriter, "metadata.labels[app]"},
		{"workload-status", "deployments.apps", "status.availableReplicas", ns + "deployment-controller", OneWriter, "spec.replicas2"},
		{"workload-status", "deployments.apps", "status.replicas", kcm, OneWriter, "status.collisionCount"},
		{"workload-status", "daemonsets.apps", "status.currentNumberScheduled", kcm, OneWriter, "user:jane"},
		{"workload-status", "statefulsets.apps", "status.updateRevision", kcm, OneWriter, "metadata.annotations[a]"},
		{"workload-status", "jobs.batch", "status.uncountedTerminatedPods.succeeded[*]", kcm, OneWriter, "spec.suspend"},
		{"workload-status", "cronjobs.batch", "status.lastScheduleTime", kcm, OneWriter, "spec.schedule"},
		{"rollout-bookkeeping", "deployments.apps", "metadata.annotations[deployment.kubernetes.io/desired-replicas]", ns + "deployment-controller", OneWriter, "metadata.annotations[deployment.kubernetes.io/revision]"},
		{"rollout-bookkeeping", "replicasets.apps", "spec.replicas", ns + "deployment-controller", OneWriter, "user:" + ns + "horizontal-pod-autoscaler"},
		{"rollout-restart", "deployments.apps", "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]", "x", OneWriter, "spec.template.metadata.annotations[checksum/config]"},
		{"disruption-budget-status", "poddisruptionbudgets.policy", "status.disruptedPods.web-1", "system:apiserver", Always, "spec.minAvailable"},
		{"resource-quota-status", "resourcequotas", "status.used.pods", "system:apiserver", Always, "user:jane"},
		{"apiserver-status", "apiservices.apiregistration.k8s.io", "status.conditions[type=Available].status", "system:apiserver", OneWriter, "spec.caBundle"},
		{"apiserver-status", "flowschemas.flowcontrol.apiserver.k8s.io", "status.conditions[type=Dangling].status", "system:apiserver", OneWriter, "user:jane"},
		{"kubernetes-finalizers", "persistentvolumeclaims", "metadata.finalizers[*]", ns + "pvc-protection-controller", OneWriter, "user:system:serviceaccount:backup:backup"},
		{"device-claims", "resourceclaims.resource.k8s.io", "status.reservedFor[uid=a].name", "system:kube-scheduler", Always, "status.devices"},
		{"device-claims", "resourceclaims.resource.k8s.io", "status.allocation", ns + "resource-claim-controller", Always, "user:system:serviceaccount:a:b"},
		{"volume-scheduling", "persistentvolumeclaims", "metadata.annotations[volume.kubernetes.io/selected-node]", "x", Always, "metadata.annotations[volume.kubernetes.io/storage-resizer]"},
		{"volume-resize", "persistentvolumeclaims", "status.conditions[type=Resizing].status", "x", Always, "status.conditions[type=Other].status"},
		{"volume-resize", "persistentvolumeclaims", "status.modifyVolumeStatus", "x", Always, "status.phase"},
		{"volume-snapshots", "volumesnapshotcontents.snapshot.storage.k8s.io", "metadata.annotations[snapshot.storage.kubernetes.io/volumesnapshot-being-created]", "x", Always, "metadata.annotations[snapshot.storage.kubernetes.io/deletion-secret-name]"},
		{"storage-capacity", "csistoragecapacities.storage.k8s.io", "capacity", "x", OneWriter, "storageClassName"},
		{"address-allocation", "ipamblocks.crd.projectcalico.org", "spec.unallocated[*]", "x", Always, "spec.affinity"},
		{"address-allocation", "ippools.whereabouts.cni.cncf.io", "spec.allocations[3]", "x", Always, "spec.range"},
		{"hpa-status", "horizontalpodautoscalers.autoscaling", "status.currentMetrics", "x", OneWriter, "spec.maxReplicas"},
		{"autoscaler-status", "verticalpodautoscalers.autoscaling.k8s.io", "status.recommendation.containerRecommendations", "x", OneWriter, "spec.updatePolicy.updateMode"},
		{"cluster-autoscaler-status", "configmaps", "data[status]", ns + "cluster-autoscaler", OneWriter, "user:system:serviceaccount:a:b"},
		{"knative-activation", "serverlessservices.networking.internal.knative.dev", "spec.mode", "x", OneWriter, "spec.objectRef.name"},
		{"kueue-admission", "workloads.kueue.x-k8s.io", "status.requeueState.count", "system:serviceaccount:kueue-system:kueue-controller-manager", OneWriter, "spec.active"},
		{"kueue-admission", "pytorchjobs.kubeflow.org", "spec.runPolicy.suspend", "system:serviceaccount:kueue-system:kueue-controller-manager", OneWriter, "user:system:serviceaccount:argocd:argocd"},
		{"runner-sets", "ephemeralrunnersets.actions.github.com", "spec.replicas", "x", OneWriter, "autoscalingrunnersets.actions.github.com"},
		{"kueue-admission", "jobs.batch", "spec.suspend", "system:serviceaccount:kueue-system:kueue-controller-manager", OneWriter, "user:jane"},
		{"argocd-requests", "applications.argoproj.io", "metadata.annotations[argocd.argoproj.io/refresh]", "x", Always, "metadata.annotations[notified.notifications.argoproj.io]"},
		{"argocd-requests", "applications.argoproj.io", "operation.sync.revision", "x", Always, "spec.source.targetRevision"},
		{"argocd-requests", "applicationsets.argoproj.io", "metadata.annotations[argocd.argoproj.io/application-set-refresh]", "x", Always, "configmaps"},
		{"argocd-status", "applications.argoproj.io", "status.health.status", "x", OneWriter, "status.sync.comparedTo.source.helm.valueFiles[*]"},
		{"flux-requests", "kustomizations.kustomize.toolkit.fluxcd.io", "metadata.annotations[reconcile.fluxcd.io/requestedAt]", "x", Always, "kustomizations.kustomize.toolkit.example.com"},
		{"flux-requests", "helmreleases.helm.toolkit.fluxcd.io", "metadata.annotations[reconcile.fluxcd.io/forceAt]", "x", Always, "spec.suspend"},
		{"rollout-requests", "rollouts.argoproj.io", "status.abort", "x", Always, "spec.replicas2"},
		{"rollout-progress", "canaries.flagger.app", "status.canaryWeight", "x", OneWriter, "spec.analysis.maxWeight"},
		{"traffic-shifting", "virtualservices.networking.istio.io", "spec.http[name=primary].route", "system:serviceaccount:argo-rollouts:argo-rollouts", OneWriter, "user:jane"},
		{"traffic-shifting", "ingresses.networking.k8s.io", "metadata.annotations[nginx.ingress.kubernetes.io/canary-weight]", "system:serviceaccount:test:flagger", OneWriter, "metadata.annotations[nginx.ingress.kubernetes.io/rewrite-target]"},
		{"strimzi-requests", "strimzipodsets.core.strimzi.io", "metadata.annotations[strimzi.io/manual-rolling-update]", "x", Always, "metadata.annotations[strimzi.io/kafka-version]"},
		{"strimzi-requests", "kafkaconnectors.kafka.strimzi.io", "metadata.annotations[strimzi.io/restart]", "x", Always, "services"},
		{"cert-manager-issuing", "certificates.cert-manager.io", "status.conditions[type=Issuing].status", "system:serviceaccount:cert-manager:cert-manager", Always, "status.conditions[type=Ready].status"},
		{"external-secrets-requests", "externalsecrets.external-secrets.io", "metadata.annotations[force-sync]", "x", Always, "secrets"},
		{"crossplane-requests", "buckets.s3.aws.upbound.io", "metadata.annotations[crossplane.io/reconcile-requested-at]", "x", Always, "metadata.annotations[crossplane.io/paused]"},
		{"external-secrets-requests", "clusterexternalsecrets.external-secrets.io", "metadata.annotations[external-secrets.io/force-sync]", "x", Always, "metadata.annotations[external-secrets.io/other]"},
		{"crossplane-create", "buckets.s3.aws.upbound.io", "metadata.annotations[crossplane.io/external-create-pending]", "x", OneWriter, "metadata.annotations[crossplane.io/external-name]"},
		{"gardener-operation", "infrastructures.extensions.gardener.cloud", "metadata.annotations[gardener.cloud/operation]", "x", Always, "metadata.annotations[gardener.cloud/timestamp]"},
		{"gardener-operation", "shoots.core.gardener.cloud", "metadata.annotations[shoot.gardener.cloud/tasks]", "x", Always, "metadata.annotations[shoot.gardener.cloud/ignore]"},
		{"confluent-requests", "kafkas.platform.confluent.io", "metadata.annotations[platform.confluent.io/force-reconcile]", "x", Always, "metadata.annotations[platform.confluent.io/block-reconcile]"},
		{"metal3-requests", "baremetalhosts.metal3.io", "metadata.annotations[reboot.metal3.io/poweroff]", "x", Always, "spec.online"},
		{"cluster-api-hooks", "machines.cluster.x-k8s.io", "metadata.annotations[runtime.cluster.x-k8s.io/pending-hooks]", "x", Always, "metadata.annotations[cluster.x-k8s.io/paused]"},
		{"cluster-api-hooks", "dockermachines.infrastructure.cluster.x-k8s.io", "metadata.annotations[in-place-updates.internal.cluster.x-k8s.io/update-in-progress]", "x", Always, "nodes"},
		{"rancher-drain", "secrets", "metadata.annotations[rke.cattle.io/drain-done]", "x", Always, "metadata.annotations[rke.cattle.io/cluster-spec]"},
		{"kubevirt-requests", "virtualmachines.kubevirt.io", "status.stateChangeRequests", "x", Always, "spec.runStrategy"},
		{"kubevirt-migration", "virtualmachineinstances.kubevirt.io", "metadata.labels[kubevirt.io/nodeName]", "system:serviceaccount:kubevirt:kubevirt-handler", Always, "virtualmachines.kubevirt.io"},
		{"kubevirt-migration", "virtualmachineinstances.kubevirt.io", "status.migrationState.completed", "system:serviceaccount:kubevirt:kubevirt-controller", Always, "user:jane"},
		{"notebook-stop", "notebooks.kubeflow.org", "metadata.annotations[kubeflow-resource-stopped]", "x", Always, "spec.template"},
		{"cassandra-requests", "cassandradatacenters.cassandra.datastax.com", "spec.rollingRestartRequested", "x", Always, "spec.stopped"},
		{"agones-allocation", "gameservers.agones.dev", "status.state", "x", Always, "status.address"},
		{"cnpg-primary", "clusters.postgresql.cnpg.io", "status.targetPrimaryTimestamp", "x", Always, "status.phase"},
		{"ceph-health", "cephclusters.ceph.rook.io", "status.ceph.lastChecked", "x", OneWriter, "status.phase"},
		{"ceph-health", "cephblockpools.ceph.rook.io", "status.mirroringStatus.lastChecked", "x", OneWriter, "status.info.type"},
		{"policy-reports", "ephemeralreports.reports.kyverno.io", "spec.results", "x", OneWriter, "metadata.labels[a]"},
		{"policy-reports", "policyreports.wgpolicyk8s.io", "results", "x", OneWriter, "metadata.labels[a]"},
		{"policy-reports", "k8srequiredlabels.constraints.gatekeeper.sh", "status.violations", "x", OneWriter, "status.byPod[id=a].enforced"},
		{"cluster-operators", "clusteroperators.config.openshift.io", "status.conditions[type=Degraded].status", "x", OneWriter, "status.versions[name=operator].version"},
		{"controller-checkpoints", "targetgroupbindings.elbv2.k8s.aws", "metadata.annotations[elbv2.k8s.aws/checkpoint-timestamp]", "x", OneWriter, "metadata.annotations[elbv2.k8s.aws/other]"},
	} {
		t.Run(c.preset+" "+c.path, func(t *testing.T) {
			tested[c.preset] = true
			p, err := Load([]byte(head+"presets: ["+c.preset+"]\nrules: [{name: all}]"), "f")
			if err != nil {
				t.Fatal(err)
			}
			silence := func(resource, path, user string) Silence {
				name, group, _ := strings.Cut(resource, ".")
				manager, ok := strings.CutPrefix(user, "manager:")
				if !ok {
					manager = ""
				}
				return p.Match(&Target{Group: group, Resource: name}).Silence([]byte(path), user, manager, nil)
			}
			if got := silence(c.resource, c.path, c.user); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			resource, path, user := c.resource, c.path, c.user
			if name, ok := strings.CutPrefix(c.but, "user:"); ok {
				user = name
			} else if _, err := parseResource(c.but); err == nil {
				resource = c.but
			} else {
				path = c.but
			}
			if got := silence(resource, path, user); got != "" {
				t.Errorf("it also silences %s of %s by %s: %s", path, resource, user, got)
			}
		})
	}
	for _, name := range presetNames() {
		if !tested[name] {
			t.Errorf("preset %s is not tested", name)
		}
	}
}

func TestEveryPresetSaysWhy(t *testing.T) {
	for _, l := range presets() {
		if len(l.Why) < 20 || !strings.HasSuffix(l.Why, ".") {
			t.Errorf("%s: %q", l.Name, l.Why)
		}
	}
}

func TestAnOwnLookAlikeTakesThePlaceOfAPreset(t *testing.T) {
	load := func(file string) *Policy {
		t.Helper()
		p, err := Load([]byte(head+file+"\nrules: [{name: all}]"), "f")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	silence := func(p *Policy, path string) Silence {
		return p.Match(&Target{Group: "coordination.k8s.io", Resource: "leases"}).Silence([]byte(path), "x", "", nil)
	}
	for _, c := range []struct {
		name, file       string
		renewTime, other Silence
	}{
		{"by default all presets count", "", Always, ""},
		{"an empty list is none", "presets: []", "", ""},
		{"a list is just these", "presets: [events]", "", ""},
		{"one of its own adds to them", "lookAlikes: [{name: other, fields: [other], silent: OneWriter}]", Always, OneWriter},
		{"one of the same name replaces it", "lookAlikes: [{name: leader-election, fields: [other]}]", "", Always},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := load(c.file)
			if got := silence(p, "spec.renewTime"); got != c.renewTime {
				t.Errorf("renewTime: got %q, want %q", got, c.renewTime)
			}
			if got := silence(p, "other"); got != c.other {
				t.Errorf("other: got %q, want %q", got, c.other)
			}
		})
	}
}
