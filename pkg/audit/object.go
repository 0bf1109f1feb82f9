package audit

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/truce-dev/truce/pkg/admission"
)

// This file reads and changes raw objects as little as is needed: most are large, and all but a few members are of no
// interest.

// firstMember returns the raw value of a member, nil if there is none. It stops at the first one, so that what the API
// server writes first is found at once.
func firstMember(object []byte, name string) []byte {
	start := memberAt(object, 0, name)
	if start < 0 {
		return nil
	}
	end := admission.SkipValue(object, start)
	if end < 0 {
		return nil
	}
	return object[start:end:end]
}

// memberAt returns where a member's value begins, given where its object does in b; -1 if there is none.
func memberAt(b []byte, at int, name string) int {
	if at < 0 || at >= len(b) || b[at] != '{' {
		return -1
	}
	at, done := admission.First(b, at)
	for !done && at >= 0 {
		key, value := admission.Ahead(b, at)
		if value < 0 || string(key) == name {
			return value
		}
		next := admission.SkipValue(b, value)
		if next < 0 {
			return -1
		}
		at, done = admission.Next(b, next, '}')
	}
	return -1
}

// identity is what tells one state of an object from another. It is read without going through the object.
type identity struct {
	name, uid []byte
	version   uint64
}

func identityOf(object []byte) (out identity, ok bool) {
	meta := memberAt(object, 0, "metadata")
	if meta < 0 || object[meta] != '{' {
		return out, false
	}
	at, done := admission.First(object, meta)
	for left := 3; !done && left > 0; left-- {
		key, value := admission.Ahead(object, at)
		if value < 0 {
			return out, false
		}
		next := admission.SkipValue(object, value)
		if next < 0 {
			return out, false
		}
		switch string(key) {
		case "name":
			out.name = admission.Text(object[value:next])
		case "uid":
			out.uid = admission.Text(object[value:next])
		case "resourceVersion":
			out.version, _ = strconv.ParseUint(string(admission.Text(object[value:next])), 10, 64)
		default:
			left++
		}
		if at, done = admission.Next(object, next, '}'); at < 0 {
			return out, false
		}
	}
	return out, true
}

// whole returns a response if it is an object as it is stored now, rather than a Status or what a client asked for
// instead of it.
func whole(response []byte) []byte {
	if len(response) == 0 || response[0] != '{' {
		return nil
	}
	switch string(admission.Text(firstMember(response, "kind"))) {
	case "", "Status", "PartialObjectMetadata", "Table":
		return nil
	}
	if memberAt(response, 0, "metadata") < 0 {
		return nil
	}
	return response
}

// setVersion makes an object one of another resourceVersion. It changes the object itself if it can, and returns a new one
// if not.
func setVersion(object []byte, version string) []byte {
	start := memberAt(object, memberAt(object, 0, "metadata"), "resourceVersion")
	if start < 0 || object[start] != '"' {
		return object
	}
	end := admission.SkipValue(object, start)
	if end < 0 {
		return object
	}
	if end-start == len(version)+2 {
		copy(object[start+1:], version)
		return object
	}
	out := make([]byte, 0, len(object)+len(version))
	out = append(out, object[:start+1]...)
	out = append(out, version...)
	return append(out, object[end-1:]...)
}

func versionText(v uint64) string { return strconv.FormatUint(v, 10) }

// edited returns an object with some members changed: nil removes one. keys lead to the object that they are members of.
func edited(object []byte, change map[string][]byte, keys ...string) ([]byte, error) {
	members := make(map[string]jsontext.Value)
	if len(object) > 0 {
		if err := json.Unmarshal(object, &members, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			return nil, err
		}
	}
	if len(keys) > 0 {
		inner := members[keys[0]]
		if len(inner) > 0 && inner[0] != '{' {
			inner = nil
		}
		below, err := edited(inner, change, keys[1:]...)
		if err != nil {
			return nil, err
		}
		members[keys[0]] = below
	} else {
		for name, value := range change {
			if value == nil {
				delete(members, name)
			} else {
				members[name] = value
			}
		}
	}
	return json.Marshal(members, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}

// undeleted returns an object's metadata, as an object, as they were before its deletion began.
func undeleted(object []byte) []byte {
	meta, err := edited(firstMember(object, "metadata"), map[string][]byte{
		"deletionTimestamp": nil, "deletionGracePeriodSeconds": nil, "managedFields": nil,
	})
	if err != nil {
		return nil
	}
	return append(append([]byte(`{"metadata":`), meta...), '}')
}

// onlyName is all that is known of an object of which only its name is.
func onlyName(namespace, name, uid string) []byte {
	meta := map[string]string{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	if uid != "" {
		meta["uid"] = uid
	}
	raw, err := json.Marshal(map[string]any{"metadata": meta}, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return raw
}

// lingers reports whether an object that is being deleted is still there: it has finalizers, or time to end.
func lingers(object []byte) bool {
	meta := firstMember(object, "metadata")
	if f := admission.Find(meta, "finalizers"); len(f) > 2 {
		return true
	}
	grace := admission.Find(meta, "deletionGracePeriodSeconds")
	return admission.Find(meta, "deletionTimestamp") != nil && len(grace) > 0 && string(grace) != "0"
}

// scaleOf returns the Scale of an object, nil if its replicas are not known.
func scaleOf(object []byte) []byte {
	replicas := firstMember(firstMember(object, "spec"), "replicas")
	if replicas == nil {
		return nil
	}
	meta, err := admission.MetaOf(object)
	if err != nil {
		return nil
	}
	raw, err := json.Marshal(map[string]any{
		"kind": "Scale", "apiVersion": "autoscaling/v1",
		"metadata": map[string]any{
			"name": meta.Name, "namespace": meta.Namespace, "uid": meta.UID, "resourceVersion": versionText(meta.ResourceVersion),
		},
		"spec": map[string]any{"replicas": jsontext.Value(replicas)},
	}, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return raw
}
