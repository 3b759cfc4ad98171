package schedules

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

// manager is one engine. It runs in a goroutine of its own, and only between resume and paused.
type manager struct {
	*schedule
	id      int
	cache   *cache
	sets    *nodeset.Reconciler
	nodes   *node.Reconciler
	resume  chan struct{}
	paused  chan struct{}
	between bool // no pass is under way
	began   int64
	queue   []func(context.Context)
}

func newManager(s *schedule, id int, clock *clocktesting.FakeClock) *manager {
	m := &manager{schedule: s, id: id, cache: newCache(s.server), resume: make(chan struct{}), paused: make(chan struct{}), between: true}
	m.cache.hearAll()
	writes, live := paused{s.server, m}, watched{s.server.Client, m}
	if s.breaks == staleLive {
		live.of = m.cache
	}
	recorder := quiet{}
	m.sets = &nodeset.Reconciler{Client: writes, Reader: m.cache, Live: listsLag{live, m.cache}, Clock: clock, Events: recorder, Collection: rollout.Collection{Version: "1"}}
	held := &leases.Leases{Client: writes, Live: live, Runner: ansibletest.New(1), Store: "s", Duration: time.Minute, Clock: clock}
	m.nodes = &node.Reconciler{Client: writes, Reader: m.cache, Live: live, Answers: silence{}, Leases: held, Random: same{}, Clock: clock, Events: recorder}
	go m.run()
	return m
}

// quiet is an event recorder that nobody listens to.
type quiet struct{ events.EventRecorder }

func (quiet) Eventf(_, _ k8sObject, _, _, _, _ string, _ ...any) {}

// same is a source of the same bytes.
type same struct{}

func (same) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// step lets the manager go on to its next write or live read, or to the end of its pass.
func (m *manager) step() {
	m.resume <- struct{}{}
	<-m.paused
}

func (m *manager) run() {
	for {
		m.wait()
		m.between, m.began = false, m.now
		m.next()(m.ctx)
		m.between = true
		m.paused <- struct{}{}
	}
}

func (m *manager) wait() {
	<-m.resume
	if m.over {
		m.paused <- struct{}{}
		runtime.Goexit()
	}
}

// pause gives the others their turn in the middle of a pass.
func (m *manager) pause() {
	m.paused <- struct{}{}
	m.wait()
}

// next is a pass over some object that the cache shows, or what was asked for.
func (m *manager) next() func(context.Context) {
	if len(m.queue) > 0 {
		pass := m.queue[0]
		m.queue = m.queue[1:]
		return pass
	}
	passes := m.passes()
	return passes[m.rng.IntN(len(passes))]
}

// passes are one over every object that the cache shows.
func (m *manager) passes() []func(context.Context) {
	var out []func(context.Context)
	add := func(list client.ObjectList, r reconcile.Reconciler, items func() []client.Object) {
		if err := m.cache.List(m.ctx, list); err != nil {
			m.fail("%v", err)
		}
		for _, obj := range items() {
			req := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(obj)}
			out = append(out, func(ctx context.Context) { _, _ = r.Reconcile(ctx, req) })
		}
	}
	var sets v1alpha1.NodeSetList
	add(&sets, m.sets, func() []client.Object { return objectsOf(sets.Items) })
	var nodes v1alpha1.DataPlaneNodeList
	add(&nodes, m.nodes, func() []client.Object { return objectsOf(nodes.Items) })
	return out
}

func objectsOf[T any, P interface {
	*T
	client.Object
}](items []T) []client.Object {
	var out []client.Object
	for i := range items {
		out = append(out, P(&items[i]))
	}
	slices.SortFunc(out, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// hear lets each kind of the cache take in some writes, or none.
func (m *manager) hear() {
	for _, kind := range m.cache.kinds() {
		if m.rng.IntN(3) == 0 {
			m.cache.hear(kind, 1+m.rng.IntN(6))
		}
	}
}

// paused is a manager's client: it pauses before every write, and reads its cache.
type paused struct {
	*server
	m *manager
}

func (p paused) Get(ctx context.Context, key types.NamespacedName, obj client.Object, opts ...client.GetOption) error {
	return p.m.cache.Get(ctx, key, obj, opts...)
}

func (p paused) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return p.m.cache.List(ctx, list, opts...)
}

func (p paused) write(do func() error) error {
	p.m.pause()
	p.m.writer = p.m
	defer func() { p.m.writer = nil }()
	return do()
}

func (p paused) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return p.write(func() error { return p.server.Create(ctx, obj, opts...) })
}

func (p paused) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return p.write(func() error { return p.server.Update(ctx, obj, opts...) })
}

func (p paused) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return p.write(func() error { return p.server.Patch(ctx, obj, patch, opts...) })
}

func (p paused) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return p.write(func() error { return p.server.Delete(ctx, obj, opts...) })
}

func (p paused) Status() client.SubResourceWriter { return pausedStatus{p.server.Status(), p} }

type pausedStatus struct {
	client.SubResourceWriter
	p paused
}

func (s pausedStatus) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.p.write(func() error { return s.SubResourceWriter.Patch(ctx, obj, patch, opts...) })
}

// watched reads live, and pauses before it does.
type watched struct {
	of client.Reader
	m  *manager
}

func (w watched) Get(ctx context.Context, key types.NamespacedName, obj client.Object, opts ...client.GetOption) error {
	w.m.pause()
	err := w.of.Get(ctx, key, obj, opts...)
	if err == nil {
		w.m.cache.note(obj)
	}
	return err
}

func (w watched) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	w.m.pause()
	return w.of.List(ctx, list, opts...)
}

// listsLag is live but for lists.
type listsLag struct {
	watched
	lists client.Reader
}

func (l listsLag) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return l.lists.List(ctx, list, opts...)
}

// silence is that no node answers.
type silence struct{}

func (silence) Last(w remote.Wanted) (remote.Seen, error) {
	return remote.Seen{}, fault.New(fault.Transient, "no answer from %s", w.Address)
}

func (silence) Forget(types.NamespacedName) {}
