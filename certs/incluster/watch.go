package incluster

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// watchTimeout is how long the API server lets a watch live.
const watchTimeout = 10 * time.Minute

// nudge makes Run look at once, or soon after the present look.
func (k *Keeper) nudge() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// startWatches begins everything that makes Run look sooner than it would. ended is closed when all of it has ended,
// after ctx did.
func (k *Keeper) startWatches(ctx context.Context) (ended <-chan struct{}) {
	var all sync.WaitGroup
	all.Go(func() { k.lead(ctx) })
	all.Go(func() {
		k.follow(ctx, k.place(), k.cfg.Secret.Name, k.cfg.Client.CoreV1().Secrets(k.cfg.Secret.Namespace).Watch)
	})
	for _, s := range k.injector.states {
		all.Go(func() { k.follow(ctx, s.target.String(), s.target.Name, s.api.watch) })
	}
	over := make(chan struct{})
	go func() {
		all.Wait()
		close(over)
	}()
	return over
}

// follow watches one object. It reads nothing out of what it hears but that something changed, so a watch that is
// missed, or that is not allowed, costs no more than the time until the next poll.
func (k *Keeper) follow(ctx context.Context, what, name string,
	open func(context.Context, metav1.ListOptions) (watch.Interface, error),
) {
	seconds := int64(watchTimeout / time.Second)
	told := false
	for {
		wait := pause
		w, err := open(ctx, metav1.ListOptions{
			// By name alone, which is all that a rule with resourceNames allows.
			FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(), TimeoutSeconds: &seconds,
		})
		if err != nil {
			wait = k.cfg.Poll
			if !told && ctx.Err() == nil {
				k.cfg.Log.Warn("not watched, looked at every now and then instead", "what", what,
					"every", k.cfg.Poll.String(), "error", explain("watching "+what, err))
			}
			told = true
		} else {
			told = false
			stop := context.AfterFunc(ctx, w.Stop)
			for event := range w.ResultChan() {
				if event.Type != watch.Bookmark && event.Type != watch.Error {
					k.nudge()
				}
			}
			stop()
			w.Stop()
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}
