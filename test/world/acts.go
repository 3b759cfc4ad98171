package world

import (
	"context"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/remote"
)

// Boundary is whom an act of the engine reaches.
type Boundary string

const (
	// API is a write to the API server.
	API Boundary = "api"
	// Ironic is an action on a server.
	Ironic Boundary = "ironic"
	// Runner starts or ends a run.
	Runner Boundary = "runner"
	// Cloud changes something in the cloud.
	Cloud Boundary = "cloud"
	// Look only asks: a probe, a look at a server, at a run or at the cloud.
	Look Boundary = "look"
)

// Act is one thing the engine does beyond itself.
type Act struct {
	Boundary Boundary
	// What it is, for a person.
	What string
}

// Hook stands between the engine and everything it acts on.
type Hook interface {
	// Act does the act and returns its answer, or fails it, or panics with Death.
	Act(a Act, do func() error) error
	// Died is told once an engine has died and before the next one begins.
	Died(w *World)
}

// Death is what a dying engine panics with.
type Death struct{ Act Act }

// Smooth is a Hook that lets everything pass.
type Smooth struct{}

// Act implements Hook.
func (Smooth) Act(_ Act, do func() error) error { return do() }

// Died implements Hook.
func (Smooth) Died(*World) {}

// observer is the hook of one engine: it also keeps the world's log.
type observer struct {
	*World
	hook Hook
}

func (o observer) act(b Boundary, what string, do func() error) error {
	a := Act{b, what}
	if b != Look {
		o.Acts = append(o.Acts, a)
	}
	return o.hook.Act(a, do)
}

// ask is an act that answers with something.
func ask[T any](o observer, what string, do func() (T, error)) (T, error) {
	var answer T
	err := o.act(Look, what, func() (err error) {
		answer, err = do()
		return err
	})
	if err != nil {
		answer = *new(T)
	}
	return answer, err
}

// writer is the engine's client: every write is an act.
type writer struct {
	client.Client
	observer
}

func (w writer) write(verb string, obj client.Object, do func() error) error {
	return w.act(API, fmt.Sprintf("%s %T %s", verb, obj, obj.GetName()), do)
}

func (w writer) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return w.write("create", obj, func() error { return w.Client.Create(ctx, obj, opts...) })
}

func (w writer) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return w.write("delete", obj, func() error { return w.Client.Delete(ctx, obj, opts...) })
}

func (w writer) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return w.write("update", obj, func() error { return w.Client.Update(ctx, obj, opts...) })
}

func (w writer) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return w.write("patch", obj, func() error { return w.Client.Patch(ctx, obj, patch, opts...) })
}

func (w writer) Status() client.SubResourceWriter { return subWriter{w.Client.Status(), w} }

type subWriter struct {
	client.SubResourceWriter
	writer writer
}

func (s subWriter) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.writer.write("update status", obj, func() error { return s.SubResourceWriter.Update(ctx, obj, opts...) })
}

func (s subWriter) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.writer.write("patch status", obj, func() error { return s.SubResourceWriter.Patch(ctx, obj, patch, opts...) })
}

// ironic makes what a Provisioner does acts of the engine.
type ironic struct {
	provisioner.Provisioner
	observer
}

func (i ironic) Do(ctx context.Context, want provisioner.Want, action provisioner.Action) error {
	return i.act(Ironic, fmt.Sprintf("%s %s", action, want.Host), func() error { return i.Provisioner.Do(ctx, want, action) })
}

func (i ironic) Observe(ctx context.Context, host provisioner.HostID) (provisioner.Observation, error) {
	return ask(i.observer, fmt.Sprintf("observe %s", host), func() (provisioner.Observation, error) { return i.Provisioner.Observe(ctx, host) })
}

func (i ironic) Inventory(ctx context.Context, host provisioner.HostID) (metal3v1alpha1.HardwareDetails, error) {
	return ask(i.observer, fmt.Sprintf("inventory of %s", host), func() (metal3v1alpha1.HardwareDetails, error) { return i.Provisioner.Inventory(ctx, host) })
}

// cloud makes what a Cloud does acts of the engine.
type cloud struct {
	openstack.Cloud
	observer
}

func (c cloud) Do(ctx context.Context, access openstack.Access, action openstack.Action) error {
	return c.act(Cloud, fmt.Sprintf("%+v", action), func() error { return c.Cloud.Do(ctx, access, action) })
}

func (c cloud) See(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	return ask(c.observer, fmt.Sprintf("see %s", host.Names), func() (openstack.Compute, error) { return c.Cloud.See(ctx, access, host) })
}

func (c cloud) Servers(ctx context.Context, access openstack.Access, host string) ([]string, error) {
	return ask(c.observer, "servers on "+host, func() ([]string, error) { return c.Cloud.Servers(ctx, access, host) })
}

// runner makes what an ansible.Runner does acts of the engine.
type runner struct {
	ansible.Runner
	observer
}

func (r runner) Start(ctx context.Context, run ansible.Run) error {
	return r.act(Runner, fmt.Sprintf("start run of %s on %s", run.Playbook, run.Nodes), func() error { return r.Runner.Start(ctx, run) })
}

func (r runner) Cancel(ctx context.Context, key string) error {
	return r.act(Runner, "cancel run", func() error { return r.Runner.Cancel(ctx, key) })
}

func (r runner) Status(ctx context.Context, key string) (ansible.Status, error) {
	return ask(r.observer, "look at a run", func() (ansible.Status, error) { return r.Runner.Status(ctx, key) })
}

// logins makes looks at nodes acts of the engine.
type logins struct {
	Logins
	observer
}

func (n logins) Probe(ctx context.Context, target remote.Target) (remote.Seen, error) {
	return ask(n.observer, "probe "+target.Address, func() (remote.Seen, error) { return n.Logins.Probe(ctx, target) })
}

func (n logins) Examine(ctx context.Context, target remote.Target, q adoption.Question) (adoption.Facts, error) {
	return ask(n.observer, "examine "+target.Address, func() (adoption.Facts, error) { return n.Logins.Examine(ctx, target, q) })
}
