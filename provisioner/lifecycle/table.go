package lifecycle

import (
	"slices"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
)

// row is one line of the table. Exactly one of do, record, wait, hold and done is set.
type row struct {
	// in lists Ironic's provision states; nil means every one of a registered node.
	in []provisioner.NodeState
	// when lists conditions that must all hold.
	when []condition
	// show is the Metal3 state; empty means the one that facts.shown gives.
	show metal3v1alpha1.ProvisioningState
	// do is started, or record written, because of why. In all texts, words in {braces} are filled in by facts.tell.
	do     provisioner.Action
	record Record
	why    string
	// wait, hold and done say what is waited for, what a person must do, or what is as wanted.
	wait, hold, done string
	// asks: a person decides about what is on the server; the hold ends with that.
	asks bool
	// fails: being here is a failure of that kind, counted before anything else is done.
	fails metal3v1alpha1.ErrorType
	// soon: do it without waiting for the backoff of earlier failures.
	soon bool
	// within is the deadline of a wait after the last sign of life, exit what is done then. Ironic ends its own waits
	// for the agent after 1800 s (ironic 39.0.0, [conductor] *_callback_timeout): ours fire only when it forgot the
	// node. Without exit the wait goes on and is shown as a failure: Ironic fails such a state itself when the
	// conductor restarts (states.py: STUCK_STATES_TREATED_AS_FAIL).
	within time.Duration
	exit   provisioner.Action
	// poll is how often a wait is looked at; 0 means pollWork.
	poll time.Duration
}

const (
	quickWithin = 5 * time.Minute
	agentWithin = 35 * time.Minute
	workWithin  = 2 * time.Hour
)

type (
	in   = []provisioner.NodeState
	when = []condition
)

// The states by Ironic, short.
const (
	enroll      = provisioner.StateEnroll
	manageable  = provisioner.StateManageable
	available   = provisioner.StateAvailable
	active      = provisioner.StateActive
	inspectFail = provisioner.StateInspectFail
	adoptFail   = provisioner.StateAdoptFail
	cleanFail   = provisioner.StateCleanFail
	deployFail  = provisioner.StateDeployFail
	deployWait  = provisioner.StateDeployWait
	deleteFail  = provisioner.StateError
)

// The states by Metal3, short.
const (
	registering     = metal3v1alpha1.StateRegistering
	inspecting      = metal3v1alpha1.StateInspecting
	provisioning    = metal3v1alpha1.StateProvisioning
	deprovisioning  = metal3v1alpha1.StateDeprovisioning
	poweringOff     = metal3v1alpha1.StatePoweringOffBeforeDelete
	deletingState   = metal3v1alpha1.StateDeleting
	registration    = metal3v1alpha1.RegistrationError
	powerManagement = metal3v1alpha1.PowerManagementError
)

const (
	whyDeleted = "the host is deleted"
	whySoft    = "the system did not shut down when asked: its power is cut"
	whyChanged = "the registration settings changed"
	whyImage   = "another image or none is wanted"
	whyGaveUp  = "the host is deleted and was tried long enough: let go as it is"
	whyBegin   = "a deployment of its own is decided first"
	whyEnded   = "nothing is on the server any more"
)

// What a person reads whose decision is needed: what was found, that nothing is done, and the way on.
const (
	wayOn     = ": if the server is to keep running, `rackplane keep {host}`; if what is on it may be erased, `rackplane release --force {host}`"
	untouched = "; the server is left as it is"

	holdOther = "{service}'s node holds deployment {recorded}, and this host's record (annotation dataplane.rackplane.dev/deployment) is {decided}" + untouched + wayOn
	holdLost  = "this host's record says that deployment {decided} is on the server, no image is wanted (spec.image), and {service} has no record of it" + untouched + wayOn
	holdOwner = "{service}'s node was made for an earlier host of this name (UID {owner}) and holds deployment {recorded}, and this host's record is {decided}" + untouched + wayOn
	holdAlien = "{service}'s node was made for another host of this name (UID {owner}), with another BMC or boot MAC address" + untouched +
		": if that host is gone, `{delete}`, else give this host another name"
	holdDelayed = "the host is deleted and detached with deleteAction delay: it goes once annotation baremetalhost.metal3.io/detached is removed"
	holdDelete  = "the host is deleted and its image (spec.image) was never taken off" + untouched + wayOn
	holdTheirs  = "someone else put on the server what is there, before it was externally provisioned" + untouched +
		": set spec.externallyProvisioned to true again; if what is on it may be erased, `rackplane release --force {host}`"
)

// table is the whole behaviour: the first row that fits decides.
func table() []row {
	return slices.Concat(absentRows(), ownerRows(), detachRows(), registerRows(), healthRows(), guardRows(), adoptRows(), inspectRows(), cleanRows(),
		deployRows(), undeployRows(), foreignRows(), deleteRows(), freeRows(), ladderRows(), powerRows(), restRows())
}

func absentRows() []row {
	absent := in{provisioner.StateAbsent}
	return []row{
		{in: absent, when: when{deleting, detached, delayed}, show: deletingState, hold: holdDelayed},
		{in: absent, when: when{deleting}, show: deletingState, done: "nothing is registered any more"},
		{in: absent, when: when{detached}, done: "the host is detached: {service} knows nothing of its server"},
		{in: absent, when: when{unmanaged}, show: metal3v1alpha1.StateUnmanaged, hold: "spec.bmc names no address: set spec.bmc.address and spec.bmc.credentialsName"},
		{in: absent, show: registering, do: provisioner.Register, why: "the host is not registered"},
	}
}

// ownerRows: whose node it is. A host that was made anew, as by a restored backup, gets its server back if both sides
// tell of the same deployment, or of none.
func ownerRows() []row {
	idle := in{enroll, manageable, available}
	firm := slices.Concat(idle, in{
		active, deleteFail, adoptFail, inspectFail, cleanFail, deployFail,
		provisioner.StateRescue, provisioner.StateRescueFail, provisioner.StateUnrescueFail, provisioner.StateServiceFail,
	})
	return []row{
		{when: when{foreign, deleting}, show: deletingState, done: "what is registered under the name belongs to another host"},
		{in: firm, when: when{foreign, sameServer, ours}, do: provisioner.TakeOver, why: "the host was made anew and is the one that was deployed", soon: true},
		{in: firm, when: when{foreign, sameServer, released}, do: provisioner.TakeOver, why: "what an earlier host of this name left may be erased", soon: true},
		{in: idle, when: when{foreign, sameServer, not(recorded), not(kept)}, do: provisioner.TakeOver, why: "the host was made anew and nothing is on the server", soon: true},
		{when: when{foreign, sameServer}, show: registering, hold: holdOwner, asks: true},
		{when: when{foreign}, show: registering, hold: holdAlien},
	}
}

// detachRows: the service forgets the server as it is, whatever else is wanted of it. What is under way ends first, unless forced.
func detachRows() []row {
	moving := in{
		provisioner.StateVerifying, provisioner.StateInspecting, provisioner.StateInspectWait, provisioner.StateCleaning, provisioner.StateCleanWait,
		provisioner.StateDeploying, deployWait, provisioner.StateDeployDone, provisioner.StateDeleting, provisioner.StateDeleted,
		provisioner.StateAdopting, provisioner.StateRescuing, provisioner.StateRescueWait, provisioner.StateUnrescuing,
		provisioner.StateServicing, provisioner.StateServiceWait,
	}
	return []row{
		{when: when{deleting, retained, recorded}, show: deletingState, done: "the server and its {service} node stay as they are"},
		{when: when{deleting, detached, delayed}, show: deletingState, hold: holdDelayed},
		{when: when{deleting, detached}, show: deletingState, do: provisioner.Delete, why: "the detached host is deleted", soon: true},
		{in: moving, when: when{detached, not(forced)}, wait: "what is under way on the server ends before it is detached", poll: pollSlow},
		{when: when{detached}, do: provisioner.Delete, why: "the host is detached", soon: true},
	}
}

func registerRows() []row {
	return []row{
		{in: in{enroll, manageable}, when: when{not(deleting), changed}, show: registering, do: provisioner.Register, why: whyChanged},
		{in: in{available, active, cleanFail, adoptFail, inspectFail, deployFail}, when: when{not(deleting), changed, not(refused)}, do: provisioner.Register, why: whyChanged},
		{in: in{enroll}, when: when{not(deleting), failed}, show: registering, fails: registration, do: provisioner.Manage, why: "try the BMC again"},
		{in: in{enroll}, when: when{not(deleting)}, show: registering, do: provisioner.Manage, why: "the BMC access is not verified"},
		{in: in{provisioner.StateVerifying}, show: registering, wait: "{service} verifies the BMC access", within: quickWithin, poll: pollQuick},
	}
}

// healthRows: Ironic cannot reach the BMC, or a person took the node out of service.
func healthRows() []row {
	stable := in{manageable, available, active}
	return []row{
		{in: stable, when: when{not(deleting), powerFault}, fails: powerManagement, wait: "{service} tries to reach the BMC", poll: pollSlow},
		{in: stable, when: when{not(deleting), faulted}, do: provisioner.Repair, why: "a fault left the node in maintenance"},
		{in: stable, when: when{not(deleting), maintenance}, hold: "someone put the {service} node in maintenance; end it with: {endMaintenance}"},
		{in: in{manageable, available}, when: when{deleting, powerMoving}, show: poweringOff, wait: "the power state is changing", poll: pollQuick},
		{in: stable, when: when{powerMoving}, wait: "the power state is changing", poll: pollQuick},
	}
}

// inUse are the states of a node with something on its disks, or on its way there.
func inUse() []provisioner.NodeState {
	return in{
		active, deployWait, deployFail, provisioner.StateDeployHold, deleteFail, adoptFail,
		provisioner.StateRescue, provisioner.StateRescueWait, provisioner.StateRescueFail, provisioner.StateUnrescueFail,
		provisioner.StateServiceWait, provisioner.StateServiceFail, provisioner.StateServiceHold,
	}
}

// guardRows keep what is on a server that this host did not deploy, as Ironic and the API tell it. Rows below them meet a
// node in use only if both record the same deployment, or a person gave it up.
func guardRows() []row {
	running := in{
		active, provisioner.StateRescue, provisioner.StateRescueWait, provisioner.StateRescueFail, provisioner.StateUnrescueFail,
		provisioner.StateServiceWait, provisioner.StateServiceFail, provisioner.StateServiceHold,
	}
	theirs := slices.Concat(running, in{manageable, available, adoptFail})
	return []row{
		{in: inUse(), when: when{deleting, retained}, show: deletingState, done: "the server and its {service} node stay as they are"},
		{in: in{active}, when: when{not(deleting), agreed, not(decided)}, record: Begin, why: "the server has what is wanted: it is made known as this host's"},
		{in: in{active}, when: when{not(deleting), agreed}, do: provisioner.Mark, why: "the server has what is wanted: it is made known as this host's"},
		{in: inUse(), when: when{not(ours), not(released)}, hold: holdOther, asks: true},
		{in: in{manageable}, when: when{recorded, not(ours), not(released)}, hold: holdOther, asks: true},
		{in: theirs, when: when{deleting, external}, show: deletingState, do: provisioner.Delete, why: "the deleted host is forgotten as it runs: what is on it was never ours"},
		{in: inUse(), when: when{notOurs, not(external), not(released)}, hold: holdTheirs, asks: true},
		{in: in{deployWait, deployFail, provisioner.StateDeployHold, deleteFail}, when: when{notOurs, not(released)}, hold: holdTheirs, asks: true},
		{in: in{manageable}, when: when{not(recorded), kept, not(imageWanted), not(external), not(released)}, hold: holdLost, asks: true},
		{in: in{manageable}, when: when{not(recorded), kept, deleting, not(released)}, hold: holdDelete, asks: true},
		{in: slices.Concat(running, in{adoptFail}), when: when{deleting, imageWanted, not(released)}, hold: holdDelete, asks: true},
	}
}

func adoptRows() []row {
	return []row{
		{in: in{provisioner.StateAdopting}, show: registering, wait: "{service} takes the running host over", within: quickWithin, poll: pollQuick},
		{in: in{adoptFail}, when: when{released}, show: registering, do: provisioner.Manage, why: "what is on the server may be erased", soon: true},
		{in: in{adoptFail}, when: when{not(deleting), not(external), not(imageWanted)}, show: registering, do: provisioner.Manage, why: "nothing is to be taken over any more", soon: true},
		{in: in{adoptFail}, when: when{not(deleting)}, show: registering, fails: registration, do: provisioner.Adopt, why: "try to take the host over again"},
	}
}

func inspectRows() []row {
	wait := in{provisioner.StateInspectWait}
	return []row{
		{in: wait, when: when{deleting}, show: inspecting, do: provisioner.Abort, why: whyDeleted, soon: true},
		{in: wait, show: inspecting, wait: "the agent inspects the hardware", within: agentWithin, exit: provisioner.Abort},
		{in: in{provisioner.StateInspecting}, show: inspecting, wait: "{service} starts or ends the inspection", within: agentWithin},
		{in: in{inspectFail}, when: when{not(deleting), kept, not(recorded), not(released)}, show: inspecting, do: provisioner.Manage, why: "something is on the server: it is not inspected", soon: true},
		{in: in{inspectFail}, when: when{not(deleting), recorded, not(ours), not(released)}, show: inspecting, do: provisioner.Manage, why: "something is on the server: it is not inspected", soon: true},
		{in: in{inspectFail}, when: when{not(deleting), external}, show: inspecting, do: provisioner.Manage, why: "no inspection is wanted any more", soon: true},
		{in: in{inspectFail}, when: when{not(deleting), not(toInspect)}, show: inspecting, do: provisioner.Manage, why: "no inspection is wanted any more", soon: true},
		{in: in{inspectFail}, when: when{not(deleting)}, show: inspecting, fails: metal3v1alpha1.InspectionError, do: provisioner.Inspect, why: "try the inspection again"},
	}
}

func cleanRows() []row {
	hold := in{provisioner.StateCleanHold}
	return []row{
		{in: in{provisioner.StateCleaning}, wait: "{service} cleans the disks", within: workWithin},
		{in: in{provisioner.StateCleanWait}, wait: "the agent cleans the disks", within: agentWithin, exit: provisioner.Abort},
		{in: hold, when: when{deleting}, do: provisioner.Abort, why: whyDeleted, soon: true},
		{in: hold, hold: "a clean step holds the {service} node; go on with: {unhold}"},
		{in: in{cleanFail}, when: when{deleting, gaveUp}, show: deletingState, do: provisioner.Delete, why: whyGaveUp, soon: true},
		{in: in{cleanFail}, when: when{maintenance}, fails: metal3v1alpha1.PreparationError, do: provisioner.Repair, why: "try to clean again"},
		{in: in{cleanFail}, fails: metal3v1alpha1.PreparationError, do: provisioner.Manage, why: "try to clean again", soon: true},
	}
}

func deployRows() []row {
	hold := in{provisioner.StateDeployHold}
	return []row{
		{in: in{deployWait}, when: when{deleting}, show: deprovisioning, do: provisioner.Undeploy, why: whyDeleted, soon: true},
		{in: in{deployFail}, when: when{deleting, not(gaveUp)}, show: deprovisioning, do: provisioner.Undeploy, why: whyDeleted, soon: true},
		{in: in{deployWait, deployFail}, when: when{not(deleting), otherImage}, show: deprovisioning, do: provisioner.Undeploy, why: whyImage, soon: true},
		{in: in{deployWait}, show: provisioning, wait: "the agent writes the image", within: agentWithin, exit: provisioner.Abort},
		{in: in{provisioner.StateDeploying, provisioner.StateDeployDone}, show: provisioning, wait: "{service} prepares or ends the deployment", within: workWithin},
		{in: hold, when: when{deleting}, show: deprovisioning, do: provisioner.Abort, why: whyDeleted, soon: true},
		{in: hold, show: provisioning, hold: "a deploy step holds the {service} node; go on with: {unhold}"},
		{in: in{deployFail}, when: when{deleting}, show: deletingState, do: provisioner.Delete, why: whyGaveUp, soon: true},
		{in: in{deployFail}, show: provisioning, fails: metal3v1alpha1.ProvisioningError, do: provisioner.Undeploy, why: "the deployment failed", soon: true},
	}
}

func undeployRows() []row {
	return []row{
		{in: in{provisioner.StateDeleting, provisioner.StateDeleted}, show: deprovisioning, wait: "{service} powers the host off and forgets its image", within: workWithin},
		{in: in{deleteFail}, when: when{deleting, gaveUp}, show: deletingState, do: provisioner.Delete, why: whyGaveUp, soon: true},
		{in: in{deleteFail}, show: deprovisioning, fails: metal3v1alpha1.ProvisioningError, do: provisioner.Undeploy, why: "try to remove the image again"},
		{in: in{active}, when: when{deleting, not(gaveUp)}, show: deprovisioning, do: provisioner.Undeploy, why: whyDeleted},
		{in: in{active}, when: when{released, not(ours)}, show: deprovisioning, do: provisioner.Undeploy, why: "what is on the server may be erased"},
		{in: in{active}, when: when{not(deleting), not(external), otherURL}, show: deprovisioning, do: provisioner.Undeploy, why: whyImage},
	}
}

// foreignRows: what someone else started is left to them, unless the host is deleted.
func foreignRows() []row {
	rescues := in{provisioner.StateRescue, provisioner.StateRescueWait, provisioner.StateRescueFail, provisioner.StateUnrescueFail}
	services := in{provisioner.StateServiceWait, provisioner.StateServiceFail}
	hold := in{provisioner.StateServiceHold}
	moving := in{provisioner.StateRescuing, provisioner.StateUnrescuing, provisioner.StateServicing}
	return []row{
		{in: slices.Concat(rescues, services), when: when{deleting, gaveUp}, show: deletingState, do: provisioner.Delete, why: whyGaveUp, soon: true},
		{in: slices.Concat(rescues, services), when: when{deleting}, show: deprovisioning, do: provisioner.Undeploy, why: whyDeleted},
		{in: hold, when: when{deleting}, show: deprovisioning, do: provisioner.Abort, why: whyDeleted, soon: true},
		{in: moving, wait: "{service} moves the node on someone else's request", within: workWithin},
		{in: rescues, hold: "someone put the {service} node in rescue mode; end it with: {unrescue}"},
		{in: slices.Concat(services, hold), hold: "someone services the {service} node; end it with: {abort}"},
	}
}

// deleteRows: off and away.
func deleteRows() []row {
	running := in{manageable, available, active}
	return []row{
		{in: running, when: when{deleting, gaveUp}, show: deletingState, do: provisioner.Delete, why: whyGaveUp, soon: true},
		{in: in{manageable}, when: when{deleting, recorded}, show: deprovisioning, do: provisioner.Provide, why: "the disks are not cleaned yet"},
		{in: in{manageable}, when: when{deleting, kept}, show: deprovisioning, do: provisioner.Provide, why: "the disks are not cleaned yet"},
		{in: running, when: when{deleting, mayRun, mayPowerOff, softFailed}, show: poweringOff, do: provisioner.CutPower, why: whySoft, soon: true},
		{in: running, when: when{deleting, mayRun, mayPowerOff, failed}, show: poweringOff, fails: powerManagement, do: provisioner.CutPower, why: "try to power off again"},
		{in: running, when: when{deleting, mayRun, mayPowerOff}, show: poweringOff, do: provisioner.SwitchOff, why: whyDeleted},
		{in: slices.Concat(running, in{enroll, inspectFail, adoptFail}), when: when{deleting}, show: deletingState, do: provisioner.Delete, why: whyDeleted},
	}
}

// freeRows end the record of a deployment on a server that is free, the API's first.
func freeRows() []row {
	free := in{available}
	return []row{
		{in: free, when: when{ours, otherImage}, record: End, why: whyEnded},
		{in: free, when: when{decided, not(ready)}, record: End, why: whyEnded},
		{in: free, when: when{givenUp, not(decided)}, record: End, why: whyEnded},
		{in: free, when: when{recorded, not(ours)}, do: provisioner.Vacate, why: whyEnded, soon: true},
	}
}

// ladderRows lead an idle host up to the deployment.
func ladderRows() []row {
	return []row{
		{in: in{manageable}, when: when{external, not(decided)}, show: registering, record: Begin, why: whyBegin},
		{in: in{manageable}, when: when{external}, show: registering, do: provisioner.Adopt, why: "the host is provisioned externally"},
		{in: in{manageable}, when: when{kept, not(recorded), not(released), not(decided)}, show: registering, record: Begin, why: whyBegin},
		{in: in{manageable}, when: when{kept, not(recorded), not(released)}, show: registering, do: provisioner.Adopt, why: "{service} forgot a host that has its image"},
		{in: in{manageable}, when: when{toInspect}, show: inspecting, do: provisioner.Inspect, why: "the hardware is not known"},
		{in: in{manageable}, do: provisioner.Provide, why: "the host is not available yet"},
		{in: in{available}, when: when{external}, do: provisioner.Manage, why: "the host is provisioned externally"},
		{in: in{available}, when: when{toInspect}, show: inspecting, do: provisioner.Manage, why: "the hardware is not known"},
		{in: in{available}, when: when{toDeploy, not(decided)}, show: provisioning, record: Begin, why: whyBegin},
		{in: in{available}, when: when{toDeploy}, show: provisioning, do: provisioner.Deploy, why: "an image is wanted"},
	}
}

func powerRows() []row {
	powered := in{available, active}
	return []row{
		{in: powered, when: when{powerUnknown}, wait: "the power state is not known yet"},
		{in: powered, when: when{isOff, failed}, fails: powerManagement, do: provisioner.SwitchOn, why: "try to power on again"},
		{in: powered, when: when{isOff}, do: provisioner.SwitchOn, why: "the host is wanted on"},
		{in: in{available}, when: when{isOn, isFresh, not(fenced)}, wait: "the agent stays on for a while: an image may be wanted soon", poll: pollSlow},
		{in: powered, when: when{isOn, mayPowerOff, softFailed}, do: provisioner.CutPower, why: whySoft, soon: true},
		{in: powered, when: when{isOn, mayPowerOff, failed}, fails: powerManagement, do: provisioner.CutPower, why: "try to power off again"},
		{in: powered, when: when{isOn, mayPowerOff, cut}, do: provisioner.CutPower, why: "the power is to be cut"},
		{in: powered, when: when{isOn, mayPowerOff}, do: provisioner.SwitchOff, why: "the host is wanted off"},
	}
}

func restRows() []row {
	return []row{
		{in: in{active, available}, when: when{not(deleting), changed}, wait: "{service} refused the changed settings: tried again after a while", poll: pollSlow},
		{in: in{active, available}, when: when{fenced}, done: "the server is held off by annotation {fence}"},
		{in: in{active}, when: when{external}, done: "the host runs what someone else put on it"},
		{in: in{active}, done: "the wanted image is on the host"},
		{in: in{available}, done: "the host is free"},
	}
}
