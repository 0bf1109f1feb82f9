package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/truce-dev/truce/pkg/admission"
)

func TestTrafficIsReviewsOfOneChange(t *testing.T) {
	sizes := map[string][2]int{
		"ServiceAccount": {1_200, 1_500}, "Deployment": {16_000, 18_000},
		"CustomResourceDefinition": {100_000, 110_000}, "ConfigMap": {100_000, 110_000},
	}
	for i := range kinds {
		k := &kinds[i]
		t.Run(k.name, func(t *testing.T) {
			traffic, err := newTraffic(k, 2, false)
			if err != nil {
				t.Fatal(err)
			}
			if n, want := len(traffic.template), sizes[k.name]; n < want[0] || n > want[1] {
				t.Errorf("a review has %d bytes, want %d to %d", n, want[0], want[1])
			}
			body := bytes.Clone(traffic.template)
			var last string // what the second object's annotation is
			for n := range 60 {
				traffic.next(body)
				if !json.Valid(body) {
					t.Fatalf("review %d is not JSON", n)
				}
				var r admission.Request
				if err := admission.Decode(body, &r); err != nil {
					t.Fatal(err)
				}
				var d admission.Differ
				changes, _, err := d.Diff(r.OldObject, r.Object)
				if err != nil || len(changes) != 1 || string(changes[0].Path) != "metadata.annotations["+signature+"]" {
					t.Fatalf("review %d: changes %v, error %v", n, changes, err)
				}
				if n%2 == 0 {
					continue
				}
				if from := string(changes[0].Old); last != "" && from != last {
					t.Fatalf("review %d: the stored value is %s, but %s was written", n, from, last)
				}
				last = string(changes[0].New)
				if r.Name != "object-0000001" {
					t.Fatalf("review %d is about %s", n, r.Name)
				}
			}
		})
	}
}

func TestContestedTrafficIsTwoWritersWithTwoValues(t *testing.T) {
	traffic, err := newTraffic(&kinds[0], 1, true)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Clone(traffic.template)
	wants := map[string]string{}
	for range 10 {
		traffic.next(body)
		var r admission.Request
		if err := admission.Decode(body, &r); err != nil {
			t.Fatal(err)
		}
		var d admission.Differ
		changes, _, err := d.Diff(r.OldObject, r.Object)
		if err != nil || len(changes) != 1 {
			t.Fatal(changes, err)
		}
		value := string(changes[0].New)
		if before, ok := wants[r.User.Username]; ok && before != value {
			t.Errorf("%s wants %s, and before %s", r.User.Username, value, before)
		}
		wants[r.User.Username] = value
	}
	if len(wants) != 2 {
		t.Errorf("the writers are %v", wants)
	}
}

func TestInterval(t *testing.T) {
	values := make([]float64, 1001)
	for i := range values {
		values[i] = float64(i)
	}
	low, high := interval(values)
	if low >= 500 || high <= 500 || high-low > 150 { // the exact one is 469 … 531
		t.Errorf("the interval of the median 500 is %v … %v", low, high)
	}
	if q := quantile(values, 1, 4); q != 250 {
		t.Errorf("the first quartile is %v", q)
	}
}
