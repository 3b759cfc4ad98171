package rack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/test/cgroup"
)

// seedPath is where cloud-init's ConfigDrive data source looks before it looks for a disk
// (cloud-init 25.1, sources/DataSourceConfigDrive.py).
const seedPath = "var/lib/cloud/seed/config_drive"

// container is an operating system that runs from a host's disk.
type container struct {
	host    *Host
	service *service
	group   cgroup.Group
	ended   chan struct{}
}

// exitReboot is how systemd-nspawn --keep-unit ends when the container asks for a reboot
// (systemd 252, nspawn.c, EXIT_FORCE_RESTART).
const exitReboot = 133

// bootDisk boots the system on a host's disk, with the config drive's contents in place.
// It returns errNoSystem when there is none.
func bootDisk(ctx context.Context, h *Host) (runner, error) {
	root := filepath.Join(h.dir, "root")
	if err := mountRoot(ctx, h.disk(), root); err != nil {
		return nil, err
	}
	c, err := startContainer(ctx, h, root)
	if err != nil {
		return nil, errors.Join(err, run(ctx, "umount", root))
	}
	return c, nil
}

func startContainer(ctx context.Context, h *Host, root string) (*container, error) {
	if err := plantSeed(h.seed(), filepath.Join(root, seedPath)); err != nil {
		return nil, err
	}
	if err := resetCards(ctx, h); err != nil {
		return nil, err
	}
	group, err := cgroup.New(h.Name)
	if err != nil {
		return nil, err
	}
	// The container keeps what a server's operating system has over its network: the right to configure its
	// cards and a writable /proc/sys/net. nspawn grants both only to namespaces it makes itself.
	// What the system writes to its console goes to the host's log file.
	service, err := startService(ctx, h.stateDir, program{
		name: h.Name,
		argv: []string{
			"systemd-nspawn", "--directory=" + root, "--machine=" + h.Name, "--boot", "--register=no", "--keep-unit",
			"--network-namespace-path=/run/netns/" + h.Name, "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
			// Open vSwitch's userspace datapath and virtual machines' cards are taps.
			"--bind=/dev/net/tun",
			"--kill-signal=SIGRTMIN+4", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
		},
		// systemd 257 refuses cgroup version 1, and systemd-nspawn 252 would offer it where the host still has it.
		env: []string{"SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"},
		in:  group,
	})
	if err != nil {
		return nil, err
	}
	c := &container{host: h, service: service, group: group, ended: make(chan struct{})}
	go c.release(context.WithoutCancel(ctx), root)
	return c, nil
}

// release waits for the end of the container, cuts off what is left of it, and unmounts its disk.
func (c *container) release(ctx context.Context, root string) {
	defer close(c.ended)
	<-c.service.done
	if err := c.group.Kill(); err != nil {
		c.host.log.Error("host not cut off", "host", c.host.Name, "error", err)
	}
	limit, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	for {
		err := syscall.Unmount(root, 0)
		if err == nil || errors.Is(err, syscall.EINVAL) {
			break
		}
		if waited := pause(limit, 50*time.Millisecond); waited != nil {
			c.host.log.Error("disk not released", "host", c.host.Name, "error", err)
			return
		}
	}
	_ = c.group.Remove() // what is left goes with the rack's own group
}

// shutdown asks the operating system to power off.
func (c *container) shutdown() { _ = c.service.cmd.Process.Signal(syscall.SIGTERM) }

// stop cuts the power and waits until the disk is free.
func (c *container) stop() {
	_ = c.group.Kill()
	<-c.ended
}

func (c *container) done() <-chan struct{} { return c.ended }
func (c *container) reboots() bool         { return c.service.cmd.ProcessState.ExitCode() == exitReboot }

// plantSeed replaces a system's cloud-init seed by a copy of from, or removes it when there is no from.
func plantSeed(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(to, 0o700); err != nil { // user data holds private host keys
		return fmt.Errorf("seed: %w", err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}

// pack writes an image to a disk file as raw data and gives the file the disk's size, in bytes.
func pack(ctx context.Context, image, format, disk string, size int64) error {
	cmd := exec.CommandContext(ctx, "qemu-img", "convert", "-f", format, "-O", "raw", "-t", "unsafe", image, disk)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write image: %w: %s", err, out)
	}
	info, err := os.Stat(disk)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if info.Size() > size {
		return fmt.Errorf("the image needs %d bytes, the disk has %d", info.Size(), size)
	}
	return os.Truncate(disk, size)
}
