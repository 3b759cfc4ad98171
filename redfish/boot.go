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
	return sys.vendor.KeepsOnce != nil && *sys.vendor.KeepsOnce, nil
}

// SetOverride implements Boot.
func (s *Server) SetOverride(ctx context.Context, o Override) (Result, error) {
	c, sys, err := s.enter(ctx)
	if err != nil {
		return Result{}, err
	}
	if o.Mode == "" {
		o.Mode = sys.vendor.BootMode
	}
	if same(sys.override(), o) {
		return Result{State: Complete}, nil
	}
	allowed := sys.Boot.AllowableBootSourceOverrideTargetValues
	if o.Target != "None" && len(allowed) > 0 && !slices.Contains(allowed, schemas.BootSource(o.Target)) {
		return Result{}, fault.New(fault.Unsupported, "%s does not boot %s; it boots %v", sys.path, o.Target, allowed)
	}
	// Not gofish's SetBoot: whatever the first answer is, it goes on to a second resource, and tells of that.
	_, err = c.PatchWithHeaders(sys.path, map[string]any{"Boot": o.fields(allowed)}, sys.Headers())
	if err != nil {
		return Result{}, explain(err, sys.path)
	}
	read, err := s.Override(ctx)
	if err != nil {
		return Result{}, err
	}
	if !same(read, o) {
		return Result{}, fault.New(fault.Transient, "%s took the boot target %s (%s) and reads %s (%s)", sys.path, o.Target, o.Enabled, read.Target, read.Enabled)
	}
	return Result{State: Complete}, nil
}

// fields are what is sent. To end an override the target is named too, where None is one: a BMC may want both.
func (o Override) fields(allowed []schemas.BootSource) map[string]any {
	if o.Target == "None" {
		fields := map[string]any{"BootSourceOverrideEnabled": "Disabled"}
		if len(allowed) == 0 || slices.Contains(allowed, schemas.NoneBootSource) {
			fields["BootSourceOverrideTarget"] = "None"
		}
		return fields
	}
	fields := map[string]any{"BootSourceOverrideTarget": o.Target, "BootSourceOverrideEnabled": o.Enabled}
	if o.Mode != "" {
		fields["BootSourceOverrideMode"] = o.Mode
	}
	return fields
}

// same reports whether two overrides do the same. One without a mode fits any.
func same(is, want Override) bool {
	if is.Target != want.Target {
		return false
	}
	return want.Target == "None" || is.Enabled == want.Enabled && (want.Mode == "" || is.Mode == want.Mode)
}
