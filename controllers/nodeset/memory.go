package nodeset

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
)

// memory keeps what passes have decided, so that the same is not decided again: a pass over the same world as the last one,
// which had nothing to write, has nothing to write either. Losing it costs time alone. The zero value is ready to use.
type memory struct {
	mu     sync.Mutex
	worlds inputs.Worlds
	passes map[types.NamespacedName]decided
	plans  plan.Memory
}

// decided is what a pass found decided already.
type decided struct {
	by       inputs.Version
	outcomes []step.Outcome // of the steps that decide, in their order
	desired  int
	running  map[string]bool
	hashed   bool
	given    plan.Inputs
}

// read reads the world.
func (m *memory) read(ctx context.Context, r client.Reader) (*inputs.Seen, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.worlds.Read(ctx, r)
}

// decide plans what has changed since the last pass over any set.
func (m *memory) decide(world plan.World, set *v1alpha1.NodeSet, site network.Site) (plan.Decision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plans.Decide(world, set, site)
}

// recall returns what was decided by a version; nil when it was another one.
func (m *memory) recall(set types.NamespacedName, by inputs.Version) *decided {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.passes[set]; ok && d.by == by {
		return &d
	}
	return nil
}

// keep remembers what was decided; nil forgets it.
func (m *memory) keep(set types.NamespacedName, d *decided) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.passes == nil {
		m.passes = map[types.NamespacedName]decided{}
	}
	if d == nil {
		delete(m.passes, set)
		return
	}
	m.passes[set] = *d
}

// decides makes steps that decide by the world alone, and skips them all when the same was decided before. What they write or
// read live is noted: such a pass is not the last word, and the next one is made in full.
func (p *pass) decides(steps ...step.Step) []step.Step {
	out := make([]step.Step, len(steps))
	var outcomes []step.Outcome
	for i, s := range steps {
		out[i] = step.Step{Condition: s.Condition, Run: func(ctx context.Context) (step.Outcome, error) {
			if p.known != nil {
				return p.known.outcomes[i], nil
			}
			o, err := s.Run(ctx)
			if err != nil {
				return o, err
			}
			outcomes = append(outcomes, o)
			p.acted = p.acted || o.After() != 0
			if len(outcomes) == len(steps) && !p.acted {
				p.memory.keep(client.ObjectKeyFromObject(p.set), &decided{by: p.version, outcomes: outcomes, desired: p.desired, running: p.running, hashed: p.hashed, given: p.given})
			}
			return o, nil
		}}
	}
	return out
}

// versionOf identifies all that the steps which decide read.
func versionOf(set *v1alpha1.NodeSet, versions ...inputs.Version) inputs.Version {
	text := fmt.Appendf(nil, "%s %d %t %s", set.UID, set.Generation, set.DeletionTimestamp.IsZero(), set.Status.Cloud)
	for _, v := range versions {
		text = append(text, v[:]...)
	}
	return sha256.Sum256(text)
}

// writer notes every write.
type writer struct {
	client.Client
	acted *bool
}

// Create implements client.Writer.
func (w writer) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	*w.acted = true
	return w.Client.Create(ctx, obj, opts...)
}

// Update implements client.Writer.
func (w writer) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	*w.acted = true
	return w.Client.Update(ctx, obj, opts...)
}

// Patch implements client.Writer.
func (w writer) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	*w.acted = true
	return w.Client.Patch(ctx, obj, patch, opts...)
}

// Apply implements client.Writer.
func (w writer) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	*w.acted = true
	return w.Client.Apply(ctx, obj, opts...)
}

// Delete implements client.Writer.
func (w writer) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	*w.acted = true
	return w.Client.Delete(ctx, obj, opts...)
}

// DeleteAllOf implements client.Writer.
func (w writer) DeleteAllOf(ctx context.Context, obj client.Object, opts ...client.DeleteAllOfOption) error {
	*w.acted = true
	return w.Client.DeleteAllOf(ctx, obj, opts...)
}

// asker notes every read.
type asker struct {
	client.Reader
	acted *bool
}

// Get implements client.Reader.
func (a asker) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	*a.acted = true
	return a.Reader.Get(ctx, key, obj, opts...)
}

// List implements client.Reader.
func (a asker) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	*a.acted = true
	return a.Reader.List(ctx, list, opts...)
}
