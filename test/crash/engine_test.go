package crash

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/provisioner"
)

// killer counts the engine's acts and dies at one of them.
type killer struct {
	acts  int
	at    int // the act to die at; 0 is never
	after bool
	log   []string
}

// death is what a dying engine panics with.
type death struct{ act string }

// act does something that reaches beyond the engine, unless the engine dies first.
func (k *killer) act(what string, do func() error) error {
	k.acts++
	k.log = append(k.log, what)
	now := k.acts == k.at
	if now && !k.after {
		panic(death{what})
	}
	err := do()
	if now {
		panic(death{what})
	}
	return err
}

// mortal is the engine's client: every write is an act.
type mortal struct {
	client.Client
	*killer
}

func name(verb string, obj client.Object) string {
	return fmt.Sprintf("%s %T %s", verb, obj, obj.GetName())
}

func (m mortal) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return m.act(name("create", obj), func() error { return m.Client.Create(ctx, obj, opts...) })
}

func (m mortal) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return m.act(name("delete", obj), func() error { return m.Client.Delete(ctx, obj, opts...) })
}

func (m mortal) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return m.act(name("update", obj), func() error { return m.Client.Update(ctx, obj, opts...) })
}

func (m mortal) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return m.act(name("patch", obj), func() error { return m.Client.Patch(ctx, obj, patch, opts...) })
}

func (m mortal) Status() client.SubResourceWriter { return mortalStatus{m.Client.Status(), m.killer} }

type mortalStatus struct {
	client.SubResourceWriter
	*killer
}

func (m mortalStatus) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	return m.act(name("update status", obj), func() error { return m.SubResourceWriter.Update(ctx, obj, opts...) })
}

func (m mortalStatus) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return m.act(name("patch status", obj), func() error { return m.SubResourceWriter.Patch(ctx, obj, patch, opts...) })
}

// ironic makes what a Provisioner does acts of the engine.
type ironic struct {
	provisioner.Provisioner
	*killer
}

func (i ironic) Do(ctx context.Context, want provisioner.Want, action provisioner.Action) error {
	return i.act(fmt.Sprintf("%s %s", action, want.Host), func() error { return i.Provisioner.Do(ctx, want, action) })
}

// cloud makes what a Cloud does acts of the engine.
type cloud struct {
	provisioner.Cloud
	*killer
}

func (c cloud) Do(ctx context.Context, access provisioner.CloudAccess, action provisioner.CloudAction) error {
	return c.act(fmt.Sprintf("%+v", action), func() error { return c.Cloud.Do(ctx, access, action) })
}

// runner makes what an ansible.Runner does acts of the engine.
type runner struct {
	ansible.Runner
	*killer
}

func (r runner) Start(ctx context.Context, run ansible.Run) error {
	return r.act("start run on "+fmt.Sprint(run.Nodes), func() error { return r.Runner.Start(ctx, run) })
}

func (r runner) Cancel(ctx context.Context, key string) error {
	return r.act("cancel run", func() error { return r.Runner.Cancel(ctx, key) })
}

// constant is a source of the same bytes: host keys are equal in every run of the journey.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

// controller is one of the engine's controllers and the kind it is for.
type controller struct {
	reconciler reconcile.Reconciler
	list       func() client.ObjectList
	queue      map[types.NamespacedName]entry
}

// entry is when an object is to be looked at again: when anything was written since, or when the time has come.
type entry struct {
	version int64
	due     time.Time
}

// build makes the engine from nothing.
func (w *world) build(k *killer) []controller {
	c := mortal{w.api, k}
	recorder := &events.FakeRecorder{}
	queue := func() map[types.NamespacedName]entry { return map[types.NamespacedName]entry{} }
	return []controller{
		{
			&host.Reconciler{Client: c, Reader: w.api, Provisioner: ironic{w.ironic, k}, Clock: w.clock, Events: recorder},
			func() client.ObjectList { return &metal3v1alpha1.BareMetalHostList{} }, queue(),
		},
		{
			&nodeset.Reconciler{Client: c, Reader: w.api, Clock: w.clock, Events: recorder, Collection: "1"},
			func() client.ObjectList { return &v1alpha1.NodeSetList{} }, queue(),
		},
		{
			&node.Reconciler{Client: c, Reader: w.api, Prober: w, Cloud: cloud{w, k}, Random: constant{}, Clock: w.clock, Events: recorder},
			func() client.ObjectList { return &v1alpha1.DataPlaneNodeList{} }, queue(),
		},
		{
			&deployment.Reconciler{Client: c, Reader: w.api, Runner: runner{w.runner, k}, Clock: w.clock, Events: recorder, Collection: "1"},
			func() client.ObjectList { return &v1alpha1.DataPlaneDeploymentList{} }, queue(),
		},
	}
}

const (
	// quiet is how many rounds without an act, on a clock that goes on, count as the end: longer than any poll for
	// something that is still to come.
	quiet = 8
	// tick is how far the clock goes on between rounds.
	tick = 5 * time.Second
	// limit bounds the rounds of one part of the journey.
	limit = 400
)

// settle lets the engine work until it rests. deaths is how often it died on the way.
func (w *world) settle(t *testing.T, k *killer) (deaths int) {
	t.Helper()
	engine := w.build(k)
	still := 0
	for range limit {
		before := k.acts
		if w.round(t, engine) {
			deaths++
			engine = w.build(k)
			if k.after {
				w.runner.Lose() // a machine that dies takes its runs along; an engine alone does not
			}
		}
		w.check(t)
		w.clock.Step(tick)
		if still++; k.acts != before || w.runner.Running() > 0 {
			still = 0
		}
		if still == quiet {
			return deaths
		}
	}
	t.Fatalf("still at work after %d rounds; last acts %v", limit, k.log[max(0, len(k.log)-10):])
	return deaths
}

// round lets every controller look at the objects that are due, in a fixed order.
func (w *world) round(t *testing.T, engine []controller) (died bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(death); !ok {
				panic(r)
			}
			died = true
		}
	}()
	for _, c := range engine {
		for _, key := range w.keys(t, c.list()) {
			w.look(t, c, key)
		}
	}
	return false
}

// look reconciles an object if it is due.
func (w *world) look(t *testing.T, c controller, key types.NamespacedName) {
	t.Helper()
	last, seen := c.queue[key]
	version := w.store.version
	if seen && last.version == version && (last.due.IsZero() || w.clock.Now().Before(last.due)) {
		return
	}
	result, err := c.reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
	next := entry{version: version}
	switch {
	case err != nil:
		t.Logf("%T %s: %v", c.reconciler, key, err)
		next.due = w.clock.Now()
	case result.RequeueAfter > 0:
		next.due = w.clock.Now().Add(result.RequeueAfter)
	}
	c.queue[key] = next
}

func (w *world) keys(t *testing.T, list client.ObjectList) []types.NamespacedName {
	t.Helper()
	var keys []types.NamespacedName
	for _, obj := range w.objects(t, list) {
		keys = append(keys, client.ObjectKeyFromObject(obj))
	}
	slices.SortFunc(keys, func(a, b types.NamespacedName) int { return cmpString(a.String(), b.String()) })
	return keys
}
