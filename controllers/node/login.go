package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/remote"
)

const (
	// sshFresh is how old the good answer may be of a node that is not Ready.
	sshFresh = 30 * time.Second
	// sshExpected is how long a server may take from the end of imaging to answering SSH.
	sshExpected = 15 * time.Minute
	// watchPoll is how often a node that is well is looked at, and how old its answer may be.
	watchPoll = 5 * time.Minute
)

// login is how a node answers SSH.
type login struct {
	*pass
	machine *machine
	seen    remote.Seen // by answers
}

// answers tells whether the node answers a login with the pinned host key. Nothing here waits for the node: it is asked beside
// the passes, and an answer that is another than before wakes the next one.
func (p *login) answers(_ context.Context) (step.Outcome, error) {
	wanted := p.wanted()
	if wanted.Address == "" {
		p.Answers.Forget(wanted.Node)
		return step.Hold(v1alpha1.ReasonInvalidInput, plan.NoLogin(p.set, p.node)), nil
	}
	var err error
	p.seen, err = p.Answers.Last(wanted)
	where := fmt.Sprintf("%s@%s port %d", wanted.User, wanted.Address, wanted.Port)
	left := sshExpected - p.Clock.Since(p.upSince()).Abs() // one that far ahead is of a clock that was wrong
	switch {
	case err == nil:
		return step.Pass(v1alpha1.ReasonDone, p.machine.note).Again(watchPoll), nil
	case fault.Is(err, fault.Busy) && p.asked():
		return step.Pending(v1alpha1.ReasonWaitingForSSH, where+": "+err.Error()), nil
	case fault.Is(err, fault.Busy):
		return step.Waiting(v1alpha1.ReasonWaitingForSSH, where+": "+err.Error(), 0), nil
	case fault.Is(err, fault.Rejected):
		return step.Waiting(v1alpha1.ReasonHostKeyMismatch, where+": "+err.Error(), 0), nil
	case left >= 0:
		return step.Waiting(v1alpha1.ReasonWaitingForSSH, where+": "+err.Error(), left+step.Soon), nil
	case fault.Is(err, fault.Denied):
		return step.Waiting(v1alpha1.ReasonDenied, where+": "+err.Error(), 0), nil
	default:
		return step.Waiting(v1alpha1.ReasonSSHUnreachable, where+": "+err.Error(), 0), nil
	}
}

// answered reports whether the node answered when it was last asked.
func (p *login) answered() bool {
	return meta.IsStatusConditionTrue(p.node.Status.Conditions, v1alpha1.ConditionProvisioned)
}

// asked reports whether the condition tells what came of asking the node before. While it is asked anew, by an engine that
// has just started or after something was done on it, that is neither taken back nor told again.
func (p *login) asked() bool {
	before := meta.FindStatusCondition(p.node.Status.Conditions, v1alpha1.ConditionProvisioned)
	return p.answered() || before != nil && slices.Contains([]string{
		v1alpha1.ReasonWaitingForSSH, v1alpha1.ReasonSSHUnreachable, v1alpha1.ReasonDenied, v1alpha1.ReasonHostKeyMismatch,
	}, before.Reason)
}

// target is where and how the node is logged in to; without an address while it has none.
func (p *login) target() remote.Target {
	login, _ := plan.LoginOf(p.set, p.node, p.machine.site)
	return remote.Target{
		Address: login.Address, Port: login.Port, User: login.User, PrivateKey: p.machine.key.Private, HostKeys: plan.HostKeys(p.set, p.node),
	}
}

// wanted is the answer that this pass needs: of the server as it was imaged last, after all that has run on it.
func (p *login) wanted() remote.Wanted {
	w := remote.Wanted{Node: client.ObjectKeyFromObject(p.node), Target: p.target(), MaxAge: sshFresh, Answered: p.answered()}
	if meta.IsStatusConditionTrue(p.node.Status.Conditions, v1alpha1.ConditionReady) {
		w.MaxAge = watchPoll // the cloud is asked far more often, and nothing is waited for on the node
	}
	w.Of = fmt.Sprintf("%s %s %v", p.node.UID, p.node.Status.DeployedHash, p.node.Status.Services)
	if p.machine.host != nil {
		w.Of += fmt.Sprintf(" %s %s", p.machine.host.UID, p.machine.host.Status.OperationHistory.Provision.End)
	}
	return w
}

// here is a time by the clock of the API server, or of the controllers beside it, by this machine's.
func (p *pass) here(theirs time.Time) time.Time {
	if p.ServerClock == nil || theirs.IsZero() {
		return theirs
	}
	return p.Clock.Now().Add(-p.ServerClock.Since(theirs))
}

// upSince is when the node should have begun to boot: when its imaging ended, or when it was last seen to stop answering.
func (p *login) upSince() time.Time {
	since := p.here(p.node.CreationTimestamp.Time)
	if c := meta.FindStatusCondition(p.node.Status.Conditions, v1alpha1.ConditionProvisioned); c != nil && c.LastTransitionTime.After(since) {
		since = c.LastTransitionTime.Time
	}
	if p.machine.host != nil && p.machine.host.Status.OperationHistory.Provision.End.After(since) {
		since = p.machine.host.Status.OperationHistory.Provision.End.Time
	}
	return since
}
