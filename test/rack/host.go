package rack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rackplane/rackplane/test/rack/agent"
)

// NIC is a network card, connected to the ctlplane network when it is the first of its host,
// to the internalapi network when it is the second.
type NIC struct {
	MAC       string
	SpeedGbps int
}

// Host is one simulated server. Its exported fields are what an owner of the real server would know;
// they do not change while the rack runs.
type Host struct {
	Name        string
	UUID        string
	BMCAddress  string // as Metal3 writes it; empty for a pre-provisioned host
	BMCUsername string
	BMCPassword string
	BootMAC     string
	NICs        []NIC
	CPUs        int
	MemoryGiB   int
	DiskGiB     int
	Address     netip.Addr // of a pre-provisioned host
	HostKey     string     // public SSH key of a pre-provisioned host, in authorized_keys format

	stateDir string // of the rack
	dir      string // of the host
	scratch  string
	bmc      *bmcs
	log      *slog.Logger
	changes  chan change
	state    hostState
}

// runner is what a powered host runs.
type runner interface {
	shutdown()             // asks it to end
	stop()                 // cuts its power and waits
	done() <-chan struct{} // closed once it has ended, for whatever reason
	reboots() bool         // whether it has ended to be started again; valid once done
}

// hostState is what the host's own goroutine knows.
type hostState struct {
	power   powerState
	running runner // nil when powered off or when there was nothing to boot
	media   bool   // the boot order has virtual media first
	pending bool   // a power change has been ordered and waits for the BMC
}

func (h *Host) disk() string { return filepath.Join(h.dir, "disk.raw") }
func (h *Host) seed() string { return filepath.Join(h.dir, "seed") }

// live is the host's power circuit: it follows what the BMC reports until ctx ends, and then cuts the power.
func (h *Host) live(ctx context.Context) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		var ended <-chan struct{}
		if h.state.running != nil {
			ended = h.state.running.done()
		}
		select {
		case <-ctx.Done():
			h.cut()
			return
		case c := <-h.changes:
			h.follow(ctx, c)
		case <-ended:
			h.ended(ctx)
		case <-ticker.C:
			h.hurry(ctx)
		}
	}
}

// follow does what a server does on a change of its power state.
func (h *Host) follow(ctx context.Context, c change) {
	h.state.pending, h.state.media = c.Pending != nil, c.bootsMedia()
	switch {
	case c.Power == powerOff && h.state.power != powerOff:
		h.log.Info("host powers off", "host", h.Name)
		h.state.power = powerOff
		h.cut()
	case c.Power == powerOn && h.state.power != powerOn:
		h.log.Info("host powers on", "host", h.Name, "boot", c.BootDevice)
		h.state.power = powerOn
		h.boot(ctx)
	case c.pendingOff() && h.state.running != nil:
		// The fake driver tells a graceful shutdown from a forced one no more than this, so the
		// operating system gets the seconds until the power is really cut.
		h.state.running.shutdown()
	}
}

// hurry makes a due power change happen even when nobody asks the BMC.
func (h *Host) hurry(ctx context.Context) {
	if !h.state.pending {
		return
	}
	if err := h.bmc.poke(ctx, h.UUID); err != nil && ctx.Err() == nil {
		h.log.Debug("BMC does not answer its hardware", "host", h.Name, "error", err)
	}
}

// ended handles a system that has ended by itself. It reboots when it asked for that; else the machine
// switches off, as it would on ACPI S5.
func (h *Host) ended(ctx context.Context) {
	again := h.state.running.reboots()
	h.state.running = nil
	switch {
	case h.state.pending:
	case again:
		h.log.Info("host reboots", "host", h.Name)
		h.boot(ctx)
	case h.bmc != nil:
		h.log.Info("host switches itself off", "host", h.Name)
		if err := h.bmc.off(ctx, h.UUID); err != nil {
			h.log.Error("BMC does not answer its hardware", "host", h.Name, "error", err)
		}
	}
}

// cut ends what runs, at once.
func (h *Host) cut() {
	if h.state.running != nil {
		h.state.running.stop()
		h.state.running = nil
	}
}

// boot starts what the firmware finds. A machine that finds nothing, or fails to start it, just stays on.
func (h *Host) boot(ctx context.Context) {
	found, err := h.firmware(ctx)
	switch {
	case errors.Is(err, errNoSystem):
		h.log.Info("host finds nothing to boot", "host", h.Name)
	case err != nil:
		h.log.Error("host does not boot", "host", h.Name, "error", err)
	default:
		h.state.running = found
	}
}

// firmware starts the agent from inserted virtual media when the boot order has media first, else the system on the disk.
func (h *Host) firmware(ctx context.Context) (runner, error) {
	if h.state.media {
		source, err := h.bmc.media(ctx, h.UUID)
		if err != nil {
			return nil, err
		}
		if source != "" {
			return h.bootMedia(ctx, source)
		}
	}
	h.log.Info("host boots from its disk", "host", h.Name)
	return bootDisk(ctx, h)
}

// ramdisk is a running agent.
type ramdisk struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func (r *ramdisk) shutdown()             {}
func (r *ramdisk) done() <-chan struct{} { return r.ended }
func (r *ramdisk) reboots() bool         { return false }

func (r *ramdisk) stop() {
	r.cancel()
	<-r.ended
}

// bootMedia starts the agent with the parameters that the boot media carry.
func (h *Host) bootMedia(ctx context.Context, source string) (runner, error) {
	cmdline, err := kernelCommandLine(ctx, source, h.scratch)
	if err != nil {
		return nil, err
	}
	params, err := agent.ParseParams(cmdline)
	if err != nil {
		return nil, fmt.Errorf("boot media %s: %w", source, err)
	}
	h.log.Info("host boots the agent from virtual media", "host", h.Name, "inspection", params.InspectionURL != "")
	boot, cancel := context.WithCancel(ctx)
	r := &ramdisk{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		err := agent.Run(boot, agent.Config{
			Params: params, Machine: h, Listen: "127.0.0.1", Scratch: h.scratch, Log: h.log.With("host", h.Name),
		})
		if boot.Err() == nil {
			h.log.Error("agent ended", "host", h.Name, "error", err)
			<-boot.Done() // a ramdisk whose agent died stays powered on
		}
	}()
	return r, nil
}

// WriteImage implements agent.Machine.
func (h *Host) WriteImage(ctx context.Context, file, format string) error {
	if err := os.RemoveAll(h.seed()); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return pack(ctx, file, format, h.disk(), int64(h.DiskGiB)<<30)
}

// WriteConfigDrive implements agent.Machine.
func (h *Host) WriteConfigDrive(ctx context.Context, iso []byte) error {
	if err := os.RemoveAll(h.seed()); err != nil {
		return fmt.Errorf("config drive: %w", err)
	}
	if len(iso) == 0 {
		return nil
	}
	file := filepath.Join(h.dir, "config-drive.iso")
	if err := os.WriteFile(file, iso, 0o600); err != nil {
		return fmt.Errorf("config drive: %w", err)
	}
	return extractISO(ctx, file, h.seed())
}

// Erase implements agent.Machine.
func (h *Host) Erase(context.Context) error {
	return errors.Join(eraseTables(h.disk()), os.RemoveAll(h.seed()))
}

// PowerOff implements agent.Machine.
func (h *Host) PowerOff(ctx context.Context) error { return h.bmc.off(ctx, h.UUID) }

// Inventory implements agent.Machine.
func (h *Host) Inventory() agent.Inventory {
	inventory := agent.Inventory{
		Hostname:     h.Name,
		BMCAddress:   "127.0.0.1",
		BMCV6Address: "::",
		CPU: agent.CPU{
			ModelName: "Simulated CPU", Frequency: "2600.0000", Count: h.CPUs, Architecture: "x86_64",
			Flags: []string{"vmx", "aes", "sse4_2"}, SocketCount: 1,
		},
		Memory: agent.Memory{Total: int64(h.MemoryGiB) << 30, Physical: h.MemoryGiB << 10},
		Disks: []agent.Disk{{
			Name: "/dev/sda", Model: "Simulated disk", Size: int64(h.DiskGiB) << 30, Vendor: "Rackplane",
			WWN: "0x5000" + h.UUID[len(h.UUID)-12:], Serial: h.UUID, HCTL: "0:0:0:0",
			ByPath: "/dev/disk/by-path/pci-0000:00:05.0-scsi-0:0:0:0",
		}},
		Vendor: agent.Vendor{
			ProductName: "Simulated server", SerialNumber: h.UUID, Manufacturer: "Rackplane",
			Firmware: agent.Firmware{Vendor: "Rackplane", Version: "1.0", BuildDate: "01/01/2025"},
		},
		Boot: agent.Boot{CurrentBootMode: "uefi", PXEInterface: h.BootMAC},
	}
	for i, nic := range h.NICs {
		inventory.Interfaces = append(inventory.Interfaces, agent.Interface{
			Name: fmt.Sprint("eth", i), MACAddress: nic.MAC, HasCarrier: true, Vendor: "0x1af4", Product: "0x0001",
			SpeedMbps: nic.SpeedGbps * 1000, PCIAddress: fmt.Sprintf("0000:00:%02x.0", i+3), Driver: "veth",
		})
	}
	return inventory
}
