package admission

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The samples are reviews as an API server sends them: made of its own types by its own encoder, with managedFields.
// They are the same in every run.

const (
	sampleUID       = "0d3c1f0e-8a52-4d0b-9a3b-5b7d3e6c1a10"
	sampleSignature = "apps.example.com/signature"
)

var sampleTime = metav1.NewTime(time.Date(2022, 10, 24, 9, 30, 0, 0, time.UTC))

// sample is one review and what is in it.
type sample struct {
	name     string
	body     []byte
	old, new []byte
}

// samples returns reviews of updates that change one annotation, by size.
func samples(tb testing.TB) []sample {
	tb.Helper()
	sampleOnce.Do(func() { sampleList = makeSamples(tb) })
	return sampleList
}

var (
	sampleOnce sync.Once
	sampleList []sample
)

func makeSamples(tb testing.TB) []sample {
	return []sample{
		sampleOf(tb, "1.3kB", serviceAccount("a"), serviceAccount("b")),
		sampleOf(tb, "17kB", deployment("a"), deployment("b")),
		sampleOf(tb, "105kB", sampleCRD("a"), sampleCRD("b")),
		sampleOf(tb, "105kBtext", configMap("a"), configMap("b")),
	}
}

func sampleOf(tb testing.TB, name string, oldObj, newObj any) sample {
	tb.Helper()
	s := sample{name: name, old: encode(tb, oldObj), new: encode(tb, newObj)}
	var meta struct {
		Kind       string
		APIVersion string
		Metadata   struct{ Name, Namespace string }
	}
	if err := json.Unmarshal(s.new, &meta); err != nil {
		tb.Fatal(err)
	}
	group, version, ok := strings.Cut(meta.APIVersion, "/")
	if !ok {
		group, version = "", meta.APIVersion
	}
	resource := metav1.GroupVersionResource{Group: group, Version: version, Resource: strings.ToLower(meta.Kind) + "s"}
	subresource := ""
	if meta.Kind == "Scale" {
		resource, subresource = metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "scale"
	}
	no := false
	s.body = encode(tb, &admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request: &admissionv1.AdmissionRequest{
			UID:                sampleUID,
			Kind:               metav1.GroupVersionKind{Group: group, Version: version, Kind: meta.Kind},
			Resource:           resource,
			SubResource:        subresource,
			RequestKind:        &metav1.GroupVersionKind{Group: group, Version: version, Kind: meta.Kind},
			RequestResource:    &resource,
			RequestSubResource: subresource,
			Name:               meta.Metadata.Name,
			Namespace:          meta.Metadata.Namespace,
			Operation:          admissionv1.Update,
			UserInfo: authenticationv1.UserInfo{
				Username: "system:serviceaccount:archetype:controller",
				UID:      "1a2b3c4d-0000-4000-8000-000000000001",
				Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:archetype", "system:authenticated"},
				Extra: map[string]authenticationv1.ExtraValue{
					"authentication.kubernetes.io/pod-name": {"controller-7d9c5b8f6d-x2v4k"},
					"authentication.kubernetes.io/pod-uid":  {"6e1f0b8a-2222-4000-8000-000000000002"},
				},
			},
			Object:    runtime.RawExtension{Raw: s.new},
			OldObject: runtime.RawExtension{Raw: s.old},
			DryRun:    &no,
			Options: runtime.RawExtension{Raw: encode(tb, &metav1.UpdateOptions{
				TypeMeta:     metav1.TypeMeta{Kind: "UpdateOptions", APIVersion: "meta.k8s.io/v1"},
				FieldManager: "archetype-controller",
			})},
		},
	})
	return s
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func sampleMeta(name, signature string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: "payments", UID: "5f0c2b7e-aaaa-4000-8000-000000000003", ResourceVersion: "918273",
		CreationTimestamp: sampleTime,
		Annotations:       map[string]string{sampleSignature: strings.Repeat(signature, 16)},
	}
}

func serviceAccount(signature string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{Kind: "ServiceAccount", APIVersion: "v1"},
		ObjectMeta: sampleMeta("backend", signature),
	}
}

// deployment is a service with a sidecar, as a chart would install it: about 8 kB.
func deployment(signature string) *appsv1.Deployment {
	labels := map[string]string{
		"app.kubernetes.io/name": "backend", "app.kubernetes.io/instance": "backend-prod",
		"app.kubernetes.io/version": "6.3.5", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "backend-6.3.5",
	}
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"},
		ObjectMeta: sampleMeta("backend", signature),
	}
	d.Generation = 41
	d.Labels = labels
	maps.Copy(d.Annotations, map[string]string{
		"deployment.kubernetes.io/revision": "17", "meta.helm.sh/release-name": "backend",
		"meta.helm.sh/release-namespace": "payments",
		"kubectl.kubernetes.io/last-applied-configuration": `{"apiVersion":"apps/v1","kind":"Deployment","metadata":` +
			`{"annotations":{},"name":"backend","namespace":"payments"},"spec":{"replicas":3,"selector":{"matchLabels":` +
			`{"app.kubernetes.io/name":"backend"}}}}` + "\n",
	})
	one := intstr.FromString("25%")
	replicas, revisions, deadline, grace := int32(3), int32(10), int32(600), int64(30)
	d.Spec = appsv1.DeploymentSpec{
		Replicas: &replicas, RevisionHistoryLimit: &revisions, ProgressDeadlineSeconds: &deadline,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "backend"}},
		Strategy: appsv1.DeploymentStrategy{
			Type:          appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &one, MaxSurge: &one},
		},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      labels,
				Annotations: map[string]string{"checksum/config": strings.Repeat("0123456789abcdef", 4), "prometheus.io/scrape": "true"},
			},
			Spec: corev1.PodSpec{
				Containers:                    []corev1.Container{container("backend", 8080, 8), container("envoy", 15001, 2)},
				RestartPolicy:                 corev1.RestartPolicyAlways,
				TerminationGracePeriodSeconds: &grace,
				DNSPolicy:                     corev1.DNSClusterFirst,
				ServiceAccountName:            "backend", DeprecatedServiceAccount: "backend",
				SecurityContext: &corev1.PodSecurityContext{},
				SchedulerName:   "default-scheduler",
				Tolerations:     []corev1.Toleration{{Key: "dedicated", Operator: "Equal", Value: "payments", Effect: "NoSchedule"}},
				Volumes: []corev1.Volume{
					{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
						LocalObjectReference: corev1.LocalObjectReference{Name: "backend-config"}}}},
					{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				},
			},
		},
	}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: 41, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3,
		Conditions: []appsv1.DeploymentCondition{
			{Type: "Available", Status: "True", LastUpdateTime: sampleTime, LastTransitionTime: sampleTime,
				Reason: "MinimumReplicasAvailable", Message: "Deployment has minimum availability."},
			{Type: "Progressing", Status: "True", LastUpdateTime: sampleTime, LastTransitionTime: sampleTime,
				Reason: "NewReplicaSetAvailable", Message: `ReplicaSet "backend-7d9c5b8f6d" has successfully progressed.`},
		},
	}
	later := metav1.NewTime(sampleTime.Add(time.Duration(signature[0]) * time.Second))
	d.ManagedFields = []metav1.ManagedFieldsEntry{
		managed("helm", "", sampleTime, `{"f:metadata":{"f:annotations":{".":{},"f:meta.helm.sh/release-name":{},`+
			`"f:meta.helm.sh/release-namespace":{}},"f:labels":{".":{},"f:app.kubernetes.io/instance":{},`+
			`"f:app.kubernetes.io/managed-by":{},"f:app.kubernetes.io/name":{},"f:app.kubernetes.io/version":{},`+
			`"f:helm.sh/chart":{}}},"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},"f:revisionHistoryLimit":{},`+
			`"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},`+
			`"f:template":{"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{},"f:prometheus.io/scrape":{}},`+
			`"f:labels":{".":{},"f:app.kubernetes.io/name":{}}},"f:spec":{"f:containers":{`+
			managedContainer("backend", 8)+`,`+managedContainer("envoy", 2)+`},"f:dnsPolicy":{},"f:restartPolicy":{},`+
			`"f:schedulerName":{},"f:securityContext":{},"f:serviceAccount":{},"f:serviceAccountName":{},`+
			`"f:terminationGracePeriodSeconds":{},"f:tolerations":{},"f:volumes":{".":{},"k:{\"name\":\"config\"}":{".":{},`+
			`"f:configMap":{".":{},"f:defaultMode":{},"f:name":{}},"f:name":{}},"k:{\"name\":\"tmp\"}":{".":{},`+
			`"f:emptyDir":{},"f:name":{}}}}}}}`),
		managed("kube-controller-manager", "status", sampleTime, `{"f:metadata":{"f:annotations":{`+
			`"f:deployment.kubernetes.io/revision":{}}},"f:status":{"f:availableReplicas":{},"f:conditions":{".":{},`+
			`"k:{\"type\":\"Available\"}":{".":{},"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:message":{},`+
			`"f:reason":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Progressing\"}":{".":{},"f:lastTransitionTime":{},`+
			`"f:lastUpdateTime":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}}},"f:observedGeneration":{},`+
			`"f:readyReplicas":{},"f:replicas":{},"f:updatedReplicas":{}}}`),
		managed("archetype-controller", "", later, `{"f:metadata":{"f:annotations":{"f:`+sampleSignature+`":{}}}}`),
	}
	return d
}

func managed(manager, subresource string, at metav1.Time, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", Time: &at,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields), Subresource: subresource,
	}
}

func managedContainer(name string, env int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `"k:{\"name\":\"%s\"}":{".":{},"f:args":{},"f:env":{".":{}`, name)
	for i := range env {
		fmt.Fprintf(&b, `,"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}}`, envName(i))
	}
	b.WriteString(`},"f:image":{},"f:imagePullPolicy":{},"f:livenessProbe":{".":{},"f:failureThreshold":{},` +
		`"f:httpGet":{".":{},"f:path":{},"f:port":{},"f:scheme":{}},"f:periodSeconds":{}},"f:name":{},` +
		`"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{},` +
		`"f:protocol":{}}},"f:resources":{".":{},"f:limits":{".":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},` +
		`"f:memory":{}}},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{},"f:volumeMounts":{".":{},` +
		`"k:{\"mountPath\":\"/etc/backend\"}":{".":{},"f:mountPath":{},"f:name":{}}}}`)
	return b.String()
}

func envName(i int) string {
	return []string{"DATABASE", "CACHE", "QUEUE", "FEATURE"}[i%4] + fmt.Sprintf("_SETTING_%02d", i)
}

func container(name string, port int32, env int) corev1.Container {
	probe := &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: "/healthz", Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}},
		TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
	}
	c := corev1.Container{
		Name: name, Image: "ghcr.io/example/" + name + ":6.3.5",
		Args:  []string{"--port=" + fmt.Sprint(port), "--config=/etc/backend/config.yaml", "--level=info"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		Resources: corev1.ResourceRequirements{
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		VolumeMounts:             []corev1.VolumeMount{{Name: "config", MountPath: "/etc/backend"}, {Name: "tmp", MountPath: "/tmp"}},
		LivenessProbe:            probe,
		ReadinessProbe:           probe,
		TerminationMessagePath:   "/dev/termination-log",
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		ImagePullPolicy:          corev1.PullIfNotPresent,
	}
	for i := range env {
		c.Env = append(c.Env, corev1.EnvVar{Name: envName(i), Value: fmt.Sprintf("value-%02d.payments.svc:5432", i)})
	}
	return c
}

// configMap is one with a few files in it, one of them JSON, with many escapes: about 52 kB.
func configMap(signature string) *corev1.ConfigMap {
	rules, dashboard := strings.Builder{}, strings.Builder{}
	for i := range 260 {
		fmt.Fprintf(&rules, "- alert: Rule%03d\n  expr: rate(http_requests_total{code=~\"5..\"}[5m]) > 0.%03d\n  for: 10m\n", i, i)
		fmt.Fprintf(&dashboard, `{"id":%d,"title":"Panel %d","targets":[{"expr":"up{job=\"backend\"}","refId":"A"}]},`, i, i)
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"},
		ObjectMeta: sampleMeta("backend-config", signature),
		Data:       map[string]string{"rules.yaml": rules.String(), "dashboard.json": "[" + dashboard.String() + "null]"},
	}
}

// sampleCRD is a custom resource definition, the densest kind of object there is: about 52 kB.
func sampleCRD(signature string) map[string]any {
	var schema func(depth, width int) map[string]any
	schema = func(depth, width int) map[string]any {
		if depth == 0 {
			return map[string]any{"type": "string", "maxLength": 253, "description": "Name of the thing, as it is known to others."}
		}
		props := map[string]any{}
		for i := range width {
			props[fmt.Sprintf("%sOption%d", string(rune('a'+i)), depth)] = schema(depth-1, width)
		}
		return map[string]any{"type": "object", "description": "Settings of one part.", "properties": props, "required": []string{"aOption1"}}
	}
	b, _ := json.Marshal(sampleMeta("pizzas.ops.tips", signature))
	var meta map[string]any
	_ = json.Unmarshal(b, &meta)
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta,
		"spec": map[string]any{
			"group": "ops.tips", "scope": "Namespaced", "names": map[string]any{"kind": "Pizza", "plural": "pizzas"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": schema(3, 8)}}},
		},
	}
}

func scale(replicas int32) *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		TypeMeta:   metav1.TypeMeta{Kind: "Scale", APIVersion: "autoscaling/v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "backend", Namespace: "payments", UID: "5f0c", ResourceVersion: "918273"},
		Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: 3, Selector: "app.kubernetes.io/name=backend"},
	}
}
