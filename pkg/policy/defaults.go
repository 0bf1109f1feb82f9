package policy

import (
	_ "embed"
	"reflect"
	"slices"
	"sync"
	"time"
)

//go:embed default.yaml
var defaultYAML []byte

// DefaultYAML returns the built-in policy as a file, with comments that explain it.
func DefaultYAML() []byte { return slices.Clone(defaultYAML) }

// Default returns the built-in policy. Every call returns the same one.
var Default = sync.OnceValue(func() *Policy {
	p, err := Load(defaultYAML, "default.yaml")
	if err != nil {
		panic(err)
	}
	return p
})

// presets returns the built-in look-alikes: those that the built-in policy defines, with their defaults.
var presets = sync.OnceValue(func() []LookAlike {
	d := newDecoder("default.yaml", "a policy")
	var f File
	d.value(d.parse(defaultYAML), reflect.ValueOf(&f).Elem(), "", "")
	if err := d.problems.err(); err != nil {
		panic(err)
	}
	for i := range f.LookAlikes {
		f.LookAlikes[i].fill()
	}
	return f.LookAlikes
})

// presetNames returns the names that `presets` can list, in the order of the built-in policy.
func presetNames() []string {
	names := make([]string, len(presets()))
	for i, l := range presets() {
		names[i] = l.Name
	}
	return names
}

const (
	second = Duration(time.Second)
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)

	defaultMemory = 48 * hour
)

// defaultPeople looks like people: names of single sign-on and of the admin that installers set up, and tools that are
// run by hand or by a script that somebody wrote. The service accounts of Google Cloud look like e-mail addresses, federated
// workloads and the CI workflows of GitHub and GitLab may have an `@` in their names too.
func defaultPeople() People {
	return People{
		Users:        []string{"*@*"},
		ExcludeUsers: []string{"*gserviceaccount.com", "*/workloadIdentityPools/*", "*@refs/*"},
		Managers: []string{
			"kubectl*", "oc", "helm", "flux", "istioctl", "cmctl", "virtctl", "k9s", "Lens*", "OpenLens*", "freelens*",
			"headlamp*", "kubernetes-dashboard*", "dashboard", "octant*", "Mozilla*",
		},
	}
}

// setDefault gives v a value if it has none.
func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// fill gives everything that the file leaves out its default. given tells by path what it does not leave out, where the
// zero value means something else.
func (f *File) fill(given func(path string) bool) {
	setDefault(&f.Mode, Warn)
	setDefault(&f.History.Objects, 200_000)
	setDefault(&f.History.FieldsPerObject, 64)
	setDefault(&f.History.StatesPerField, 12)
	setDefault(&f.History.WritersPerObject, 16)
	setDefault(&f.History.Memory, defaultMemory)
	if !given("people") {
		f.People = defaultPeople()
	} else if reflect.ValueOf(f.People).IsZero() {
		f.People.Users = []string{} // so that a printed file says that nobody is a person
	}
	if f.Presets == nil {
		f.Presets = presetNames()
	}
	for i := range f.LookAlikes {
		f.LookAlikes[i].fill()
	}
	for i := range f.Rules {
		f.Rules[i].fill(f.History.Memory)
	}
}

func (l *LookAlike) fill() {
	if l.Resources == nil {
		l.Resources = []string{"*"}
	}
	setDefault(&l.Silent, Always)
}

// fill also keeps the defaults within what is given: memory, and the other end of the truce.
func (r *Rule) fill(memory Duration) {
	r.Match.fill()
	d := &r.Detect
	d.Reversals.fill(3, min(2*minute, memory))
	d.SlowReversals.fill(4)
	d.PeopleReversals.fill(5, min(hour, memory)) // 12 states hold 6 at most
	d.SelfReversals.fill(8, minute)              // no memory is shorter
	d.OwnerReversals.fill(3)
	d.Alternations.fill(10, min(10*minute, memory))
	d.Loops.fill(20, 10*second)
	setDefault(&r.Action, ActionThrottle)
	setDefault(&r.Values, ValuesHidden)
	setDefault(&r.Throttle.Every, minute)
	setDefault(&r.Throttle.Burst, 1)
	if r.Truce.Max == 0 {
		setDefault(&r.Truce.Length, 5*minute)
		r.Truce.Max = max(hour, r.Truce.Length)
	}
	setDefault(&r.Truce.Length, min(5*minute, r.Truce.Max))
}

func (m *Match) fill() {
	if m.Resources == nil {
		m.Resources = []string{"*"}
	}
	if m.Namespaces == nil {
		m.Namespaces = []string{"*"}
	}
	if m.Fields == nil {
		m.Fields = []string{"**"}
	}
}

func (c *CountWithin) fill(count int, within Duration) {
	if c.Count == nil {
		c.Count = &count
	}
	setDefault(&c.Within, within)
}

func (c *Count) fill(count int) {
	if c.Count == nil {
		c.Count = &count
	}
}
