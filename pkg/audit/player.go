package audit

import (
	"github.com/truce-dev/truce/pkg/admission"
	"github.com/truce-dev/truce/pkg/history"
)

// player takes recorded writes in the order of time, works out the objects before and after each, and hands them on as the
// requests that a webhook would have got.
type player struct {
	in     interner
	states *states
	// judge is called for every write whose objects are known. It must not keep anything of the request.
	judge func(*write)
	Coverage
}

// write is a recorded write.
type write struct {
	admission.Request
	event *Event
	state *state
	id    id
	// version is the resourceVersion that the object got, 0 if that is not known.
	version uint64
	uid     string
	// worked: the object was worked out from what was sent. Whether it was stored so is not known.
	worked bool
	// key is what the history knows the object by, once it was judged.
	key history.Key
}

// Coverage counts what a log told of writes.
type Coverage struct {
	// Writes are all that were stored, or changed nothing; Judged those whose objects were known before and after.
	Writes int64 `json:"writes"`
	Judged int64 `json:"judged"`
	// MetadataOnly were recorded at level Metadata: who, what and when, but not which fields.
	MetadataOnly int64 `json:"metadataOnly"`
	// RequestOnly were recorded at level Request: the object was worked out from what was sent.
	RequestOnly int64 `json:"requestOnly"`
	// FirstSeen came upon an object of which nothing was known yet, so that what they changed is not known.
	FirstSeen int64 `json:"firstSeen"`
	// Missed came upon an object that somebody had changed unrecorded.
	Missed int64 `json:"missed"`
	// Late were recorded after a later write of the same object, or twice.
	Late int64 `json:"late"`
	// Unreadable have patches that do not fit what is known of the object.
	Unreadable int64 `json:"unreadable"`
	// Forgotten objects made room for others.
	Forgotten int64 `json:"forgotten"`
}

// add adds what another part of a log told.
func (c *Coverage) add(o *Coverage) {
	c.Writes += o.Writes
	c.Judged += o.Judged
	c.MetadataOnly += o.MetadataOnly
	c.RequestOnly += o.RequestOnly
	c.FirstSeen += o.FirstSeen
	c.Missed += o.Missed
	c.Late += o.Late
	c.Unreadable += o.Unreadable
	c.Forgotten += o.Forgotten
}

// newPlayer returns a player that is one of some: together they remember so much.
func newPlayer(some int, judge func(*write)) *player {
	return &player{states: newStates(some), judge: judge}
}

// tells reports whether an event tells something of objects: it is a write, or shows an object.
func tells(e *Event) bool { return isWrite(e) || isRead(e) }

func isRead(e *Event) bool {
	return string(e.Verb) == "get" && len(e.Response()) > 0 && e.OK() && len(e.Object.Subresource) == 0
}

// play takes the next event.
func (p *player) play(e *Event) {
	switch string(e.Verb) {
	case "deletecollection":
		p.playCollection(e)
		return
	case "get":
		p.read(e)
		return
	}
	p.Writes++
	w := write{Request: p.in.request(e), event: e}
	object := whole(e.Response())
	var is admission.Meta
	if object != nil {
		var err error
		if is, err = admission.MetaOf(object); err != nil {
			p.Unreadable++
			return
		}
		if is.Name != "" && is.Name != w.Name {
			w.Name = is.Name // it may have been generated
		}
	}
	if w.Name == "" {
		p.Unreadable++ // nothing tells what was created
		return
	}
	w.id = id{w.Group, w.Resource, w.Namespace, w.Name}
	w.version, w.uid = is.ResourceVersion, is.UID
	w.state = p.states.of(w.id)
	if w.UID == w.state.event && w.UID != "" {
		p.Late++ // the very same once more
		return
	}
	w.state.event = w.UID
	p.count(&w)
	p.states.change(w.state, func() {
		switch {
		case w.Subresource != "" && w.Subresource != "status" && w.Subresource != "scale":
			p.elsewhere(&w, object)
		case w.Operation == opDelete:
			p.delete(&w, object)
		case object != nil:
			p.stored(&w, object, &is)
		case e.Request() != nil:
			p.sent(&w)
		default:
			p.named(&w)
		}
	})
	p.Forgotten = int64(p.states.evicted)
}

// read takes what a read shows of an object of which nothing is known yet.
func (p *player) read(e *Event) {
	object := whole(e.Response())
	is, ok := identityOf(object)
	if object == nil || !ok || is.version == 0 {
		return
	}
	o := &e.Object
	s := p.states.of(id{p.in.text(o.Group), p.in.text(o.Resource), p.in.text(o.Namespace), p.in.text(o.Name)})
	if s.object == nil && !s.gone {
		p.states.change(s, func() { s.keep(object, is.version, string(is.uid)) })
	}
}

func (p *player) count(w *write) {
	s := w.state
	s.writes++
	s.bytes += int64(len(w.event.Response()))
	if s.first == 0 {
		s.first = w.event.Done
	}
	s.last = w.event.Done
}

// stored takes a write whose response shows the object, with its metadata, as it was stored.
func (p *player) stored(w *write, object []byte, is *admission.Meta) {
	s := w.state
	switch {
	case s.version != 0 && w.version != 0 && w.version < s.version && (w.uid == s.uid || w.Operation != opCreate):
		p.Late++
		return
	case w.Operation == opCreate:
		w.Object, w.Meta = object, is
		p.hand(w)
		s.keepAs(object, is)
		return
	case w.Subresource == "scale":
		p.scaled(w, object)
		return
	}
	known := s.object != nil && s.version != 0 && (s.uid == "" || s.uid == w.uid)
	switch {
	case !known:
		p.FirstSeen++
	case p.missed(w):
		p.Missed++
	default:
		// At admission an object still has the version that it had.
		asked := setVersion(object, versionText(s.version))
		w.OldObject, w.Object, w.OldMeta = s.object, asked, s.meta
		if len(asked) == len(object) { // it is the object itself, so that all is where it was
			meta := *is
			meta.ResourceVersion = s.version
			w.Meta = &meta
		}
		p.hand(w)
		if len(asked) == len(object) {
			setVersion(object, versionText(w.version))
		}
	}
	s.keepAs(object, is)
}

// missed reports whether an update was made upon another version of the object than the one last seen: somebody wrote
// unrecorded in between.
func (p *player) missed(w *write) bool {
	if string(w.event.Verb) != "update" {
		return false
	}
	sent, ok := identityOf(w.event.Request())
	return ok && sent.version > w.state.version
}

// scaled takes a write of the subresource scale, whose response is a Scale.
func (p *player) scaled(w *write, scale []byte) {
	s := w.state
	replicas := firstMember(firstMember(scale, "spec"), "replicas")
	old := scaleOf(s.object)
	if old == nil || replicas == nil {
		p.FirstSeen++
		s.forget()
		return
	}
	w.OldObject, w.Object = old, setVersion(scale, versionText(s.version))
	p.hand(w)
	next, err := edited(s.object, map[string][]byte{"replicas": replicas}, "spec")
	if err != nil {
		s.forget()
		return
	}
	s.keep(setVersion(next, versionText(w.version)), w.version, w.uid)
}

// sent takes a write of which only what was sent is known.
func (p *player) sent(w *write) {
	p.RequestOnly++
	w.worked = true
	s := w.state
	if w.Operation == opCreate {
		w.Object = w.event.Request()
		p.hand(w)
		s.keep(w.Object, 0, "")
		return
	}
	next, err := p.worked(w)
	if err != nil {
		p.Unreadable++
		s.forget()
		return
	}
	if s.object == nil || s.gone {
		p.FirstSeen++
		s.keep(next, 0, "")
		return
	}
	w.OldObject, w.Object = s.object, next
	if w.Subresource == "scale" {
		w.OldObject, w.Object = scaleOf(s.object), scaleOf(next)
	}
	p.hand(w)
	s.keep(next, 0, "")
}

// worked works out the object from what was sent. Of one that is not known, what is sent is known from then on.
func (p *player) worked(w *write) ([]byte, error) {
	was, sent := w.state.object, w.event.Request()
	if was == nil {
		was = []byte("{}")
	}
	switch {
	case w.Subresource == "scale":
		replicas := firstMember(firstMember(sent, "spec"), "replicas")
		if replicas == nil {
			return was, nil
		}
		return edited(was, map[string][]byte{"replicas": replicas}, "spec")
	case string(w.event.Verb) == "patch":
		next, err := patched(was, sent)
		if err != nil {
			return nil, err
		}
		return owned(next, w.Subresource, was)
	case object(sent) == nil:
		return nil, errUnknownPatch
	}
	// What the client sent of managedFields, and of the version, is from before the write.
	next, err := edited(sent, map[string][]byte{"managedFields": nil, "resourceVersion": nil}, "metadata")
	if err != nil {
		return nil, err
	}
	return owned(next, w.Subresource, was)
}

// owned puts back what a write does not reach: through the subresource status all but status and metadata, otherwise
// status, if the object has one.
func owned(next []byte, subresource string, was []byte) ([]byte, error) {
	status := firstMember(was, "status")
	if subresource != "status" {
		if status == nil {
			return next, nil
		}
		return edited(next, map[string][]byte{"status": status})
	}
	change := map[string][]byte{"status": firstMember(next, "status")}
	if meta := firstMember(next, "metadata"); meta != nil {
		change["metadata"] = meta
	}
	return edited(was, change)
}

// named takes a write of which only the name is known. Of an object's existence that is enough.
func (p *player) named(w *write) {
	p.MetadataOnly++
	w.state.forget()
	if w.Operation != opCreate {
		return
	}
	w.state.gone = false
	w.Object = onlyName(w.Namespace, w.Name, string(w.event.Object.UID))
	p.hand(w)
}

// delete takes a deletion.
func (p *player) delete(w *write, object []byte) {
	s := w.state
	if w.event.Response() == nil && w.event.Request() == nil {
		p.MetadataOnly++
	}
	if s.gone {
		return // it was on its way already: the kubelet, say, reports that a pod is gone
	}
	switch {
	case s.object != nil:
		w.OldObject = s.object
	case object != nil:
		w.OldObject = undeleted(object)
	default:
		w.OldObject = onlyName(w.Namespace, w.Name, string(textOf(admission.Find(w.event.Response(), "details"), "uid")))
	}
	p.hand(w)
	if object != nil && lingers(object) {
		s.keep(object, w.version, w.uid)
		return
	}
	s.forget()
	s.gone = true
}

// playCollection takes the deletion of many: each counts as one of its own, as for admission.
func (p *player) playCollection(e *Event) {
	items := admission.Find(e.Response(), "items")
	each(items, func(item []byte) bool {
		one := *e
		one.Verb, one.response = []byte("delete"), item
		meta := firstMember(item, "metadata")
		one.Object.Name, one.Object.Namespace = textOf(meta, "name"), textOf(meta, "namespace")
		if firstMember(item, "kind") == nil {
			one.response = append([]byte(`{"kind":"Item",`), item[1:]...) // those of a list of one kind do not repeat it
		}
		if len(item) > 2 {
			p.play(&one)
		}
		return true
	})
}

// elsewhere takes a write through a subresource that Truce does not look at. What it did to the object counts as unseen.
func (p *player) elsewhere(w *write, object []byte) {
	switch {
	case w.Subresource == "binding":
		w.state.forget() // it changed the pod, and does not show it
	case w.Subresource == "eviction":
		w.state.forget() // no webhook sees the deletion that this is; what follows is the end of it
		w.state.gone = true
	case object != nil && w.state.object != nil && w.uid == w.state.uid && w.uid != "":
		w.state.keep(object, w.version, w.uid)
	}
}

func (p *player) hand(w *write) {
	p.Judged++
	p.judge(w)
}
