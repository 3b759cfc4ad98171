package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/cached"
)

const (
	// limit bounds each part of a measurement.
	limit = 40 * time.Minute
	// poll is how often a person would look at the set.
	poll = 500 * time.Millisecond
	// stillness without a call is the end of what a change caused.
	stillness = 5 * time.Second
	// patience is how long that end is waited for: an engine that asks again and again never comes to rest.
	patience = 30 * time.Second
	// resting is how long an engine with nothing to do is watched.
	resting = time.Minute
)

// Result is what is printed for one size.
type Result struct {
	Nodes int32 `json:"nodes"`
	// Enrol is from hosts made to hosts available, per host; Up from NodeSet made to all nodes ready, per node; Grow from
	// a tenth more wanted to all ready, per new node.
	Enrol PerNode `json:"enrol"`
	Up    PerNode `json:"up"`
	Grow  PerNode `json:"grow"`
	// Rest is a minute after that.
	Rest Cost `json:"rest"`
	// One change each, in full: an annotation on a node, a label on a host, a Secret nobody uses.
	Annotation Cost `json:"annotation"`
	Label      Cost `json:"label"`
	Secret     Cost `json:"secret"`
	// Outage stands in for all but Enrol when one is asked for.
	Outage *Outage `json:"outage,omitempty"`
	// Dead stands in for all when nodes that never answer are asked for.
	Dead *Dead `json:"dead,omitempty"`
}

// PerNode is a cost as a whole and by each node.
type PerNode struct {
	Cost
	// CallsPer and the others are for each node; By are the calls by verb and resource.
	CallsPer  float64          `json:"callsPer"`
	WritesPer float64          `json:"writesPer"`
	BytesPer  float64          `json:"bytesPer"`
	By        map[string]int64 `json:"by"`
}

func main() {
	sizes := flag.String("sizes", "100,300,1000", "numbers of nodes, each a measurement of its own")
	data := flag.Int("data", 4096, "bytes of data that each service has")
	outage := flag.Duration("outage", 0, "cut the engine off from the API server for so long while the set comes up, and measure only what follows")
	dead := flag.String("dead", "", "measure nodes that never answer SSH instead: refused (at once) or silent (until the login is given up)")
	parts := flag.Int("parts", 5, "how many parts are measured: hosts enrolled, nodes brought up, rest, single changes, a tenth more")
	workers := flag.Int("workers", 0, "how many hosts, nodes and deployments are worked on at once, each kind by itself (default: the engine's)")
	profiles := flag.String("profiles", "", "folder for a heap profile of each part at its fullest")
	flag.Parse()
	runtime.MemProfileRate = sampled
	cached.CollectEarly() // as the engine does
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measureAll(ctx, *sizes, measurement{data: *data, outage: *outage, dead: manner(*dead), workers: *workers, upTo: *parts, profiles: *profiles}); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func measureAll(ctx context.Context, sizes string, what measurement) error {
	if err := what.dead.check(); err != nil {
		return err
	}
	if what.upTo < 1 || what.upTo > 5 {
		return fmt.Errorf("-parts %d: use 1 to 5", what.upTo)
	}
	for field := range strings.SplitSeq(sizes, ",") {
		nodes, err := strconv.ParseInt(field, 10, 32)
		if err != nil || nodes < 10 || nodes > 5000 {
			return fmt.Errorf("-sizes %s: use numbers from 10 to 5000, separated by commas", sizes)
		}
		m := &what
		m.nodes, m.told, m.seen, m.result = int32(nodes), 0, 0, Result{Nodes: int32(nodes)}
		if err := withRig(ctx, m.workers, m.run); err != nil {
			return fmt.Errorf("%d nodes: %w", nodes, err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(m.result); err != nil {
			return err
		}
	}
	return nil
}

// measurement is one size.
type measurement struct {
	*rig
	nodes  int32
	data   int // bytes of each service
	outage time.Duration
	dead   manner
	told   int32
	seen   int // hosts that were seen to be available
	result Result
	// upTo is how many of the parts are measured.
	upTo int
	// workers of each controller but that of sets; 0 for the engine's own.
	workers int
	// profiles is the folder for heap profiles; none when empty.
	profiles string
}

// run goes through all parts in order; each begins where the one before left off.
func (m *measurement) run(ctx context.Context, r *rig) error {
	m.rig, r.meter.heap.profiles = r, m.profiles
	objects, err := shared(m.data)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		if err := m.user.Create(ctx, obj); err != nil {
			return err
		}
	}
	parts := []func(context.Context) error{m.enrol, m.up, m.rest, m.changes, m.grow}[:m.upTo]
	switch {
	case m.dead != "":
		parts = []func(context.Context) error{m.mourn}
	case m.outage > 0:
		parts = []func(context.Context) error{m.enrol, m.suffer}
	}
	for _, part := range parts {
		bounded, cancel := context.WithTimeoutCause(ctx, limit+m.outage, fmt.Errorf("not done after %s", limit))
		err := part(bounded)
		cancel()
		if err != nil {
			return errors.Join(err, context.Cause(bounded))
		}
	}
	return nil
}

// more is how many nodes the set grows by.
func (m *measurement) more() int32 { return m.nodes / 10 }

func (m *measurement) enrol(ctx context.Context) error {
	from := m.meter.begin("enrol")
	hosts := make([]*metal3v1alpha1.BareMetalHost, m.nodes+m.more())
	for i := range hosts {
		hosts[i] = host(i)
	}
	if err := create(ctx, m.user, hosts); err != nil {
		return err
	}
	err := m.await(ctx, "hosts available", func() (bool, error) {
		return m.available(ctx, hosts)
	})
	m.result.Enrol = m.per(from, m.nodes+m.more())
	return err
}

// available reports whether hosts are, up to the first that is not: who lists them all would take more memory than the engine.
func (m *measurement) available(ctx context.Context, hosts []*metal3v1alpha1.BareMetalHost) (bool, error) {
	for ; m.seen < len(hosts); m.seen++ {
		host := &metal3v1alpha1.BareMetalHost{}
		err := m.user.Get(ctx, client.ObjectKeyFromObject(hosts[m.seen]), host)
		if err != nil || host.Status.Provisioning.State != metal3v1alpha1.StateAvailable {
			return false, err
		}
	}
	return true, nil
}

func (m *measurement) up(ctx context.Context) error {
	m.settle()
	from := m.meter.begin("up")
	if err := m.user.Create(ctx, nodeSet(m.nodes)); err != nil {
		return err
	}
	err := m.ready(ctx, m.nodes)
	m.result.Up = m.per(from, m.nodes)
	return err
}

func (m *measurement) rest(ctx context.Context) error {
	m.settle()
	from := m.meter.begin("rest")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(resting):
	}
	m.result.Rest = m.meter.since(from)
	return nil
}

func (m *measurement) changes(ctx context.Context) (err error) {
	note := []byte(`{"metadata":{"annotations":{"example.com/note":"seen"}}}`)
	label := []byte(`{"metadata":{"labels":{"rack":"elsewhere"}}}`)
	var nodes v1alpha1.DataPlaneNodeList
	if err := m.user.List(ctx, &nodes, client.Limit(1)); err != nil {
		return err
	}
	if m.result.Annotation, err = m.change(func() error { return m.user.Patch(ctx, &nodes.Items[0], client.RawPatch(types.MergePatchType, note)) }); err != nil {
		return err
	}
	if m.result.Label, err = m.change(func() error { return m.user.Patch(ctx, host(0), client.RawPatch(types.MergePatchType, label)) }); err != nil {
		return err
	}
	m.result.Secret, err = m.change(func() error {
		return m.user.Create(ctx, &corev1.Secret{ObjectMeta: meta("unrelated"), StringData: map[string]string{"nobody": "reads it"}})
	})
	return err
}

// change makes one change and returns what it caused.
func (m *measurement) change(do func() error) (Cost, error) {
	m.settle()
	from := m.meter.begin("change")
	if err := do(); err != nil {
		return Cost{}, err
	}
	time.Sleep(stillness)
	m.settle()
	return m.meter.since(from), nil
}

func (m *measurement) grow(ctx context.Context) error {
	m.settle()
	from := m.meter.begin("grow")
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, m.nodes+m.more())
	if err := m.user.Patch(ctx, nodeSet(0), client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}
	err := m.ready(ctx, m.nodes+m.more())
	m.result.Grow = m.per(from, m.more())
	return err
}

// ready waits until so many nodes of the set are, and the set says so of its newest spec.
func (m *measurement) ready(ctx context.Context, nodes int32) error {
	return m.await(ctx, "nodes ready", func() (bool, error) {
		set := nodeSet(0)
		if err := m.user.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return false, err
		}
		m.tell(set.Status.ReadyReplicas, nodes)
		s := &set.Status // old nodes are given what tells of new ones when no more come, and are ready meanwhile
		return s.ReadyReplicas == nodes && s.UpdatedReplicas == nodes && s.ObservedGeneration == set.Generation, nil
	})
}

// tell shows how far it is, once it has changed.
func (m *measurement) tell(ready, of int32) {
	if ready != m.told {
		fmt.Fprintf(os.Stderr, "%d of %d ready\n", ready, of)
	}
	m.told = ready
}

// await looks until something holds.
func (m *measurement) await(ctx context.Context, what string, holds func() (bool, error)) error {
	for {
		done, err := holds()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waits for %s: %w; %s", what, context.Cause(ctx), m.hindrance(context.WithoutCancel(ctx)))
		case <-time.After(poll):
		}
	}
}

// hindrance is what some node that is not ready says.
func (m *measurement) hindrance(ctx context.Context) string {
	var nodes v1alpha1.DataPlaneNodeList
	if err := m.user.List(ctx, &nodes); err != nil {
		return err.Error()
	}
	for i := range nodes.Items {
		for _, c := range nodes.Items[i].Status.Conditions {
			if c.Status != metav1.ConditionTrue {
				return fmt.Sprintf("DataPlaneNode %s: %s %s: %s", nodes.Items[i].Name, c.Type, c.Reason, c.Message)
			}
		}
	}
	return fmt.Sprintf("%d DataPlaneNodes are there", len(nodes.Items))
}

// settle waits until the engine asks nothing any more, as far as it ever does.
func (m *measurement) settle() {
	for began := time.Now(); time.Since(began) < patience && !m.meter.quietFor(stillness); {
		time.Sleep(100 * time.Millisecond)
	}
}

func (m *measurement) per(from reading, n int32) PerNode {
	cost := m.meter.since(from)
	each := func(total int64) float64 { return float64(total) / float64(n) }
	return PerNode{Cost: cost, CallsPer: each(cost.Calls), WritesPer: each(cost.Writes), BytesPer: each(cost.Bytes), By: m.meter.verbsSince(from)}
}
