package rack

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// networks lists the rack's layer-2 networks, one bridge each, in the order of a host's network cards.
func networks() []string { return []string{"ctlplane", "internalapi"} }

// cable builds the networks and connects every host to them: one network namespace per host holds its cards
// eth0 and eth1, down, as a server's cards are before an operating system runs.
func cable(ctx context.Context, hosts []*Host) error {
	var script strings.Builder
	for _, bridge := range networks() {
		fmt.Fprintf(&script, "link add %s type bridge\nlink set %s up\n", bridge, bridge)
	}
	fmt.Fprintf(&script, "address add %s/24 dev %s\n", Gateway, networks()[0])
	for i, h := range hosts {
		fmt.Fprintf(&script, "netns add %s\n", h.Name)
		for n, nic := range h.NICs {
			port := portName(i, n)
			fmt.Fprintf(&script, "link add %s type veth peer name eth%d address %s netns %s\n", port, n, nic.MAC, h.Name)
			fmt.Fprintf(&script, "link set %s master %s up\n", port, networks()[n])
		}
	}
	return ipBatch(ctx, script.String())
}

// portName is the bridge's end of the cable of card nic of host number host.
func portName(host, nic int) string { return "h" + strconv.Itoa(host) + "eth" + strconv.Itoa(nic) }

// resetCards makes a host's cards as they are before an operating system runs: the namespace outlives a boot, and what
// the system before it set would look to the next one like somebody else's work.
func resetCards(ctx context.Context, h *Host) error {
	var script strings.Builder
	for n := range h.NICs {
		fmt.Fprintf(&script, "address flush dev eth%d\nlink set eth%d down mtu 1500\n", n, n)
	}
	return ipBatch(ctx, script.String(), "-netns", h.Name)
}

// uncable removes what cable built. Namespaces and links that are gone already are not an error.
func uncable(ctx context.Context, hosts []*Host) error {
	var script strings.Builder
	for i, h := range hosts {
		for n := range h.NICs {
			// A namespace takes its cards along only some time after it is gone, too late for the next rack.
			fmt.Fprintf(&script, "link delete %s\n", portName(i, n))
		}
		fmt.Fprintf(&script, "netns delete %s\n", h.Name)
	}
	for _, bridge := range networks() {
		fmt.Fprintf(&script, "link delete %s\n", bridge)
	}
	return ipBatch(ctx, script.String(), "-force")
}

func ipBatch(ctx context.Context, script string, options ...string) error {
	cmd := exec.CommandContext(ctx, "ip", append(options, "-batch", "-")...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cabling: ip: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
