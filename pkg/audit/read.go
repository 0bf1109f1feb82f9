package audit

import (
	"context"
	"runtime"
	"sync"
)

// Scan reads all of the input. It calls each once per goroutine, of which there are as many as processors, one call after the other, and the
// function that it returns with every event that Filter wants, in no particular order; an event is valid until the
// function returns. An error is about a file that cannot be opened. If ctx ends, so does Scan, without an error, once what
// was read by then is decoded.
func (in *Input) Scan(ctx context.Context, each func() func(*Event)) error {
	in.heed(ctx)
	work := make(chan *block, runtime.GOMAXPROCS(0))
	var workers, readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		fn := each()
		workers.Go(func() {
			var e Event
			for b := range work {
				seen := int64(0)
				b.decode(&e, &in.Problems, func(e *Event) {
					seen++
					if in.Filter.Wants(e) {
						fn(e)
					}
				})
				in.seen.Add(seen)
				b.release()
			}
		})
	}
	files := make(chan *file)
	failures := make(chan error, 1)
	for range min(runtime.GOMAXPROCS(0), 4) {
		readers.Go(func() {
			for f := range files {
				if ctx.Err() != nil {
					continue
				}
				if err := f.split(&in.read, func(b *block) bool {
					work <- b
					return ctx.Err() == nil
				}); err != nil {
					select {
					case failures <- err:
					default:
					}
				}
			}
		})
	}
	for i := range in.sets {
		for j := range in.sets[i].files {
			select {
			case files <- &in.sets[i].files[j]:
			case <-ctx.Done():
			}
		}
	}
	close(files)
	readers.Wait()
	close(work)
	workers.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}
