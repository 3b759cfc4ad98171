package provisionertest

import (
	"time"

	"github.com/rackplane/rackplane/provisioner"
)

// begin schedules the states an action leads through.
func (s *Simulator) begin(n *node, want provisioner.Want, action provisioner.Action) {
	n.todo = nil
	n.PowerTarget = ""
	t := &timeline{s: s, n: n, at: s.now()}
	switch action {
	case provisioner.Manage:
		t.manage(want)
	case provisioner.Inspect:
		t.goTo(provisioner.StateInspecting)
		t.after(provisioner.StateInspectWait, func(n *node) { n.Power = provisioner.PowerOn })
		if !t.fails(FailInspect, provisioner.StateInspectFail) {
			t.after(provisioner.StateManageable, func(n *node) { n.Inspected, n.Power = n.Since, provisioner.PowerOff })
		}
	case provisioner.Provide:
		t.goTo(provisioner.StateCleaning)
		t.clean()
	case provisioner.Deploy:
		t.deploy(want)
	case provisioner.Undeploy:
		t.goTo(provisioner.StateDeleting)
		if !t.fails(FailUndeploy, provisioner.StateError) {
			t.after(provisioner.StateCleaning, func(n *node) { n.Image, n.Power = nil, provisioner.PowerOff })
			t.clean()
		}
	case provisioner.Adopt:
		n.Deployment, n.NotOurs = want.Deployment, want.External
		t.goTo(provisioner.StateAdopting)
		if !t.fails(FailAdopt, provisioner.StateAdoptFail) {
			t.after(provisioner.StateActive, func(n *node) { n.Image = want.OnDisk() })
		}
	case provisioner.Abort:
		t.abort()
	case provisioner.Register, provisioner.TakeOver, provisioner.Mark, provisioner.Vacate, provisioner.Repair, provisioner.SwitchOn, provisioner.SwitchOff, provisioner.CutPower, provisioner.Delete:
	}
}

// timeline schedules one state after the other.
type timeline struct {
	s  *Simulator
	n  *node
	at time.Time
}

// goTo enters the state now.
func (t *timeline) goTo(state provisioner.NodeState) { t.n.State, t.n.Since = state, t.at }

// after enters the state a step later.
func (t *timeline) after(state provisioner.NodeState, also func(*node)) {
	t.at = t.at.Add(t.s.step)
	at := t.at
	t.n.todo = append(t.n.todo, step{at, func(n *node) {
		n.State, n.Since = state, at
		if also != nil {
			also(n)
		}
	}})
}

// fails enters the failed state a step later if the outcome was injected.
func (t *timeline) fails(what string, state provisioner.NodeState) bool {
	message := t.s.outcome(t.n, what)
	if message == "" {
		return false
	}
	t.after(state, func(n *node) {
		n.LastError = message
		if state == provisioner.StateCleanFail {
			n.Maintenance, n.Fault, n.MaintenanceReason = true, provisioner.FaultClean, message
		}
	})
	return true
}

func (t *timeline) manage(want provisioner.Want) {
	if t.n.State != provisioner.StateEnroll { // only enroll is verified
		t.goTo(provisioner.StateManageable)
		return
	}
	t.goTo(provisioner.StateVerifying)
	switch {
	case t.fails(FailVerify, provisioner.StateEnroll):
	case !t.s.admits(t.n.want.BMC):
		t.after(provisioner.StateEnroll, func(n *node) {
			n.LastError = "Failed to get power state for node " + n.ID + ". Error: HTTP 401 Unauthorized for " + want.BMC.Address
		})
	default:
		t.after(provisioner.StateManageable, func(n *node) {
			if n.Power == provisioner.PowerUnknown {
				n.Power = provisioner.PowerOff
			}
		})
	}
}

func (t *timeline) clean() {
	if !t.n.want.SkipCleaning {
		t.after(provisioner.StateCleanWait, func(n *node) { n.Power = provisioner.PowerOn })
		if t.fails(FailClean, provisioner.StateCleanFail) {
			return
		}
	}
	t.after(provisioner.StateAvailable, func(n *node) { n.Power = provisioner.PowerOff })
}

func (t *timeline) deploy(want provisioner.Want) {
	image := *want.Image
	t.n.Image, t.n.drive = &image, want.Drive
	t.n.Deployment, t.n.NotOurs = want.Deployment, false
	t.goTo(provisioner.StateDeploying)
	t.after(provisioner.StateDeployWait, func(n *node) { n.Power = provisioner.PowerOn })
	if t.fails(FailDeploy, provisioner.StateDeployFail) {
		return
	}
	if message := t.s.images[image]; message != "" {
		t.after(provisioner.StateDeployFail, func(n *node) { n.LastError = message })
		return
	}
	t.after(provisioner.StateDeploying, nil)
	t.after(provisioner.StateActive, func(n *node) { n.Power = provisioner.PowerOn })
}

func (t *timeline) abort() {
	failed := map[provisioner.NodeState]provisioner.NodeState{
		provisioner.StateInspectWait: provisioner.StateInspectFail,
		provisioner.StateCleanWait:   provisioner.StateCleanFail,
		provisioner.StateCleanHold:   provisioner.StateCleanFail,
		provisioner.StateDeployWait:  provisioner.StateDeployFail,
		provisioner.StateDeployHold:  provisioner.StateDeployFail,
		provisioner.StateServiceWait: provisioner.StateServiceFail,
		provisioner.StateServiceHold: provisioner.StateServiceFail,
	}
	t.goTo(failed[t.n.State])
	t.n.LastError = "By request, it was aborted"
}
