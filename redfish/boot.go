package redfish

import (
	"context"
	"slices"

	"github.com/stmcginnis/gofish/schemas"

	"github.com/rackplane/rackplane/fault"
)

func (sys *system) override() Override {
	b := sys.Boot
	o := Override{Target: string(b.BootSourceOverrideTarget), Enabled: string(b.BootSourceOverrideEnabled), Mode: string(b.BootSourceOverrideMode)}
	if o.Target == "" || o.Enabled == string(schemas.DisabledBootSourceOverrideEnabled) {
		o.Target = "None" // what is left in a field that is disabled says nothing
	}
	return o
}

// Override implements Boot.
func (s *Server) Override(ctx context.Context) (Override, error) {
	_, sys, err := s.enter(ctx)
	if err != nil {
		return Override{}, err
	}
	return sys.override(), nil
}

// KeepsOnce implements Boot.
func (s *Server) KeepsOnce(ctx context.Context) (bool, error) {
	_, sys, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	return isTrue(sys.vendor.KeepsOnce), nil
}

// SetOverride implements Boot.
func (s *Server) SetOverride(ctx context.Context, o Override) (Result, error) {
	_, sys, err := s.enter(ctx)
	if err != nil {
		return Result{}, err
	}
	if o.Mode == "" {
		o.Mode = sys.vendor.BootMode
	}
	if sys.made(sys.override(), o) {
		return Result{State: Complete}, nil
	}
	allowed := sys.Boot.AllowableBootSourceOverrideTargetValues
	if o.Target != "None" && len(allowed) > 0 && !slices.Contains(allowed, schemas.BootSource(o.Target)) {
		return Result{}, fault.New(fault.Unsupported, "%s does not boot %s; it boots %v", sys.path, o.Target, allowed)
	}
	// Not gofish's SetBoot: refused for whatever reason, it tries the settings resource as well, where there is one.
	if err := sys.Patch(sys.path, map[string]any{"Boot": sys.fields(o)}); err != nil {
		return Result{}, explain(err, sys.path)
	}
	read, err := s.Override(ctx)
	if err != nil {
		return Result{}, err
	}
	if !sys.made(read, o) {
		return Result{}, fault.New(fault.Transient, "%s took the boot target %s (%s) and reads %s (%s)", sys.path, o.Target, o.Enabled, read.Target, read.Enabled)
	}
	return Result{State: Complete}, nil
}

// fields are what is sent for an override. To end one a target is named too, since some BMCs want both: None where that is
// one, or else the one that is set.
func (sys *system) fields(o Override) map[string]any {
	if o.Target == "None" {
		allowed := sys.Boot.AllowableBootSourceOverrideTargetValues
		target := string(schemas.NoneBootSource)
		if len(allowed) > 0 && !slices.Contains(allowed, schemas.NoneBootSource) && !isTrue(sys.vendor.TakesNone) {
			target = string(sys.Boot.BootSourceOverrideTarget)
		}
		return map[string]any{"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": target}
	}
	fields := map[string]any{"BootSourceOverrideTarget": o.Target, "BootSourceOverrideEnabled": o.Enabled}
	if o.Mode != "" {
		fields["BootSourceOverrideMode"] = o.Mode
	}
	return fields
}

// made reports whether an override does what is wanted. One without a mode fits any; of a BMC that keeps what was for one
// boot no more can be had than that.
func (sys *system) made(is, want Override) bool {
	switch {
	case is.Target != want.Target:
		return false
	case want.Target == "None":
		return true
	case want.Mode != "" && is.Mode != want.Mode:
		return false
	default:
		return is.Enabled == want.Enabled || want.Enabled == "Once" && isTrue(sys.vendor.KeepsOnce)
	}
}
