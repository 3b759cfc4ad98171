package provisioner

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// NodeState is Ironic's provision_state (ironic 39.0.0, ironic/common/states.py: ALL_STATES); "" means that the
// server is not registered.
type NodeState string

// Every provision state of Ironic 39.0.0.
const (
	StateAbsent       NodeState = ""
	StateEnroll       NodeState = "enroll"
	StateVerifying    NodeState = "verifying"
	StateManageable   NodeState = "manageable"
	StateInspecting   NodeState = "inspecting"
	StateInspectWait  NodeState = "inspect wait"
	StateInspectFail  NodeState = "inspect failed"
	StateCleaning     NodeState = "cleaning"
	StateCleanWait    NodeState = "clean wait"
	StateCleanHold    NodeState = "clean hold"
	StateCleanFail    NodeState = "clean failed"
	StateAvailable    NodeState = "available"
	StateDeploying    NodeState = "deploying"
	StateDeployWait   NodeState = "wait call-back"
	StateDeployHold   NodeState = "deploy hold"
	StateDeployFail   NodeState = "deploy failed"
	StateDeployDone   NodeState = "deploy complete"
	StateActive       NodeState = "active"
	StateDeleting     NodeState = "deleting"
	StateDeleted      NodeState = "deleted"
	StateError        NodeState = "error"
	StateAdopting     NodeState = "adopting"
	StateAdoptFail    NodeState = "adopt failed"
	StateRescue       NodeState = "rescue"
	StateRescuing     NodeState = "rescuing"
	StateRescueWait   NodeState = "rescue wait"
	StateRescueFail   NodeState = "rescue failed"
	StateUnrescuing   NodeState = "unrescuing"
	StateUnrescueFail NodeState = "unrescue failed"
	StateServicing    NodeState = "servicing"
	StateServiceWait  NodeState = "service wait"
	StateServiceHold  NodeState = "service hold"
	StateServiceFail  NodeState = "service failed"
)

// NodeStates are all of the above, StateAbsent first, sorted otherwise.
func NodeStates() []NodeState {
	return []NodeState{
		StateAbsent, StateActive, StateAdoptFail, StateAdopting, StateAvailable, StateCleanFail, StateCleanHold,
		StateCleanWait, StateCleaning, StateDeleted, StateDeleting, StateDeployDone, StateDeployFail, StateDeployHold,
		StateDeploying, StateEnroll, StateError, StateInspectFail, StateInspectWait, StateInspecting, StateManageable,
		StateRescue, StateRescueFail, StateRescueWait, StateRescuing, StateServiceFail, StateServiceHold,
		StateServiceWait, StateServicing, StateUnrescueFail, StateUnrescuing, StateVerifying, StateDeployWait,
	}
}

// Power is a server's power state; "" while it is not known.
type Power string

// Power states.
const (
	PowerUnknown Power = ""
	PowerOn      Power = "power on"
	PowerOff     Power = "power off"
)

// Faults Ironic detects by itself (ironic 39.0.0, ironic/common/faults.py).
const (
	// FaultPower: the power state could not be read. Ironic tries again by itself.
	FaultPower = "power failure"
	// FaultClean: cleaning failed.
	FaultClean = "clean failure"
)

// Observation is how the service sees a server. The zero value means that it is not registered.
type Observation struct {
	// ID the service gave the server.
	ID string
	// HostUID of the host the server was registered for; empty on a server someone else registered.
	HostUID types.UID
	// State, and Since when by the service's clock: also the last sign of life of the deploy agent.
	State NodeState
	Since time.Time
	// Now is what the service's clock showed when it answered; zero when it did not tell. Since and Inspected are only ever
	// compared with it: the caller's clock may be another one.
	Now time.Time
	// Power, and PowerTarget while it is changing.
	Power, PowerTarget Power
	// LastError of the last action that failed, in one line; empty after a good one.
	LastError string
	// Maintenance: the service leaves the server alone. Fault names the cause when the service set it by itself.
	Maintenance bool
	Fault       string
	// MaintenanceReason in one line.
	MaintenanceReason string
	// Image the server has or is getting; nil when none.
	Image *Image
	// Registration is what Want.Registration was at the last complete Do(Register).
	Registration string
	// Server is what Want.Server was at the last complete Do(Register).
	Server string
	// Deployment is what Want.Deployment was at the last Do(Deploy), Do(Adopt) or Do(Mark): the disk holds it, or is not
	// yet clean of it. Empty when there was none, or since Do(Vacate).
	Deployment string
	// NotOurs: that deployment was adopted from someone else, who filled the disk.
	NotOurs bool
	// Inspected is when the last good inspection ended; zero when there was none.
	Inspected time.Time
}

// Holding names what is on the server, for a person to give up: the deployment, or the server's record when the service
// knows of none. Another deployment has another name.
func (o Observation) Holding() string { return cmp.Or(o.Deployment, o.ID) }

// Action is something Do can start.
type Action string

// The actions. Those of Ironic carry its verb's name (ironic 39.0.0, ironic/common/states.py: VERBS).
const (
	// Register creates or updates the server's record: BMC access, ports, settings.
	Register Action = "Register"
	// Manage has the BMC access verified.
	Manage Action = "Manage"
	// Inspect finds out the hardware.
	Inspect Action = "Inspect"
	// Provide cleans the disks and makes the server available.
	Provide Action = "Provide"
	// TakeOver records the host as the owner of a record that was made for an earlier host of the same name, if the server
	// is the same and the record holds either nothing, Want.Deployment or what Want.GivenUp names.
	TakeOver Action = "TakeOver"
	// Mark records Want.Deployment on an active server that holds none.
	Mark Action = "Mark"
	// Vacate ends the record of a deployment, now that the disk is clean.
	Vacate Action = "Vacate"
	// Deploy records Want.Deployment, writes Want.Image and boots it.
	Deploy Action = "Deploy"
	// Undeploy powers off, forgets the image and cleans the disks.
	Undeploy Action = "Undeploy"
	// Adopt records Want.Deployment and takes the server over as it runs.
	Adopt Action = "Adopt"
	// Abort ends a wait for the agent.
	Abort Action = "Abort"
	// Repair ends the maintenance that a fault caused.
	Repair Action = "Repair"
	// SwitchOn powers on.
	SwitchOn Action = "SwitchOn"
	// SwitchOff has the system that runs shut down. When it does not, Observation.LastError says so and CutPower is what is left.
	SwitchOff Action = "SwitchOff"
	// CutPower powers off, hard.
	CutPower Action = "CutPower"
	// Delete forgets the server, in whatever state it is.
	Delete Action = "Delete"
)

// Actions lists every action.
func Actions() []Action {
	return []Action{
		Register, TakeOver, Manage, Inspect, Provide, Mark, Vacate, Deploy, Undeploy, Adopt, Abort, Repair, SwitchOn, SwitchOff, CutPower, Delete,
	}
}
