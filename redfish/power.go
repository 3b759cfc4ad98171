package redfish

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/stmcginnis/gofish/schemas"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
)

// Power implements Power.
func (s *Server) Power(ctx context.Context) (string, error) {
	_, sys, err := s.enter(ctx)
	if err != nil {
		return "", err
	}
	if sys.PowerState == "" {
		return "", fault.New(fault.Transient, "%s does not tell its PowerState", sys.path)
	}
	return string(sys.PowerState), nil
}

// means are the reset types that do what is wanted, the best first. None of them is a toggle: what it does must not depend on
// a state that may have changed since it was read.
func means(a Action) []schemas.ResetType {
	return map[Action][]schemas.ResetType{
		On:      {schemas.OnResetType, schemas.ForceOnResetType},
		Off:     {schemas.ForceOffResetType},
		SoftOff: {schemas.GracefulShutdownResetType},
		Restart: {schemas.ForceRestartResetType, schemas.PowerCycleResetType},
	}[a]
}

// wanted is the power state that an action leads to.
func wanted(a Action) schemas.PowerState {
	if a == Off || a == SoftOff {
		return schemas.OffPowerState
	}
	return schemas.OnPowerState
}

// SetPower implements Power.
func (s *Server) SetPower(ctx context.Context, a Action) (Result, error) {
	_, sys, err := s.enter(ctx)
	if err != nil {
		return Result{}, err
	}
	switch {
	case a != Restart && sys.PowerState == wanted(a):
		return Result{State: Complete}, nil
	case a == Restart && sys.PowerState != schemas.OnPowerState: // some BMCs would switch it on
		return Result{State: Blocked, Need: "the server is to be on, and is " + line.Short(string(sys.PowerState), 40)}, nil
	}
	kind, err := sys.choose(a)
	if err != nil {
		return Result{}, err
	}
	task, err := sys.Reset(kind)
	if err != nil {
		return Result{}, explain(err, sys.path)
	}
	if task != nil {
		return Result{State: Accepted, Receipt: task.TaskMonitor}, nil
	}
	if a == Restart {
		return Result{State: Complete}, nil
	}
	is, err := s.Power(ctx)
	if err == nil && is == string(wanted(a)) {
		return Result{State: Complete}, nil
	}
	return Result{State: Accepted}, nil // it was taken; what is read later decides
}

// choose picks the reset type, from what the BMC says that it takes where it says so.
func (sys *system) choose(a Action) (schemas.ResetType, error) {
	allowed := sys.resetTypes()
	if len(allowed) == 0 {
		return means(a)[0], nil
	}
	for _, kind := range means(a) {
		if slices.Contains(allowed, kind) {
			return kind, nil
		}
	}
	return "", fault.New(fault.Unsupported, "%s takes none of %v, of which %s needs one; it takes %v", sys.path, means(a), a, allowed)
}

// resetTypes returns the reset types that the BMC says it takes; none when that cannot be read either.
func (sys *system) resetTypes() []schemas.ResetType {
	allowed, err := sys.GetSupportedResetTypes()
	if err != nil {
		return nil
	}
	return allowed
}

// Follow implements Power.
func (s *Server) Follow(ctx context.Context, receipt string) (Result, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	if (link{receipt}).path() == "" {
		return Result{}, fault.New(fault.Transient, "the BMC at %s gave a task without a path to follow", s.door.Endpoint())
	}
	resp, err := c.Get(receipt)
	if err != nil {
		return Result{}, explain(err, receipt)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusAccepted {
		return Result{State: Accepted, Receipt: receipt}, nil
	}
	var task struct {
		TaskState, TaskStatus string
		Messages              []struct{ Message string }
	}
	if resp.StatusCode == http.StatusNoContent || json.NewDecoder(resp.Body).Decode(&task) != nil {
		return Result{State: Complete}, nil // a monitor whose task is done answers as the action would have
	}
	switch task.TaskState {
	case "Completed", "":
		return Result{State: Complete}, nil
	case "Exception", "Killed", "Cancelled", "Interrupted":
		words := "it gives no reason"
		if len(task.Messages) > 0 {
			words = line.Short(task.Messages[len(task.Messages)-1].Message, 200)
		}
		return Result{}, fault.New(fault.Transient, "%s ended as %s: %s", receipt, task.TaskState, words)
	default:
		return Result{State: Accepted, Receipt: receipt}, nil
	}
}
