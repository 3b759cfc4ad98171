package world

import (
	"context"
	"math/rand/v2"
	"reflect"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// mostBehind is by how many writes of its kind a lagging cache is behind at most.
	mostBehind = 20
	// patience is how many rounds an event is kept back at most.
	patience = 3
)

// Lag is a cache that is behind the API: each kind by some writes of its own, so that no two kinds are of one moment. It
// never goes back, and sees everything in the end. The zero Lag with a seed is ready to be a World's.
type Lag struct {
	rand    *rand.Rand
	cache   *Store
	pending map[reflect.Type][]change
	behind  map[reflect.Type]int // drawn anew each round: drawn at each read, the least would count
	waited  int
	// delivered counts the events, which wake controllers.
	delivered int64
}

// change is what a write did to an object.
type change struct {
	key types.NamespacedName
	obj client.Object // nil: it is gone
}

// Lagging makes the engine of the world read from a cache that lags, in the way that the seed says. It must be called
// before anything is in the world.
func (w *World) Lagging(seed uint64) {
	w.lag = &Lag{rand: seeded(seed), cache: newStore(w.Store.scheme, w.Clock.Now), pending: map[reflect.Type][]change{}, behind: map[reflect.Type]int{}}
	w.Store.changed = w.lag.keep
}

// seeded is a source of randomness that can be had again.
func seeded(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // nothing secret depends on it
}

// keep notes what was written.
func (l *Lag) keep(kind reflect.Type, key types.NamespacedName, obj client.Object) {
	c := change{key: key}
	if obj != nil {
		c.obj, _ = obj.DeepCopyObject().(client.Object)
	}
	l.pending[kind] = append(l.pending[kind], c)
}

// deliver lets the cache see all but the last so many writes of a kind.
func (l *Lag) deliver(kind reflect.Type, behind int) {
	queue := l.pending[kind]
	for len(queue) > behind {
		if c := queue[0]; c.obj == nil {
			delete(l.cache.objects[kind], c.key)
		} else {
			if l.cache.objects[kind] == nil {
				l.cache.objects[kind] = map[types.NamespacedName]client.Object{}
			}
			l.cache.objects[kind][c.key] = c.obj
		}
		queue = queue[1:]
		l.delivered++
	}
	l.pending[kind] = queue
}

// look lets the cache see what it may of a kind before it is read.
func (l *Lag) look(kind reflect.Type) {
	if l.behind[kind] == 0 {
		l.behind[kind] = 1 + l.rand.IntN(mostBehind)
	}
	l.deliver(kind, l.behind[kind])
}

// catchUp lets the cache see everything.
func (l *Lag) catchUp() {
	for kind := range l.pending {
		l.deliver(kind, 0)
	}
	l.waited = 0
}

// round is the end of a round of the engine: time passes, and the cache has caught up with some luck, and at the latest
// after a few.
func (l *Lag) round() {
	clear(l.behind)
	if l.waited++; l.waited >= patience || l.rand.IntN(patience) == 0 {
		l.catchUp()
	}
}

// Get implements client.Reader.
func (l *Lag) Get(ctx context.Context, key types.NamespacedName, obj client.Object, opts ...client.GetOption) error {
	l.look(reflect.TypeOf(obj))
	return l.cache.Get(ctx, key, obj, opts...)
}

// List implements client.Reader.
func (l *Lag) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	l.look(kindOf(list))
	return l.cache.List(ctx, list, opts...)
}

// ghosts are the objects of a kind that the cache has, those that are gone among them.
func (l *Lag) ghosts(list client.ObjectList) (keys []types.NamespacedName) {
	kind := kindOf(list)
	for key := range l.cache.objects[kind] {
		keys = append(keys, key)
	}
	return keys
}

// kindOf is the type of a list's objects.
func kindOf(list client.ObjectList) reflect.Type {
	return reflect.PointerTo(reflect.ValueOf(list).Elem().FieldByName("Items").Type().Elem())
}
