package policy

// The tags of these types are the one place where the file format is described: `json` names a key (without omitzero it
// must be given), `range` bounds a number or a time, `check` names the syntax of a text or of each entry of a list (see
// checks in scalar.go). The strict decoder, the printer and the JSON Schema are all driven by them, and the comments
// become the schema's descriptions.

// Identity of the file format.
const (
	APIVersion = "truce.dev/v1alpha1"
	Kind       = "Policy"
)

// File is a policy file as it is written. The one in a Policy has its defaults filled in.
type File struct {
	// APIVersion must be truce.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind must be Policy.
	Kind string `json:"kind"`
	// Mode caps what every rule may do.
	Mode Mode `json:"mode,omitzero"`
	// History bounds what Truce remembers.
	History History `json:"history,omitzero"`
	// Exempt names writers and namespaces whose writes are remembered, but never warned about or acted on.
	Exempt Exempt `json:"exempt,omitzero"`
	// People says which writers are people. A person at work toggles things; that alone is never a fight. Left out: whoever
	// looks like one. Given: exactly these, and nobody if it is empty.
	People People `json:"people,omitzero"`
	// Presets lists built-in look-alikes by name. Left out: all of them. An empty list: none.
	Presets []string `json:"presets,omitzero"`
	// LookAlikes are further known patterns that look like a fight and are none. One with the name of a preset takes its
	// place.
	LookAlikes []LookAlike `json:"lookAlikes,omitzero"`
	// Observe lists resources that are watched too, because admission never sees all of their writes. Webhook
	// configurations and admission policies always are, where the server may watch. Fights over them are only reported.
	// As in a rule's match, but for wildcards and subresources.
	Observe []string `json:"observe,omitzero" check:"observed"`
	// Rules are tried in order, per changed field; the first whose match fits decides. A field that none fits is not
	// watched.
	Rules []Rule `json:"rules"`
}

// Mode caps what every rule may do.
type Mode string

// The modes, from the most careful one.
const (
	Audit   Mode = "Audit"   // record: audit annotations, metrics, logs
	Warn    Mode = "Warn"    // also tell the client what enforcement would have done
	Enforce Mode = "Enforce" // also act
)

func (Mode) options() []string { return []string{string(Audit), string(Warn), string(Enforce)} }

// History bounds what Truce remembers. What falls out of a bound is forgotten as if it had never been written.
type History struct {
	// Objects is how many objects are remembered; the least recently written is forgotten first. 1 to 10,000,000.
	Objects int `json:"objects,omitzero" range:"1,10000000"`
	// FieldsPerObject is how many changed fields of one object are remembered. 1 to 1,024.
	FieldsPerObject int `json:"fieldsPerObject,omitzero" range:"1,1024"`
	// StatesPerField is how many past states of one field are remembered. 4 to 64.
	StatesPerField int `json:"statesPerField,omitzero" range:"4,64"`
	// WritersPerObject is how many writers of one object are told apart. 2 to 64.
	WritersPerObject int `json:"writersPerObject,omitzero" range:"2,64"`
	// Memory is how long a past state counts. 1m to 30 days.
	Memory Duration `json:"memory,omitzero" range:"1m,30d"`
}

// Exempt names writers and namespaces by wildcard (`*` is any run of characters).
type Exempt struct {
	// Users by name, such as `system:serviceaccount:velero:*`.
	Users []string `json:"users,omitzero" check:"wildcard"`
	// Groups, one of which the user is in.
	Groups []string `json:"groups,omitzero" check:"wildcard"`
	// Managers are field managers. A client that names none has the empty one, which only `*` fits.
	Managers []string `json:"managers,omitzero" check:"wildcard"`
	// Namespaces of the objects written to. Cluster-scoped objects have the empty one, which only `*` fits.
	Namespaces []string `json:"namespaces,omitzero" check:"wildcard"`
}

// Writers names writers by wildcard (`*` is any run of characters); one that fits any entry of any list is meant.
type Writers struct {
	// Users by name, such as `system:serviceaccount:argocd:*`.
	Users []string `json:"users,omitzero" check:"wildcard"`
	// Groups, one of which the user is in.
	Groups []string `json:"groups,omitzero" check:"wildcard"`
	// Managers are field managers. A client that names none has the empty one, which only `*` fits.
	Managers []string `json:"managers,omitzero" check:"wildcard"`
}

// People names the writers who are people by wildcard (`*` is any run of characters): whoever fits an entry of users,
// groups or managers. A service account, or an excluded user, whom only a manager makes one runs a script: what it does by
// itself is never a fight or a loop, but it is no person to others.
type People struct {
	// Users by name, such as `*@example.com`.
	Users []string `json:"users,omitzero" check:"wildcard"`
	// ExcludeUsers are machines, although an entry of users fits their names: the service accounts of a cloud, say. A group
	// still makes one a person.
	ExcludeUsers []string `json:"excludeUsers,omitzero" check:"wildcard"`
	// Groups, one of which the user is in.
	Groups []string `json:"groups,omitzero" check:"wildcard"`
	// Managers are field managers. A client that names none has the empty one, which only `*` fits.
	Managers []string `json:"managers,omitzero" check:"wildcard"`
}

// LookAlike is a known pattern of writes that looks like a fight and is none.
type LookAlike struct {
	// Name identifies it; presets are chosen by it. A DNS label.
	Name string `json:"name" check:"label"`
	// Why says what the pattern is, for whoever reads the file.
	Why string `json:"why,omitzero"`
	// Resources as in a rule's match. Left out: every resource.
	Resources []string `json:"resources,omitzero" check:"resource"`
	// Fields as in a rule's match.
	Fields []string `json:"fields" check:"field"`
	// Writers, if given, restricts it to writes by these writers.
	Writers Writers `json:"writers,omitzero"`
	// Silent says when the pattern is ignored: Always, or only while OneWriter alone writes the field.
	Silent Silence `json:"silent,omitzero"`
}

// Silence says when a look-alike is ignored.
type Silence string

// The two kinds of silence; the empty Silence is none.
const (
	Always    Silence = "Always"
	OneWriter Silence = "OneWriter"
)

func (Silence) options() []string { return []string{string(Always), string(OneWriter)} }

// Rule says which fields are watched, what counts as a fight over them, and what is done about one.
type Rule struct {
	// Name identifies the rule in messages, metrics and audit annotations: a DNS label.
	Name string `json:"name" check:"label"`
	// Match says which fields of which objects the rule is for.
	Match Match `json:"match,omitzero"`
	// Detect sets the thresholds of detection.
	Detect Detect `json:"detect,omitzero"`
	// Action is what is done to writes of a contested field while a truce lasts.
	Action Action `json:"action,omitzero"`
	// Throttle sets the token bucket of action Throttle.
	Throttle Throttle `json:"throttle,omitzero"`
	// Truce sets how long a fight is held down.
	Truce Truce `json:"truce,omitzero"`
	// Prefer names the party that wins: its writes pass while a truce lasts.
	Prefer Writers `json:"prefer,omitzero"`
	// Values says whether the journal of changes shows what these fields are changed from and to.
	Values Values `json:"values,omitzero"`
}

// Match says which fields of which objects a rule is for. Every part that is left out fits everything.
type Match struct {
	// Resources: `*`, `serviceaccounts`, `deployments.apps`, `*.cert-manager.io`, `deployments.apps/scale`. Without a
	// group it is one of the core group. Without a `/` it means itself and its subresources status and scale; with one,
	// that subresource only, and `/*` any subresource.
	Resources []string `json:"resources,omitzero" check:"resource"`
	// ExcludeResources are left out of Resources.
	ExcludeResources []string `json:"excludeResources,omitzero" check:"resource"`
	// Namespaces, by wildcard. Cluster-scoped objects have the empty namespace, which only `*` fits.
	Namespaces []string `json:"namespaces,omitzero" check:"wildcard"`
	// ExcludeNamespaces are left out of Namespaces.
	ExcludeNamespaces []string `json:"excludeNamespaces,omitzero" check:"wildcard"`
	// Selector selects objects by label, as in `app=web,tier in (front,back),!legacy`.
	Selector string `json:"selector,omitzero" check:"selector"`
	// Fields: `spec.replicas`, `metadata.annotations[*]`, `spec.containers[name=web].image`, `spec.**`, `$exists`. A
	// pattern fits the field it names, and with `**` at the end everything below it too. `*` is any run of characters
	// within one key or within one pair of brackets; `**` is any number of keys and brackets. `$exists` is the object
	// itself.
	Fields []string `json:"fields,omitzero" check:"field"`
	// ExcludeFields are left out of Fields.
	ExcludeFields []string `json:"excludeFields,omitzero" check:"field"`
}

// Action is what is done to writes of a contested field while a truce lasts.
type Action string

// The actions.
const (
	ActionWarn     Action = "Warn"     // let the write through and warn its client
	ActionThrottle Action = "Throttle" // let writes through at the rate of a token bucket, answer 429 to the others
	ActionReject   Action = "Reject"   // answer 403
	ActionHold     Action = "Hold"     // put the field back to its stored value and let the rest of the write through
)

func (Action) options() []string {
	return []string{string(ActionWarn), string(ActionThrottle), string(ActionReject), string(ActionHold)}
}

// Values says whether the journal of changes shows values.
type Values string

// What is shown of values.
const (
	ValuesHidden Values = "Hidden" // hashes only, which tell whether two values are the same
	ValuesShown  Values = "Shown"  // the values too, cut to 256 bytes; never those of Secrets
)

func (Values) options() []string { return []string{string(ValuesHidden), string(ValuesShown)} }

// Throttle is the token bucket of one fight.
type Throttle struct {
	// Every is the time after which one more write passes. 1s to 24h.
	Every Duration `json:"every,omitzero" range:"1s,24h"`
	// Burst is how many writes pass at once. 1 to 1,000.
	Burst int `json:"burst,omitzero" range:"1,1000"`
	// RetryAfterSeconds is sent with a 429 if it is not zero. client-go then sleeps that long inside the call and
	// tries again, up to 10 times, which blocks a controller's worker for its innocent keys too. 0 to 30.
	RetryAfterSeconds int `json:"retryAfterSeconds,omitzero" range:"0,30"`
}

// Truce is how long a fight is held down.
type Truce struct {
	// Length of the first truce. 1s to 24h.
	Length Duration `json:"length,omitzero" range:"1s,24h"`
	// Max is what the length grows to, doubling each time the fight goes on. Length to 7 days.
	Max Duration `json:"max,omitzero" range:"1s,7d"`
}

// Detect sets the thresholds of detection. A count of 0 switches its signal off; no time may be longer than
// history.memory.
type Detect struct {
	// Reversals by two machine writers within a short time.
	Reversals CountWithin `json:"reversals,omitzero"`
	// SlowReversals by two machine writers, at any pace within history.memory.
	SlowReversals Count `json:"slowReversals,omitzero"`
	// PeopleReversals: a machine undoing people (see people) counts towards a fight only at this higher count.
	PeopleReversals CountWithin `json:"peopleReversals,omitzero"`
	// SelfReversals: one writer alternating between values at a machine's steady pace, each gap at most Within.
	SelfReversals CountWithin `json:"selfReversals,omitzero"`
	// OwnerReversals: one writer's reversals if something that names the object's owner flips in the same writes.
	OwnerReversals Count `json:"ownerReversals,omitzero"`
	// Alternations of two writers with values that never come back.
	Alternations CountWithin `json:"alternations,omitzero"`
	// Loops: one writer's writes that change nothing, or always mint a new value, sustained; advisory only.
	// Within is the longest gap between two of them.
	Loops CountWithin `json:"loops,omitzero"`
}

// CountWithin is a threshold on a number of events within a time.
type CountWithin struct {
	// Count reaches the threshold when this many are seen; 0 switches the signal off, left out means the default.
	// 0 to 1,000.
	Count *int `json:"count,omitzero" range:"0,1000"`
	// Within is the time. 1s to history.memory.
	Within Duration `json:"within,omitzero" range:"1s,30d"`
}

// Count is a threshold on a number of events.
type Count struct {
	// Count reaches the threshold when this many are seen; 0 switches the signal off, left out means the default.
	// 0 to 1,000.
	Count *int `json:"count,omitzero" range:"0,1000"`
}
