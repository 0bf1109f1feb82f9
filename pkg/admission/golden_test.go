package admission

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

var updateGoldens = flag.Bool("update", false, "write the files in testdata anew")

// goldens are reviews of a few kinds of writes, kept as files to be looked at.
func goldens(t *testing.T) map[string]sample {
	scaled := deployment("a")
	*scaled.Spec.Replicas = 5
	rolled := deployment("b")
	pod := &rolled.Spec.Template.Spec
	pod.Containers[0].Image = "ghcr.io/example/backend:6.4.0"
	pod.Containers[0].Env = pod.Containers[0].Env[1:]
	pod.Containers = append([]corev1.Container{container("init", 1, 0)}, pod.Containers...)
	pod.Tolerations = nil
	rolled.Status.Conditions[0].Status = "False"
	rolled.Status.Conditions[0].LastTransitionTime.Time = sampleTime.Add(60e9)
	rolled.Finalizers = []string{"example.com/protect"}
	return map[string]sample{
		"serviceaccount":      sampleOf(t, "", serviceAccount("a"), serviceAccount("b")),
		"deployment-replicas": sampleOf(t, "", deployment("a"), scaled),
		"deployment-many":     sampleOf(t, "", deployment("a"), rolled),
		"scale":               sampleOf(t, "", scale(3), scale(5)),
	}
}

func TestGoldenReviews(t *testing.T) {
	for name, s := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			review := filepath.Join("testdata", name+".json")
			golden := filepath.Join("testdata", name+".golden")
			if *updateGoldens {
				if err := os.WriteFile(review, append(s.body, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			body, err := os.ReadFile(review)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(body, append(s.body, '\n')) {
				t.Errorf("%s is not what is generated: run the test with -update, and look at the difference", review)
			}
			got := describe(t, body)
			if *updateGoldens {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// describe tells all that is made of a review.
func describe(t *testing.T, body []byte) string {
	var r Request
	if err := Decode(body, &r); err != nil {
		t.Fatal(err)
	}
	meta, err := metaOf(r.Object)
	if err != nil {
		t.Fatal(err)
	}
	old, err := metaOf(r.OldObject)
	if err != nil {
		t.Fatal(err)
	}
	var d Differ
	changes, truncated, err := d.Diff(r.OldObject, r.Object)
	if err != nil || truncated {
		t.Fatal(truncated, err)
	}
	all := make([]int, len(changes))
	for i := range changes {
		all[i] = i
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s of %s.%s/%s %s/%s by %s (%s, Pod %s)\n", r.Operation, r.UID, r.Resource, r.Group, r.Subresource, r.Namespace, r.Name,
		r.User.Username, r.FieldManager, r.User.Pod)
	fmt.Fprintf(&b, "object %s/%s, uid %s, version %d, created %s\n", meta.Namespace, meta.Name, meta.UID, meta.ResourceVersion, meta.Created)
	fmt.Fprintf(&b, "manager by managedFields %q\n", writeManager(old.ManagedFields, meta.ManagedFields, changes))
	for i, line := range lines(changes) {
		manager, _ := managerOf(old.ManagedFields, changes[i].Path, "")
		fmt.Fprintf(&b, "change %s\n", line)
		fmt.Fprintf(&b, "  was owned by %q\n", manager)
	}
	patch, err := d.Restore(r.OldObject, r.Object, changes, all)
	if err != nil {
		t.Fatal(err)
	}
	result := applyPatch(t, patch, r.Object)
	if left, _, err := d.Diff(r.OldObject, result); err != nil || len(left) > 0 {
		t.Errorf("after all was put back: %s, error %v", lines(left), err)
	}
	fmt.Fprintf(&b, "patch to hold all: %s\n", patch)
	return b.String()
}
