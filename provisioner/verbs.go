package provisioner

import "slices"

// Fit says what an action means for a node in some state.
type Fit int

const (
	// Impossible means that Ironic would refuse the action in this state.
	Impossible Fit = iota
	// Starts means that the action can be started.
	Starts
	// Already means that the action is under way or done.
	Already
)

// In tells how the action fits a provision state. The verbs follow Ironic's state machine (ironic 39.0.0,
// ironic/common/state_machine.py); Register follows its rules for updates (states.py: STABLE_STATES and
// UPDATE_ALLOWED_STATES) and is never Already, because only the settings tell, and so do TakeOver, Mark and Vacate; power
// actions and Repair fit every state of a registered node.
func (a Action) In(s NodeState) Fit {
	starts, already := a.states()
	switch {
	case slices.Contains(starts, s):
		return Starts
	case slices.Contains(already, s):
		return Already
	default:
		return Impossible
	}
}

// changeable are the states in which a registered node's record can change.
func changeable() []NodeState {
	return []NodeState{
		StateEnroll, StateManageable, StateAvailable, StateActive, StateError, StateRescue, StateInspectFail, StateCleanFail,
		StateDeployFail, StateAdoptFail, StateRescueFail, StateUnrescueFail, StateServiceFail,
	}
}

func (a Action) states() (starts, already []NodeState) {
	type set = []NodeState
	registered := NodeStates()[1:]
	switch a {
	case Register:
		return append(set{StateAbsent}, changeable()...), nil
	case TakeOver:
		return changeable(), nil
	case Mark:
		return set{StateActive}, nil
	case Vacate:
		return set{StateAvailable}, nil
	case Manage:
		return set{StateEnroll, StateAvailable, StateInspectFail, StateAdoptFail, StateCleanFail}, set{StateVerifying, StateManageable}
	case Inspect:
		return set{StateManageable, StateInspectFail}, set{StateInspecting, StateInspectWait}
	case Provide:
		return set{StateManageable}, set{StateCleaning, StateCleanWait, StateAvailable}
	case Deploy:
		return set{StateAvailable}, set{StateDeploying, StateDeployWait, StateDeployDone, StateActive}
	case Undeploy:
		return set{
			StateActive, StateDeployWait, StateDeployFail, StateError, StateRescue, StateRescueFail, StateRescueWait,
			StateUnrescueFail, StateServiceFail, StateServiceWait,
		}, set{StateDeleting, StateDeleted, StateCleaning, StateCleanWait, StateAvailable}
	case Adopt:
		return set{StateManageable, StateAdoptFail}, set{StateAdopting, StateActive}
	case Abort:
		return set{
			StateInspectWait, StateCleanWait, StateCleanHold, StateDeployWait, StateDeployHold, StateServiceWait, StateServiceHold,
		}, set{StateInspectFail, StateCleanFail, StateDeployFail, StateServiceFail}
	case Repair, SwitchOn, SwitchOff, CutPower:
		return registered, nil
	case Delete:
		return registered, set{StateAbsent}
	}
	return nil, nil
}
