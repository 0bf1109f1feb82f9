package replay

// merged applies a JSON merge patch (RFC 7386) to a value and reports whether that changes it. Neither argument is
// changed; what stays the same is shared with old. A lapNumber becomes a number where it takes the place of one, and
// text anywhere else, since most of what a story counts up is text: annotations, names, messages.
func merged(old, patch any) (v any, changed bool) {
	members, ok := patch.(map[string]any)
	if !ok {
		v = settled(old, patch)
		return v, !equal(old, v)
	}
	was, wasMap := old.(map[string]any)
	out := was
	for key, p := range members {
		before, there := was[key]
		if p == nil {
			if !there {
				continue
			}
			if !changed {
				out, changed = copied(was), true
			}
			delete(out, key)
			continue
		}
		after, differs := merged(before, p)
		if there && !differs {
			continue
		}
		if !changed {
			out, changed = copied(was), true
		}
		out[key] = after
	}
	if !wasMap && !changed { // {} in place of what is no map
		return map[string]any{}, true
	}
	return out, changed
}

func copied(m map[string]any) map[string]any {
	out := make(map[string]any, len(m)+1)
	for key, v := range m {
		out[key] = v
	}
	return out
}

// settled turns every lapNumber of v into a number or text, whichever old has in its place.
func settled(old, v any) any {
	switch v := v.(type) {
	case lapNumber:
		switch old.(type) {
		case int64, float64:
			return int64(v)
		}
		return v.String()
	case []any:
		was, _ := old.([]any)
		out := make([]any, len(v))
		for i, item := range v {
			var before any
			if i < len(was) {
				before = was[i]
			}
			out[i] = settled(before, item)
		}
		return out
	case map[string]any:
		was, _ := old.(map[string]any)
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = settled(was[key], item)
		}
		return out
	}
	return v
}

// equal reports whether two values are the same JSON.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, v := range a {
			w, there := b[key]
			if !there || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case int64:
		if f, ok := b.(float64); ok {
			return float64(a) == f
		}
	case float64:
		if i, ok := b.(int64); ok {
			return a == float64(i)
		}
	}
	return a == b
}

// tidy returns an object without the parts of metadata that the API server leaves out when they are empty.
func tidy(object map[string]any) map[string]any {
	for _, key := range []string{"annotations", "labels", "finalizers", "ownerReferences"} {
		empty := false
		switch v := at(object, "metadata", key).(type) {
		case map[string]any:
			empty = len(v) == 0
		case []any:
			empty = len(v) == 0
		}
		if empty {
			object = with(object, nil, "metadata", key)
		}
	}
	return object
}

// agreeing returns the part of config that object still has with the same values, or nil.
func agreeing(config, object any) any {
	members, ok := config.(map[string]any)
	if !ok {
		if equal(config, object) {
			return config
		}
		return nil
	}
	have, ok := object.(map[string]any)
	if !ok {
		return nil
	}
	out := make(map[string]any, len(members))
	for key, v := range members {
		if kept := agreeing(v, have[key]); kept != nil {
			out[key] = kept
		}
	}
	if len(out) == 0 && len(members) > 0 {
		return nil
	}
	return out
}

// at returns the value under a path of map keys, or nil.
func at(object map[string]any, path ...string) any {
	var v any = object
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// with returns a copy of object with the value under a path of map keys set, or removed if v is nil.
func with(object map[string]any, v any, path ...string) map[string]any {
	out := copied(object)
	if len(path) > 1 {
		inner, _ := object[path[0]].(map[string]any)
		out[path[0]] = with(inner, v, path[1:]...)
		return out
	}
	if v == nil {
		delete(out, path[0])
	} else {
		out[path[0]] = v
	}
	return out
}
