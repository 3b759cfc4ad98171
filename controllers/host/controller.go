package host

import (
	"context"
	"fmt"
	"io"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
)

// Reconciler reconciles BareMetalHosts.
type Reconciler struct {
	// Client writes.
	Client client.Client
	// Reader reads the world, which may be some writes behind.
	Reader client.Reader
	// Live reads uncached, what must not be old: the host before an action is started on its server, what the server is
	// deployed with, and whether a host that is deleted is still used.
	Live client.Reader
	// Provisioner acts on servers.
	Provisioner provisioner.Provisioner
	// Clock spaces out retries.
	Clock clock.PassiveClock
	// Events gets state changes and failures.
	Events events.EventRecorder
	// Gate lets nothing be acted on while it is closed; what would be done is shown.
	Gate step.Gate
	// Quiet has news that nobody decides by wait for others; nil writes all news at once, but for Setup, which makes one.
	Quiet *step.Quiet
	// Random makes deployment ids; nil is crypto/rand.
	Random io.Reader
	// Workers is how many hosts are driven at once; 0 means 8.
	Workers int

	logins logins
}

const (
	// unreachablePoll is when to ask a service again that does not answer.
	unreachablePoll = 5 * time.Second
	// busyPoll is when to ask again for a server someone else acts on.
	busyPoll = 2 * time.Second
	// slowPoll is for what only a person or another controller ends; watches come sooner.
	slowPoll = 30 * time.Second
)

// pass is one pass over a host.
type pass struct {
	*Reconciler
	host   *metal3v1alpha1.BareMetalHost
	before metal3v1alpha1.BareMetalHostStatus
	now    time.Time

	// wait is how much longer what is new in the status may wait to be written; 0 when it is written.
	wait time.Duration
	// current: the host was written to in this pass, as it was read; nobody had changed it since.
	current bool

	// away: the host is detached, and the service has forgotten its server.
	away bool

	want provisioner.Want
	seen provisioner.Observation
	past lifecycle.Past
}

// +kubebuilder:rbac:groups=metal3.io,resources=baremetalhosts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=metal3.io,resources=baremetalhosts/status,verbs=update
// +kubebuilder:rbac:groups=metal3.io,resources=baremetalhosts/finalizers,verbs=update
// +kubebuilder:rbac:groups=metal3.io,resources=hardwaredata,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile makes one pass over a host.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (step.Result, error) {
	host := &metal3v1alpha1.BareMetalHost{}
	if err := r.Reader.Get(ctx, req.NamespacedName, host); err != nil {
		return step.Answer(step.Outcome{}, client.IgnoreNotFound(err))
	}
	p := &pass{Reconciler: r, host: host, before: *host.Status.DeepCopy(), now: r.Clock.Now()}
	poll, err := p.run(ctx)
	return step.Answer(step.Outcome{}.Again(poll).Again(p.wait), err)
}

// run makes the pass and returns when to make the next one; 0 leaves it to the watches.
func (p *pass) run(ctx context.Context) (time.Duration, error) {
	_, paused := p.host.Annotations[metal3v1alpha1.PausedAnnotation]
	deleting, held := !p.host.DeletionTimestamp.IsZero(), controllerutil.ContainsFinalizer(p.host, metal3v1alpha1.BareMetalHostFinalizer)
	switch {
	case paused || (deleting && !held):
		return 0, nil
	case p.Gate.Closed() != "":
		return slowPoll, p.preview(ctx, p.Gate.Closed())
	case !deleting && !held:
		if err := p.editFinalizer(ctx, controllerutil.AddFinalizer); err != nil {
			return 0, err
		}
	}
	if !deleting {
		if restored, err := p.restore(ctx); err != nil || restored {
			return busyPoll, err
		}
	}
	if deleting {
		if note, err := p.consumer(ctx); err != nil || note != "" {
			p.host.Status.ErrorMessage = note
			return slowPoll, firstError(err, p.writeStatus(ctx))
		}
	}
	return p.drive(ctx)
}

// drive brings the server one step nearer to what is wanted.
func (p *pass) drive(ctx context.Context) (time.Duration, error) {
	problem, err := p.gather(ctx)
	if err != nil {
		return 0, err
	}
	if !problem.isNone() {
		p.showProblem(problem)
		return slowPoll, p.writeStatus(ctx)
	}
	err = p.twice(func() (err error) {
		p.seen, err = p.Provisioner.Observe(ctx, p.want.Host)
		return err
	})
	if err != nil && !fault.Is(err, fault.Missing) {
		return p.unreachable(ctx, err)
	}
	if err := p.answerRequests(ctx); err != nil {
		return 0, err
	}
	d := lifecycle.Next(p.Provisioner.Words(), p.want, p.seen, p.past, p.now)
	if d.Kind == lifecycle.Settled && p.want.Deleting {
		return 0, p.release(ctx)
	}
	if p.away = d.Kind == lifecycle.Settled && p.want.Detached; p.away {
		d.State = p.host.Status.Provisioning.State // the server is what it was, whoever knows of it
	}
	if err := p.keepInventory(ctx); err != nil {
		if !fault.Classified(err) {
			return 0, err
		}
		return p.unreachable(ctx, err)
	}
	p.show(d)
	err = p.tell(ctx, d)
	if err == nil {
		err = p.annotate(ctx, map[string]string{v1alpha1.HeldAnnotation: d.Holding})
	}
	if err != nil {
		return 0, err
	}
	return p.follow(ctx, d)
}

// follow does what was decided.
func (p *pass) follow(ctx context.Context, d lifecycle.Decision) (time.Duration, error) {
	switch d.Kind {
	case lifecycle.Act:
		return p.act(ctx, d)
	case lifecycle.Write:
		return d.Poll, p.record(ctx, d.Record)
	case lifecycle.Wait, lifecycle.Hold, lifecycle.Settled:
	}
	return d.Poll, nil
}

// act starts the action. It was decided by what a cache shows of the host, which may be some writes behind, and no action is
// started on a server because of a host that has changed or is gone.
func (p *pass) act(ctx context.Context, d lifecycle.Decision) (time.Duration, error) {
	if err := p.isCurrent(ctx); err != nil {
		return 0, err
	}
	err := p.fillDrive(ctx, d.Action)
	if err == nil {
		err = p.twice(func() error { return p.Provisioner.Do(ctx, p.want, d.Action) })
	}
	switch fault.KindOf(err) {
	case "":
		return d.Poll, nil
	case fault.Busy:
		return busyPoll, nil
	case fault.Lost, fault.Missing:
		return d.Poll, nil
	case fault.Transient, fault.Denied:
		if !fault.Classified(err) {
			return 0, err
		}
		return p.unreachable(ctx, err)
	case fault.Rejected, fault.Unsupported:
	}
	failure := lifecycle.Refused(p.Provisioner.Words(), p.want, d, err.Error())
	p.past = p.past.Count(failure, p.now)
	p.showFailure(failure)
	if failure.Type == metal3v1alpha1.ProvisionedRegistrationError {
		return busyPoll, p.writeStatus(ctx) // what else is wanted of the server goes on
	}
	return lifecycle.Backoff(p.past.Failures), p.writeStatus(ctx)
}

// isCurrent returns a conflict when the host that was read is not the newest there is.
func (p *pass) isCurrent(ctx context.Context) error {
	if p.current {
		return nil
	}
	return step.Current(ctx, p.Live, p.host)
}

// twice asks the service again at once when it does not answer and nothing was wrong before: a packet that got lost is not
// worth a word, and every action may be asked for again.
func (p *pass) twice(ask func() error) error {
	err := ask()
	if fault.Is(err, fault.Transient) && p.before.ErrorMessage == "" {
		err = ask()
	}
	return err
}

// unreachable shows that the service does not answer. Nothing is counted: it is not the host's failure, and the host goes
// on where it was when the service is back.
func (p *pass) unreachable(ctx context.Context, err error) (time.Duration, error) {
	if p.host.Status.ErrorType == "" {
		p.host.Status.ErrorMessage = line.Of(err.Error())
	}
	return unreachablePoll, p.writeStatus(ctx)
}

// release lets the host go: its node is gone.
func (p *pass) release(ctx context.Context) error {
	if err := p.isCurrent(ctx); err != nil {
		return err // HardwareData goes by its name, and must not be that of a host made anew
	}
	data := &metal3v1alpha1.HardwareData{}
	data.Namespace, data.Name = p.host.Namespace, p.host.Name
	if err := client.IgnoreNotFound(p.Client.Delete(ctx, data)); err != nil {
		return fmt.Errorf("delete HardwareData %s/%s: %w", data.Namespace, data.Name, err)
	}
	if err := client.IgnoreNotFound(p.editFinalizer(ctx, controllerutil.RemoveFinalizer)); err != nil {
		return err
	}
	p.Quiet.Told(p.host.UID)
	return nil
}

func (p *pass) editFinalizer(ctx context.Context, edit func(client.Object, string) bool) error {
	edited := p.host.DeepCopy()
	if !edit(edited, metal3v1alpha1.BareMetalHostFinalizer) {
		return nil
	}
	return p.patchMeta(ctx, edited)
}

// patchMeta writes changed metadata if nobody changed the host since it was read.
func (p *pass) patchMeta(ctx context.Context, edited *metal3v1alpha1.BareMetalHost) error {
	if err := p.Client.Patch(ctx, edited, client.MergeFromWithOptions(p.host, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	p.host.ObjectMeta, p.current = edited.ObjectMeta, true
	return nil
}

// writeStatus writes the status if it changed, and tells of state changes and new failures. It is written whole: Metal3's
// schema requires fields that a patch from an empty status would leave out. The resource version is checked: a pass that
// read an old host must not undo a newer one.
func (p *pass) writeStatus(ctx context.Context) error {
	if equality.Semantic.DeepEqual(p.before, p.host.Status) {
		return nil
	}
	p.host.Status.LastUpdated = &metav1.Time{Time: p.now}
	edited := p.host.DeepCopy()
	if err := p.Client.Status().Update(ctx, edited); err != nil {
		return client.IgnoreNotFound(err)
	}
	p.announce()
	p.host.ResourceVersion, p.current, p.wait = edited.ResourceVersion, true, 0
	p.Quiet.Told(p.host.UID)
	p.before = *p.host.Status.DeepCopy()
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
