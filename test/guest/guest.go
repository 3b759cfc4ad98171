package guest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rackplane/rackplane/test/assets"
	"github.com/rackplane/rackplane/test/seed"
)

// Config describes a guest. The zero value of an optional field means its default.
type Config struct {
	// Dir keeps the guest's disk and its console's log. It must exist and be empty.
	Dir string
	// Name is the host name, at most ten characters; it must be unique among the guests of a network namespace.
	Name string
	// Bridges get one network card each, in this order.
	Bridges []string
	// Address is an IPv4 address and its network, on the first card.
	Address netip.Prefix
	// User may log in with AuthorizedKey and become root; cloud-admin by default.
	User string
	// AuthorizedKey is a public SSH key in authorized_keys format.
	AuthorizedKey string
	// CPUs are two by default, MemoryMiB 3072, DiskGiB 20. The disk takes only what is written to it.
	CPUs, MemoryMiB, DiskGiB int
	// Assets say where the image is kept.
	Assets assets.Tree
}

// Guest is a running virtual machine.
type Guest struct {
	Address netip.Addr
	HostKey string   // public SSH key, in authorized_keys format
	MACs    []string // of the network cards, in the order of Config.Bridges
	Cards   []string // their names in the guest, in the same order

	name string
	dir  string
	taps []string
	qemu *exec.Cmd
	done chan struct{} // closed once QEMU has ended
}

// Firmware of Debian's package ovmf: the code with Secure Boot enforced, and variables with Microsoft's keys enrolled,
// as servers are sold with.
const (
	firmwareCode      = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	firmwareVariables = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
)

// firstSlot is the PCI slot of the first network card; udev names cards by their slots (systemd.net-naming-scheme(7)).
const firstSlot = 16

// Prepare installs QEMU and its firmware and builds the image, which takes about five minutes once. It says on standard
// error what it does, and does nothing that is done already. Call it before rack.Isolate, for it may need the network.
func Prepare(ctx context.Context, cfg Config) error {
	if _, err := cfg.Assets.Build(ctx, "deps.sh", "rack", "guest"); err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	if _, err := cfg.Assets.Build(ctx, "rack/image.sh", "compute"); err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	return nil
}

// Start boots a guest and returns at once; Await waits for it. On error nothing of the guest is left but its directory.
func Start(ctx context.Context, cfg Config) (*Guest, error) {
	g := &Guest{Address: cfg.Address.Addr(), name: cfg.Name, dir: cfg.Dir, done: make(chan struct{})}
	for i := range cfg.Bridges {
		g.MACs = append(g.MACs, fmt.Sprintf("52:54:01:%02x:%02x:%02x", cfg.Address.Addr().As4()[2], cfg.Address.Addr().As4()[3], i))
		g.Cards = append(g.Cards, fmt.Sprintf("enp0s%d", firstSlot+i))
	}
	err := g.furnish(ctx, cfg)
	if err == nil {
		err = g.cable(ctx, cfg.Bridges)
	}
	if err == nil {
		err = g.boot(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("guest %s: %w", cfg.Name, err), g.Stop(ctx))
	}
	return g, nil
}

func (g *Guest) path(name string) string { return filepath.Join(g.dir, name) }

// furnish makes the guest's disks: one over the image, one with its seed, and the firmware's variables.
func (g *Guest) furnish(ctx context.Context, cfg Config) error {
	image, err := cfg.Assets.Find(ctx, "rack/image.sh", "compute")
	if err != nil {
		return err
	}
	g.HostKey, err = seed.Write(g.path("seed"), seed.Host{
		Name: g.name, UUID: g.uuid(), MAC: g.MACs[0], Address: cfg.Address, User: cfg.User, AuthorizedKey: cfg.AuthorizedKey,
	})
	if err != nil {
		return err
	}
	if err := run(ctx, "", "cp", firmwareVariables, g.path("variables.fd")); err != nil {
		return err
	}
	if err := run(ctx, "", "xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "config-2", "-o", g.path("seed.iso"), g.path("seed")); err != nil {
		return err
	}
	return run(ctx, "", "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", filepath.Join(image, "edpm.qcow2"), g.path("disk.qcow2"),
		strconv.Itoa(cmp.Or(cfg.DiskGiB, 20))+"G")
}

// uuid is the system UUID in the guest's firmware tables, derived from its first card's address.
func (g *Guest) uuid() string {
	return "67756573-0000-4000-8000-" + strings.ReplaceAll(g.MACs[0], ":", "")
}

// cable makes one tap per network card and connects it to its bridge.
func (g *Guest) cable(ctx context.Context, bridges []string) error {
	var script strings.Builder
	for i, bridge := range bridges {
		tap := g.name + "-" + strconv.Itoa(i)
		g.taps = append(g.taps, tap)
		fmt.Fprintf(&script, "tuntap add %[1]s mode tap\nlink set %[1]s master %[2]s up\n", tap, bridge)
	}
	return run(ctx, script.String(), "ip", "-batch", "-")
}

func (g *Guest) boot(ctx context.Context, cfg Config) error {
	log, err := os.Create(g.path("qemu.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	g.qemu = exec.CommandContext(context.WithoutCancel(ctx), "qemu-system-x86_64", g.arguments(cfg)...)
	g.qemu.Stdout, g.qemu.Stderr = log, log
	if err := g.qemu.Start(); err != nil {
		return err
	}
	go func() {
		_ = g.qemu.Wait()
		close(g.done)
	}()
	return nil
}

// arguments describe the machine to QEMU. Emulation is asked for by name: /dev/kvm may exist and not work.
func (g *Guest) arguments(cfg Config) []string {
	args := []string{
		"-name", g.name, "-uuid", g.uuid(), "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
		"-machine", "q35,smm=on", "-accel", "tcg,thread=multi", "-cpu", "qemu64,-svm",
		"-smp", strconv.Itoa(cmp.Or(cfg.CPUs, 2)), "-m", strconv.Itoa(cmp.Or(cfg.MemoryMiB, 3072)),
		"-global", "driver=cfi.pflash01,property=secure,value=on",
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + firmwareCode,
		"-drive", "if=pflash,unit=1,format=raw,file=" + g.path("variables.fd"),
		"-drive", "if=virtio,format=qcow2,cache=unsafe,file=" + g.path("disk.qcow2"),
		"-drive", "if=virtio,format=raw,readonly=on,file=" + g.path("seed.iso"),
		"-serial", "file:" + g.path("console.log"), "-device", "virtio-rng-pci",
	}
	for i, tap := range g.taps {
		args = append(args,
			"-netdev", fmt.Sprintf("tap,id=card%d,ifname=%s,script=no,downscript=no", i, tap),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=card%d,mac=%s,addr=%#x", i, g.MACs[i], firstSlot+i))
	}
	return args
}

// Await waits until the guest's SSH server greets. Its error ends with what the console said last.
func (g *Guest) Await(ctx context.Context) error {
	address := net.JoinHostPort(g.Address.String(), "22")
	for {
		err := greets(ctx, address)
		if err == nil {
			return nil
		}
		select {
		case <-g.done:
			log, _ := os.ReadFile(g.path("qemu.log"))
			return fmt.Errorf("guest %s: QEMU has ended: %s", g.name, bytes.TrimSpace(log))
		case <-ctx.Done():
			return fmt.Errorf("guest %s: %w: %w; its console ends with:\n%s", g.name, ctx.Err(), err, g.Console())
		case <-time.After(time.Second):
		}
	}
}

// greets checks that an SSH server sends its greeting, which it does only when it works.
func greets(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "SSH-") {
		return fmt.Errorf("%s greets with %q", address, line)
	}
	return err
}

// Console is the last part of what the guest wrote to its serial console.
func (g *Guest) Console() string {
	text, _ := os.ReadFile(g.path("console.log"))
	return string(text[max(0, len(text)-4000):])
}

// Stop cuts the guest's power and removes its cables. Its directory stays.
func (g *Guest) Stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if g.qemu != nil && g.qemu.Process != nil {
		_ = g.qemu.Process.Kill()
		<-g.done
	}
	var problems []error
	for _, tap := range g.taps {
		problems = append(problems, run(ctx, "", "ip", "link", "delete", tap))
	}
	g.taps = nil
	return errors.Join(problems...)
}

// run executes a command on an input to its end. Its error carries what the command wrote.
func run(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
