package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// model is what Differ does, in the most obvious way: on values decoded by encoding/json, without regard for speed.
type model struct {
	changes []string // kind and path
}

func modelDiff(oldObj, newObj []byte) []string {
	var m model
	m.object(nil, asMap(decodeAny(oldObj)), asMap(decodeAny(newObj)))
	slices.Sort(m.changes)
	return m.changes
}

func decodeAny(b []byte) any {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(err)
	}
	return dropNulls(v)
}

// dropNulls takes null members out of objects, as they are absent.
func dropNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e == nil {
				delete(v, k)
			} else {
				dropNulls(e)
			}
		}
	case []any:
		for _, e := range v {
			dropNulls(e)
		}
	}
	return v
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// step is a part of a path in the model: a key, or the text of brackets.
type step struct {
	key      string
	selector string
}

func (m *model) report(kind ChangeKind, path []step) {
	m.changes = append(m.changes, fmt.Sprint(kind, " ", modelPath(path)))
}

func modelPath(path []step) string {
	var b strings.Builder
	keys := func(i int) string {
		if i < 0 {
			return ""
		}
		return path[i].key
	}
	for i, s := range path {
		if s.selector != "" {
			b.WriteString(s.selector)
			continue
		}
		escaped := strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(s.key)
		data := i == 1 && slices.Contains([]string{"data", "binaryData", "stringData"}, keys(0)) ||
			i >= 2 && keys(i-2) == "metadata" && (keys(i-1) == "annotations" || keys(i-1) == "labels") && !underData(path[:i-2])
		switch {
		case data || s.key == "" || strings.ContainsAny(s.key, "./[]=*") || i == 0 && s.key[0] == '$':
			b.WriteString("[" + escaped + "]")
		case i == 0:
			b.WriteString(s.key)
		default:
			b.WriteString("." + s.key)
		}
	}
	return b.String()
}

// underData reports whether the key after path is itself one of annotations, labels or data, so that a key "metadata"
// there is no metadata.
func underData(path []step) bool {
	n := len(path)
	if n == 0 || path[n-1].selector != "" {
		return false
	}
	if n == 1 {
		return slices.Contains([]string{"data", "binaryData", "stringData"}, path[0].key)
	}
	return (path[n-1].key == "annotations" || path[n-1].key == "labels") && path[n-2].key == "metadata" && !underData(path[:n-2])
}

func (m *model) object(path []step, a, b map[string]any) {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	for k := range all {
		if len(path) == 0 && (k == "apiVersion" || k == "kind") {
			continue
		}
		if len(path) == 1 && path[0].key == "metadata" && slices.Contains([]string{"managedFields", "resourceVersion",
			"generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid"}, k) {
			continue
		}
		m.value(append(slices.Clone(path), step{key: k}), a[k], b[k])
	}
}

func (m *model) value(path []step, a, b any) {
	aMap, aIsMap := a.(map[string]any)
	bMap, bIsMap := b.(map[string]any)
	aList, aIsList := a.([]any)
	bList, bIsList := b.([]any)
	switch {
	case modelEqual(a, b):
	case aIsMap && bIsMap:
		m.object(path, aMap, bMap)
	case aIsMap && b == nil && len(aMap) > 0, bIsMap && a == nil && len(bMap) > 0:
		m.object(path, aMap, bMap)
	case aIsList && (bIsList || b == nil), bIsList && a == nil:
		m.list(path, a, b, aList, bList)
	default:
		kind := ChangeValue
		if a != nil && b != nil && !aIsMap && !bIsMap && !aIsList && !bIsList && sameQuantity(encodeAny(a), encodeAny(b)) {
			kind = ChangeQuantity
		}
		m.report(kind, path)
	}
}

func (m *model) list(path []step, a, b any, aList, bList []any) {
	scalars, objects := true, true
	for _, e := range slices.Concat(aList, bList) {
		_, isMap := e.(map[string]any)
		_, isList := e.([]any)
		scalars = scalars && !isMap && !isList
		objects = objects && isMap
	}
	if len(aList)+len(bList) == 0 {
		m.report(ChangeValue, path)
		return
	}
	if scalars {
		path = append(path, step{selector: wholeList})
	}
	if objects {
		if by := modelKey(path, aList, bList); by != nil {
			m.keyed(path, aList, bList, by)
			return
		}
	}
	kind := ChangeValue
	if a != nil && b != nil && len(aList) == len(bList) && samePermuted(aList, bList) {
		kind = ChangeOrder
	}
	m.report(kind, path)
}

func samePermuted(a, b []any) bool {
	left := slices.Clone(b)
	for _, e := range a {
		i := slices.IndexFunc(left, func(x any) bool { return modelEqual(e, x) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

func modelKey(path []step, a, b []any) []string {
	names := keyNames[:firstExtra]
	if n := len(path); path[n-1].key == "conditions" {
		names = append([]string{"type"}, names...)
	} else if n == 2 && path[0].key == "metadata" && path[1].key == "ownerReferences" {
		names = append([]string{"uid"}, names...)
	}
	unique := func(by ...string) bool {
		for _, list := range [][]any{a, b} {
			seen := map[string]bool{}
			for _, e := range list {
				id, ok := modelID(e.(map[string]any), by)
				if !ok || seen[id] {
					return false
				}
				seen[id] = true
			}
		}
		return true
	}
	for _, name := range names {
		if unique(name) {
			return []string{name}
		}
		for _, extra := range keyNames[firstExtra:] {
			if unique(name, extra) {
				return []string{name, extra}
			}
		}
	}
	return nil
}

// modelID returns an element's selectors.
func modelID(e map[string]any, by []string) (string, bool) {
	var id strings.Builder
	for _, name := range by {
		var text string
		switch v := e[name].(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
			if !naturalNumber.MatchString(text) {
				return "", false
			}
		case bool:
			text = strconv.FormatBool(v)
		default:
			return "", false
		}
		id.WriteString("[" + name + "=" + strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(text) + "]")
	}
	return id.String(), true
}

func (m *model) keyed(path []step, a, b []any, by []string) {
	ids := func(list []any) (out []string) {
		for _, e := range list {
			id, _ := modelID(e.(map[string]any), by)
			out = append(out, id)
		}
		return out
	}
	aIDs, bIDs := ids(a), ids(b)
	var aCommon, bCommon []string
	for i, id := range bIDs {
		at := append(slices.Clone(path), step{selector: id})
		j := slices.Index(aIDs, id)
		if j < 0 {
			m.report(ChangeValue, at)
			continue
		}
		bCommon = append(bCommon, id)
		if !modelEqual(a[j], b[i]) {
			m.object(at, asMap(a[j]), asMap(b[i]))
		}
	}
	for _, id := range aIDs {
		if slices.Contains(bIDs, id) {
			aCommon = append(aCommon, id)
		} else {
			m.report(ChangeValue, append(slices.Clone(path), step{selector: id}))
		}
	}
	if !slices.Equal(aCommon, bCommon) {
		m.report(ChangeOrder, path)
	}
}

// modelEqual compares values; numbers by what they are worth.
func modelEqual(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, modelEqual)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, modelEqual)
	case json.Number:
		y, ok := b.(json.Number)
		if !ok {
			return false
		}
		p, _ := new(big.Rat).SetString(x.String())
		q, _ := new(big.Rat).SetString(y.String())
		return p.Cmp(q) == 0
	}
	return reflect.DeepEqual(a, b)
}

func encodeAny(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// summary lists changes as the model does.
func summary(changes []Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprint(c.Kind, " ", string(c.Path)))
	}
	slices.Sort(out)
	return out
}

var naturalNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// longText matches what may be a key that is too long to be written into a path.
var longText = regexp.MustCompile(`"[^"]{300}`)

// hugeNumber matches what may be a number with a large exponent, which takes the model's arithmetic forever.
var hugeNumber = regexp.MustCompile(`[0-9][eE][+-]?[0-9]{3}`)

// sameKeys reports whether the lists of old and result are told apart by the same keys as those of old and new. To put
// back one element may make another key the one that all elements have; then what is left has other paths.
func sameKeys(oldObj, newObj, result []byte) bool {
	return reflect.DeepEqual(modelKeys(oldObj, newObj), modelKeys(oldObj, result))
}

func modelKeys(a, b []byte) map[string]string {
	out := map[string]string{}
	var walk func(path string, a, b any)
	walk = func(path string, a, b any) {
		aMap, bMap := asMap(a), asMap(b)
		if aMap != nil || bMap != nil {
			all := maps.Clone(aMap)
			if all == nil {
				all = map[string]any{}
			}
			maps.Copy(all, bMap)
			for k := range all {
				walk(path+"."+k, aMap[k], bMap[k])
			}
			return
		}
		aList, _ := a.([]any)
		bList, _ := b.([]any)
		if len(aList)+len(bList) == 0 {
			return
		}
		for _, e := range slices.Concat(aList, bList) {
			if asMap(e) == nil {
				out[path] = "none"
				return
			}
		}
		last := path[strings.LastIndexByte(path, '.')+1:]
		by := modelKey([]step{{key: "?"}, {key: last}}, aList, bList)
		out[path] = strings.Join(by, ",")
		for _, x := range bList {
			for _, y := range aList {
				i, ok := modelID(asMap(x), by)
				j, also := modelID(asMap(y), by)
				if ok && also && i == j {
					walk(path+i, y, x)
				}
			}
		}
	}
	walk("", decodeAny(a), decodeAny(b))
	return out
}
