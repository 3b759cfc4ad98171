package ipmi

import (
	"context"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/redfish"
)

func power(ctx context.Context, c *client.Client) (string, error) {
	status, err := c.GetChassisStatus(ctx)
	if err != nil {
		return "", err
	}
	if status.PowerIsOn {
		return "On", nil
	}
	return "Off", nil
}

// Power implements redfish.Power: On or Off.
func (s *Server) Power(ctx context.Context) (is string, err error) {
	err = s.with(ctx, func(ctx context.Context, c *client.Client) error {
		is, err = power(ctx, c)
		return err
	})
	return is, err
}

// control is what does an action. There is no power cycle among them: BMCs refuse it, or a server that was off stays off.
func control(a redfish.Action) chassis.ChassisControl {
	return map[redfish.Action]chassis.ChassisControl{
		redfish.On: chassis.ChassisControlPowerUp, redfish.Off: chassis.ChassisControlPowerDown,
		redfish.SoftOff: chassis.ChassisControlSoftShutdown, redfish.Restart: chassis.ChassisControlHardReset,
	}[a]
}

// SetPower implements redfish.Power. What is asked of a server that is off already, or on, is not sent: BMCs say that they
// have done it.
func (s *Server) SetPower(ctx context.Context, a redfish.Action) (r redfish.Result, err error) {
	want := "On"
	if a == redfish.Off || a == redfish.SoftOff {
		want = "Off"
	}
	err = s.with(ctx, func(ctx context.Context, c *client.Client) error {
		is, err := power(ctx, c)
		switch {
		case err != nil:
			return err
		case a == redfish.Restart && is != "On":
			r = redfish.Result{State: redfish.Blocked, Need: "the server is to be on, and is Off"}
			return nil
		case a != redfish.Restart && is == want:
			r = redfish.Result{State: redfish.Complete}
			return nil
		}
		if _, err = c.ChassisControl(ctx, control(a)); err != nil {
			return err
		}
		r = redfish.Result{State: redfish.Accepted}
		if is, err = power(ctx, c); err == nil && is == want {
			r.State = redfish.Complete
		}
		return nil
	})
	return r, err
}

// Follow implements redfish.Power: IPMI gives no receipts.
func (s *Server) Follow(context.Context, string) (redfish.Result, error) {
	return redfish.Result{}, fault.New(fault.Unsupported, "IPMI gives no receipt to follow")
}

// devices are the boot targets that IPMI has.
func devices() map[string]types.BootDeviceSelector {
	return map[string]types.BootDeviceSelector{
		"None": types.BootDeviceSelectorNoOverride, "Pxe": types.BootDeviceSelectorForcePXE, "Hdd": types.BootDeviceSelectorForceHardDrive,
		"Cd": types.BootDeviceSelectorForceCDROM, "BiosSetup": types.BootDeviceSelectorForceBIOSSetup,
	}
}

func bootFlags(ctx context.Context, c *client.Client) (flags types.BootOptionParam_BootFlags, err error) {
	err = c.GetSystemBootOptionsParamFor(ctx, &flags)
	return flags, err
}

func override(flags types.BootOptionParam_BootFlags) redfish.Override {
	o := redfish.Override{Target: "None", Enabled: "Disabled"}
	if !flags.BootFlagsValid {
		return o
	}
	for target, device := range devices() {
		if device == flags.BootDeviceSelector && target != "None" {
			o.Target, o.Enabled = target, "Once"
		}
	}
	if o.Target != "None" && flags.Persist {
		o.Enabled = "Continuous"
	}
	if o.Mode = "Legacy"; bool(flags.BIOSBootType) {
		o.Mode = "UEFI"
	}
	return o
}

// Override implements redfish.Boot.
func (s *Server) Override(ctx context.Context) (o redfish.Override, err error) {
	err = s.with(ctx, func(ctx context.Context, c *client.Client) error {
		flags, err := bootFlags(ctx, c)
		o = override(flags)
		return err
	})
	return o, err
}

// SetOverride implements redfish.Boot. The server must be off: on a running one some BMCs keep the old device until it was
// off and on. Only the device is read back: BMCs lose the rest and say that they took it, ipmi_sim even that the flags are
// valid.
func (s *Server) SetOverride(ctx context.Context, want redfish.Override) (r redfish.Result, err error) {
	device, ok := devices()[want.Target]
	if !ok {
		return r, fault.New(fault.Unsupported, "IPMI does not boot %s; it boots Pxe, Hdd, Cd and BiosSetup", want.Target)
	}
	err = s.with(ctx, func(ctx context.Context, c *client.Client) error {
		is, err := power(ctx, c)
		if err != nil {
			return err
		}
		if is != "Off" {
			r = redfish.Result{State: redfish.Blocked, Need: "the server is to be off, and is " + is}
			return nil
		}
		// Legacy is asked for by name: a server of today boots by UEFI.
		if err = c.SetBootDevice(ctx, device, types.BIOSBootType(want.Mode != "Legacy"), want.Enabled == "Continuous"); err != nil {
			return err
		}
		read, err := bootFlags(ctx, c)
		if err != nil {
			return err
		}
		if read.BootDeviceSelector != device {
			return fault.New(fault.Transient, "the BMC at %s took the boot target %s and reads another: %s", s.target.Endpoint, want.Target, read.BootDeviceSelector)
		}
		r = redfish.Result{State: redfish.Complete}
		return nil
	})
	return r, err
}

// KeepsOnce implements redfish.Boot. The standard gives a boot device that is not used within a minute back by itself.
func (s *Server) KeepsOnce(context.Context) (bool, error) { return false, nil }
