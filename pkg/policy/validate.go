package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// validate finds what is wrong with a decoded file as a whole: what one value alone does not show. It runs before the
// defaults are filled in, so that it only ever blames what the file says.
func (d *decoder) validate(f *File) {
	if d.given("apiVersion") && f.APIVersion != "" && f.APIVersion != APIVersion {
		d.problemAt("apiVersion", "must be %s, not %s", quote(APIVersion), quote(f.APIVersion))
	}
	if d.given("kind") && f.Kind != "" && f.Kind != Kind {
		d.problemAt("kind", "must be %s, not %s", quote(Kind), quote(f.Kind))
	}
	d.presets(f)
	if d.given("rules") && len(f.Rules) == 0 && !d.problems.under("rules") {
		d.problemAt("rules", "is empty: nothing would be watched")
	}
	names := map[string]int{}
	for i := range f.LookAlikes {
		path := index("lookAlikes", i)
		d.unique(names, path+".name", f.LookAlikes[i].Name, i)
		if fields := f.LookAlikes[i].Fields; fields != nil && len(fields) == 0 && !d.problems.under(path+".fields") {
			d.problemAt(path+".fields", "is empty: nothing would look like it")
		}
		d.notEmpty(path+".resources", f.LookAlikes[i].Resources)
	}
	clear(names)
	memory := f.History.Memory
	setDefault(&memory, defaultMemory)
	if d.problems.under("history.memory") {
		memory = Duration(maxDuration) // one problem is enough
	}
	for i := range f.Rules {
		r, path := &f.Rules[i], index("rules", i)
		d.unique(names, path+".name", r.Name, i)
		d.notEmpty(path+".match.resources", r.Match.Resources)
		d.notEmpty(path+".match.namespaces", r.Match.Namespaces)
		d.notEmpty(path+".match.fields", r.Match.Fields)
		d.withinMemory(path+".detect", &r.Detect, memory)
		if r.Truce.Max != 0 && r.Truce.Max < r.Truce.Length {
			d.problemAt(path+".truce.max", "must not be shorter than truce.length, which is %s", r.Truce.Length)
		}
	}
	d.shadows(f.Rules)
}

// index appends an index to a path.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// presets checks the names of presets.
func (d *decoder) presets(f *File) {
	if len(f.Presets) == 0 {
		return
	}
	names, seen := presetNames(), map[string]int{}
	for i, name := range f.Presets {
		path := index("presets", i)
		if name == "" {
			continue // not decoded, which is a problem already
		}
		if first, twice := seen[name]; twice {
			d.problemAt(path, "%s is listed twice; first at presets[%d]", quote(name), first)
			continue
		}
		seen[name] = i
		if slices.Contains(names, name) {
			continue
		}
		if meant := nearest(name, names); meant != "" {
			d.problemAt(path, "there is no preset %s; did you mean %s?", quote(name), quote(meant))
			continue
		}
		d.problemAt(path, "there is no preset %s; `truce policy default` shows them", quote(name))
	}
	if len(f.Presets)+len(f.LookAlikes) > maxLookAlikes {
		d.problemAt("lookAlikes", "must be at most %d together with presets", maxLookAlikes)
	}
}

// unique checks that a name stands at one index only.
func (d *decoder) unique(seen map[string]int, path, name string, i int) {
	if name == "" {
		return // missing or malformed, which is a problem already
	}
	if first, twice := seen[name]; twice {
		d.problemAt(path, "%s is taken by the entry at index %d", quote(name), first)
		return
	}
	seen[name] = i
}

// notEmpty refuses a list that is there and empty, where none would mean everything.
func (d *decoder) notEmpty(path string, list []string) {
	if list != nil && len(list) == 0 && !d.problems.under(path) {
		d.problemAt(path, "is empty, which fits nothing; leave it out to fit everything")
	}
}

// withinMemory checks that no signal looks further back than anything is remembered.
func (d *decoder) withinMemory(path string, detect *Detect, memory Duration) {
	v := reflect.ValueOf(detect).Elem()
	for _, p := range properties(v.Type()) {
		c, ok := v.Field(p.index).Interface().(CountWithin)
		if ok && c.Within > memory {
			d.problemAt(fmt.Sprintf("%s.%s.within", path, p.key), "must not be longer than history.memory, which is %s", memory)
		}
	}
}
