package world

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/openstack"
)

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
func (w *World) build(tb testing.TB, hook Hook) []controller {
	tb.Helper()
	o := observer{w, hook}
	api := steptest.Walled(tb, w.API)
	c := writer{api, o}
	var reader client.Reader = api
	if w.lag != nil {
		w.lag.catchUp() // a new engine begins with a list
		reader = w.lag
	}
	recorder := &w.told
	var seen openstack.Cloud = w
	if w.cloud != nil {
		seen = w.cloud
	}
	held := &leases.Leases{Client: c, Live: api, Runner: w.Runner, Store: "world", Duration: time.Minute, Clock: w.Clock}
	queue := func() map[types.NamespacedName]entry { return map[types.NamespacedName]entry{} }
	return []controller{
		{
			&host.Reconciler{Client: c, Reader: reader, Live: api, Provisioner: ironic{w.Ironic, o}, Clock: w.Clock, Events: recorder, Quiet: &step.Quiet{}},
			func() client.ObjectList { return &metal3v1alpha1.BareMetalHostList{} }, queue(),
		},
		{
			&nodeset.Reconciler{Client: c, Reader: reader, Live: api, Clock: w.Clock, Events: recorder, Collection: rollout.Collection{Version: "1"}},
			func() client.ObjectList { return &v1alpha1.NodeSetList{} }, queue(),
		},
		{
			&node.Reconciler{
				Client: c, Reader: reader, Live: api, Answers: &asked{logins: logins{w.Nodes, o}}, Examiner: logins{w.Nodes, o}, Cloud: cloud{seen, o},
				Leases: held, Random: constant{}, Clock: w.Clock, Events: recorder, Quiet: &step.Quiet{},
			},
			func() client.ObjectList { return &v1alpha1.DataPlaneNodeList{} }, queue(),
		},
		{
			&deployment.Reconciler{Client: c, Reader: reader, Live: api, Runner: runner{w.Runner, o}, Leases: held, Clock: w.Clock, Events: recorder, Collection: rollout.Collection{Version: "1"}, Memory: deployment.NewMemory(time.Minute)},
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

// Settle lets the engine work until it rests. deaths is how often it died on the way.
func (w *World) Settle(tb testing.TB, hook Hook) (deaths int) {
	tb.Helper()
	deaths, rests := w.Live(tb, hook, limit)
	if !rests {
		tb.Fatalf("still at work after %d rounds; last acts %v", limit, w.Acts[max(0, len(w.Acts)-10):])
	}
	return deaths
}

// Live lets the engine work until it rests, or for so many rounds.
func (w *World) Live(tb testing.TB, hook Hook, rounds int) (deaths int, rests bool) {
	tb.Helper()
	engine := w.build(tb, hook)
	still := 0
	for range rounds {
		before := len(w.Acts)
		if w.round(tb, engine) {
			deaths++
			engine = w.build(tb, hook)
			hook.Died(w)
		}
		w.Check(tb)
		w.Clock.Step(tick)
		if w.lag != nil {
			w.lag.round()
		}
		if still++; len(w.Acts) != before || w.Runner.Running() > 0 || w.awaits() {
			still = 0
		}
		if still == quiet {
			return deaths, true
		}
	}
	return deaths, false
}

// round lets every controller look at the objects that are due, in a fixed order unless the world has another.
func (w *World) round(tb testing.TB, engine []controller) (died bool) {
	tb.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(Death); !ok {
				panic(r)
			}
			died = true
		}
	}()
	if w.order != nil {
		w.shuffled(tb, engine)
		return false
	}
	for _, c := range engine {
		for _, key := range w.keys(tb, c.list()) {
			w.look(tb, c, key)
		}
		w.ask(tb, c)
	}
	return false
}

// shuffled is a round in an order of its own, whatever kind an object is of.
func (w *World) shuffled(tb testing.TB, engine []controller) {
	tb.Helper()
	var looks []func()
	for _, c := range engine {
		for _, key := range w.keys(tb, c.list()) {
			looks = append(looks, func() { w.look(tb, c, key) })
		}
	}
	w.order.Shuffle(len(looks), func(i, j int) { looks[i], looks[j] = looks[j], looks[i] })
	for _, look := range looks {
		look()
	}
	for _, c := range engine {
		w.ask(tb, c)
	}
}

// look reconciles an object if it is due.
func (w *World) look(tb testing.TB, c controller, key types.NamespacedName) {
	tb.Helper()
	last, seen := c.queue[key]
	version := w.news.of(c.list(), key)
	if w.lag != nil {
		version = w.lag.delivered
	}
	if seen && last.version == version && (last.due.IsZero() || w.Clock.Now().Before(last.due)) {
		return
	}
	result, err := steptest.Pass(logr.NewContext(tb.Context(), w.told.logger()), c.reconciler, key)
	next := entry{version: version}
	switch {
	case err != nil:
		w.told.logger().Error(err, "Reconciler error", "controller", fmt.Sprintf("%T", c.reconciler), "object", key.String())
		next.due = w.Clock.Now()
	case result.RequeueAfter > 0:
		next.due = w.Clock.Now().Add(result.RequeueAfter)
	}
	c.queue[key] = next
}

func (w *World) keys(tb testing.TB, list client.ObjectList) []types.NamespacedName {
	tb.Helper()
	var keys []types.NamespacedName
	for _, obj := range w.Objects(tb, list) {
		keys = append(keys, client.ObjectKeyFromObject(obj))
	}
	if w.lag != nil {
		keys = append(keys, w.lag.ghosts(list)...)
	}
	slices.SortFunc(keys, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(keys)
}
