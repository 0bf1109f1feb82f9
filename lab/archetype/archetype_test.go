package archetype

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestSignature(t *testing.T) {
	server, worker := deployment("checkout", "server"), deployment("checkout", "worker")
	server.UID, worker.UID = "1", "2"
	if a, b := signature(server), signature(worker); a == b || len(a) != 16 {
		t.Errorf("signatures %q and %q: want two different ones, of 16 digits", a, b)
	}
	again := server.DeepCopy()
	again.ResourceVersion, again.Generation = "7", 2
	if signature(server) != signature(again) {
		t.Error("the signature of a component changed though the component is the same")
	}
	again.UID = types.UID("3")
	if signature(server) == signature(again) {
		t.Error("a component that was made anew has the old signature")
	}
}
