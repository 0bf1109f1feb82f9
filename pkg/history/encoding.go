package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unique"

	"golang.org/x/time/rate"
)

// encodingVersion begins every encoded Object. A reader that does not know it must take the object for unknown.
const encodingVersion = 1

// AppendBinary appends o's encoding to b: a version byte, then unsigned varints and length-prefixed strings. It holds
// all that o remembers; the times of a fight are rounded down to milliseconds, a
// throttle's tokens to thousandths. The error is always nil.
func (o *Object) AppendBinary(b []byte) ([]byte, error) {
	e := encoder{append(b, encodingVersion)}
	e.fixed(o.uid)
	e.uint(uint64(o.request))
	e.uint(o.rv)
	e.uint(o.seen)
	e.uint(uint64(len(o.writers)))
	for _, h := range o.writers {
		w := h.Value()
		e.string(w.User)
		e.string(w.Manager)
		e.string(w.Pod)
	}
	e.run(o.Idle)
	e.uint(o.idle)
	e.uint(uint64(len(o.fields)))
	for i := range o.fields {
		e.field(&o.fields[i])
	}
	return e.b, nil
}

// errEncoding is wrapped by every error of UnmarshalBinary.
var errEncoding = errors.New("history: not the encoding of an object")

// UnmarshalBinary makes o the object that b is the encoding of. It never takes more memory than a small multiple of
// len(b). If it returns an error, o is not to be used.
func (o *Object) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if v := d.byte(); v != encodingVersion && d.err == nil {
		return fmt.Errorf("%w: version %d is not known, only %d is", errEncoding, v, encodingVersion)
	}
	check, bounds := o.check, o.bounds
	*o = Object{check: check, bounds: bounds, uid: d.fixed(), request: d.uint32(), rv: d.uint(), seen: d.uint()}
	writers := d.len(3)
	if writers > maxWriters {
		d.fail("%d writers, more than %d", writers, maxWriters)
	}
	if o.writers = o.pair[:0]; writers > len(o.pair) && d.err == nil {
		o.writers = make([]unique.Handle[Writer], 0, writers)
	}
	for ; writers > 0 && d.err == nil; writers-- {
		o.writers = append(o.writers, unique.Make(Writer{d.string(), d.string(), d.string()}))
	}
	o.Idle, o.idle = d.run(), d.uint()
	fields := d.len(7)
	if o.fields = o.first[:0]; fields > len(o.first) {
		o.fields = make([]Field, 0, fields)
	}
	for ; fields > 0 && d.err == nil; fields-- {
		o.fields = append(o.fields, d.field())
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

type encoder struct{ b []byte }

func (e *encoder) uint(v uint64)  { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) fixed(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) field(f *Field) {
	e.string(f.Path())
	e.uint(uint64(f.base))
	e.uint(f.getRare().settled)
	e.run(f.Run)
	if lost, ok := f.lost(); ok {
		e.b = append(e.b, 1)
		e.state(lost)
	} else {
		e.b = append(e.b, 0)
	}
	e.uint(uint64(len(f.states)))
	for _, s := range f.states {
		e.state(s)
	}
	e.fight(f.Fight)
}

func (e *encoder) state(s State) {
	e.fixed(uint64(s.Value))
	e.fixed(s.meta)
}

func (e *encoder) run(r Run) {
	e.uint(uint64(r.Count))
	if r.Count == 0 {
		return
	}
	fresh := byte(0)
	if r.Fresh {
		fresh = 1
	}
	e.b = append(e.b, r.writer, fresh)
	e.uint(uint64(r.span))
	e.uint(uint64(r.All))
}

func (e *encoder) fight(f *Fight) {
	if f == nil {
		e.b = append(e.b, 0)
		return
	}
	e.b = append(e.b, byte(f.Phase), byte(f.Signal), f.Probe.writer)
	e.uint(uint64(f.Count))
	e.uint(uint64(f.Stopped))
	for _, t := range []time.Time{f.Since, f.Last, f.Until} {
		e.uint(millisOrZero(t))
	}
	e.uint(uint64(max(f.Length, 0)))
	e.fixed(uint64(f.Probe.Value))
	e.fixed(f.parties)
	if f.Bucket == nil || f.Bucket.Burst() <= 0 {
		e.uint(0)
		return
	}
	e.uint(uint64(f.Bucket.Burst()))
	e.fixed(math.Float64bits(float64(f.Bucket.Limit())))
	e.uint(millitokens(f.Bucket, f.Last))
}

type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errEncoding}, args...)...)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it is cut short")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("it is cut short or has a number out of range")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// upTo reads a number that is at most most.
func (d *decoder) upTo(most uint64) uint64 {
	v := d.uint()
	if v > most {
		d.fail("%d where at most %d can be", v, most)
		return 0
	}
	return v
}

func (d *decoder) uint32() uint32 { return uint32(d.upTo(math.MaxUint32)) }

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.fail("it is cut short")
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// len reads the length of a list whose elements take at least size bytes each.
func (d *decoder) len(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail("a list of %d is longer than the rest", n)
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.len(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) field() Field {
	f := Field{path: unique.Make(d.string()), base: d.uint32()}
	r := rare{settled: d.uint()}
	f.Run = d.run()
	if d.byte() != 0 {
		r.lost = d.state()
	}
	f.setRare(r)
	states := d.len(16)
	f.states = make([]State, 0, states)
	for ; states > 0 && d.err == nil; states-- {
		f.states = append(f.states, d.state())
	}
	f.Fight = d.fight()
	return f
}

func (d *decoder) state() State { return State{Value(d.fixed()), d.fixed()} }

func (d *decoder) run() Run {
	r := Run{Count: d.uint32()}
	if r.Count == 0 {
		return Run{}
	}
	r.writer, r.Fresh = d.byte(), d.byte() == 1
	r.span, r.All = d.uint32(), Flags(d.upTo(math.MaxUint16))
	return r
}

func (d *decoder) time() time.Time { return instant(d.upTo(maxMillis)) }

func (d *decoder) fight() *Fight {
	phase := Phase(d.byte())
	if phase == 0 {
		return nil
	}
	if phase > Probing {
		d.fail("a fight in phase %d", phase)
		return nil
	}
	f := &Fight{Phase: phase, Signal: Signal(d.byte()), Probe: Probe{writer: d.byte()}}
	f.Count, f.Stopped = d.uint32(), d.uint32()
	f.Since, f.Last, f.Until = d.time(), d.time(), d.time()
	f.Length = time.Duration(d.upTo(math.MaxInt64))
	f.Probe.Value, f.parties = Value(d.fixed()), d.fixed()
	if burst := d.uint(); burst > 0 {
		limit, milli := math.Float64frombits(d.fixed()), d.uint()
		if !(limit > 0 && limit <= math.MaxFloat64) || burst > math.MaxInt32 || milli > 1000*burst {
			d.fail("a token bucket of %d at rate %v with %d/1000 tokens", burst, limit, milli)
			return nil
		}
		f.Bucket = bucketWith(rate.Limit(limit), int(burst), milli, f.Last)
	}
	return f
}
