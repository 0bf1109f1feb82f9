package stage

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/truce-dev/truce/lab/measure"
)

// Names of what is measured in every scene.
const (
	Revisions   = "etcd revisions"
	Delivered   = "watch events delivered"
	ServerCPU   = "API server CPU"
	TruceCPU    = "Truce CPU"
	TruceMemory = "Truce memory"
)

// Counts are what processes have counted up to a moment.
type Counts struct {
	Server, Truce measure.Samples
	Revision      float64 // of etcd
}

// Count asks the processes.
func (s *Stage) Count(ctx context.Context) (c Counts, err error) {
	if c.Server, err = s.APIServer(ctx); err != nil {
		return c, err
	}
	if c.Truce, err = s.Truce(); err != nil {
		return c, err
	}
	list, err := s.Admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return c, fmt.Errorf("asking for etcd's revision: %w", err)
	}
	_, err = fmt.Sscan(list.ResourceVersion, &c.Revision)
	return c, err
}

// Grown returns by how much a metric of the API server has grown since before.
func (c Counts) Grown(before Counts, name string, labels ...string) float64 {
	return c.Server.Sum(name, labels...) - before.Server.Sum(name, labels...)
}

// Usage returns what the cluster did within some seconds, as values. Those of Truce are absent if it was not there.
func (c Counts) Usage(before Counts, seconds float64, there bool) []measure.Value {
	return []measure.Value{
		{Name: Revisions, Unit: "/s", Number: (c.Revision - before.Revision) / seconds},
		{Name: Delivered, Unit: "/s", Number: c.Grown(before, "apiserver_watch_events_total") / seconds},
		{Name: ServerCPU, Unit: "s", Number: c.Grown(before, "process_cpu_seconds_total")},
		{Name: TruceCPU, Unit: "s", Absent: !there,
			Number: c.Truce.Sum("process_cpu_seconds_total") - before.Truce.Sum("process_cpu_seconds_total")},
		{Name: TruceMemory, Unit: "MB", Absent: !there, Number: c.Truce.Sum("process_resident_memory_bytes") / 1e6},
	}
}
