package admission

import "bytes"

// ownerKeys are the last parts of annotation and label keys that name what an object belongs to. Of two owners of one name
// only the namespace or the kind differs.
var ownerKeys = map[string]bool{
	"instance": true, "name": true, "namespace": true, "tracking-id": true, "composite": true, "certificate-name": true,
	"claim-name": true, "claim-namespace": true, "release-name": true, "release-namespace": true,
	"owner": true, "owner-name": true, "owner-namespace": true, "owner-kind": true, "owner-gvk": true,
	"owned-by": true, "managed-by": true, "created-by": true, "owning-inventory": true,
}

var (
	ownerReferences  = []byte("metadata.ownerReferences")
	annotationPrefix = []byte("metadata.annotations[")
	labelPrefix      = []byte("metadata.labels[")
	olmOwner         = []byte("metadata.labels[olm.owner") // OLM's olm.owner, olm.owner.namespace, olm.owner.kind have no slash
)

// namesOwner reports whether a field names the object's owner: an ownerReference, or a key such as
// app.kubernetes.io/instance or cert-manager.io/certificate-name. When such a field flips along with others, the
// controller works for one owner and then for another, and neither will ever be content.
func namesOwner(path []byte) bool {
	if bytes.HasPrefix(path, ownerReferences) || bytes.HasPrefix(path, olmOwner) {
		return true
	}
	if !bytes.HasPrefix(path, annotationPrefix) && !bytes.HasPrefix(path, labelPrefix) {
		return false
	}
	slash := bytes.LastIndexByte(path, '/')
	return slash >= 0 && ownerKeys[string(bytes.TrimSuffix(path[slash+1:], []byte("]")))]
}
