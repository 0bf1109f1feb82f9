package chart

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// With an autoscaler, it alone says how many Pods there are: an upgrade changes nothing about that. Switched on in a
// release that runs, as docs/operations.md says, it never leaves fewer than there were.
func TestTheAutoscalerSaysHowManyPods(t *testing.T) {
	s := startCluster(t)
	s.namespace(t, namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	replicas := func() int32 {
		t.Helper()
		scale, err := s.kube.AppsV1().Deployments(namespace).GetScale(t.Context(), release, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return scale.Spec.Replicas
	}
	scale := func(to string) { // as kubectl scale does
		t.Helper()
		body := []byte(`{"spec":{"replicas":` + to + `}}`)
		if _, err := s.kube.AppsV1().Deployments(namespace).Patch(t.Context(), release, types.MergePatchType, body,
			metav1.PatchOptions{FieldManager: "kubectl"}, "scale"); err != nil {
			t.Fatal(err)
		}
	}
	r := s.release(map[string]any{
		"replicas":          2,
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "nowhere"}},
	})
	r.helm(t, "install", nil)
	if n := replicas(); n != 2 {
		t.Errorf("%d replicas, want those of the values", n)
	}
	scale("3")
	w, err := s.kube.AppsV1().Deployments(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	r.helm(t, "upgrade", map[string]any{"autoscaling": map[string]any{"enabled": true, "minReplicas": 4, "maxReplicas": 6}})
	eventually(t, "the autoscaler sees to its minimum", func() bool {
		select {
		case event := <-w.ResultChan():
			d, ok := event.Object.(*appsv1.Deployment)
			if !ok {
				t.Fatalf("the watch ended: %v", event.Object)
			}
			if *d.Spec.Replicas < 3 {
				t.Errorf("switching the autoscaler on leaves %d replicas", *d.Spec.Replicas)
			}
			return *d.Spec.Replicas == 4
		default:
			return false
		}
	})
	scale("6") // as it does under load
	r.helm(t, "upgrade", map[string]any{"log": map[string]any{"level": "debug"}})
	if n := replicas(); n != 6 {
		t.Errorf("an upgrade leaves %d replicas of 6", n)
	}
	s.uninstall(t)
}
