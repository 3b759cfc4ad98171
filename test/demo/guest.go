package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/rackplane/rackplane/test/guest"
)

const (
	// guestMode makes a virtual machine a compute: unlike the rack's containers it has a kernel of its own.
	guestMode = "guest"
	// guestName is its name, guestAddress its address on the rack's first network.
	guestName    = "server-0"
	guestAddress = "192.168.122.201/24"
)

// startGuest powers the virtual machine on.
func (d *demo) startGuest(ctx context.Context, public string) error {
	dir := filepath.Join(d.dir, "guest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	d.guest, err = guest.Start(ctx, guest.Config{
		Dir: dir, Name: guestName, Bridges: []string{"ctlplane", "internalapi"}, Address: netip.MustParsePrefix(guestAddress), AuthorizedKey: public,
		// A compute's daemons, and a server besides.
		MemoryMiB: 6144,
	})
	return err
}

// joinGuest orders the virtual machine, which somebody has installed from the node image, as a compute.
func (d *demo) joinGuest(ctx context.Context) error {
	d.say("\n== a virtual machine with a kernel of its own becomes a compute")
	if err := d.handOver(ctx); err != nil {
		return err
	}
	if err := d.guest.Await(ctx); err != nil {
		return err
	}
	d.watch.lap("the virtual machine (UEFI with Secure Boot, every instruction emulated) answers SSH")
	if err := d.applyTemplate(ctx, lab, "running"); err != nil {
		return err
	}
	return d.awaitComputes(ctx, "15 services run on it, joined")
}

// kernelDatapath proves that the server's card is one of the datapath in the node's kernel.
func (d *demo) kernelDatapath(ctx context.Context) error {
	d.say("\n== packets of the server go by the node's kernel")
	out, err := d.nodeSays(ctx, guestName, "uname -rv; lsmod | grep -w ^openvswitch; sudo ovs-appctl dpctl/show system@ovs-system; sudo ovs-appctl dpctl/dump-flows --names system@ovs-system | head -3")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		d.say("  %s", strings.TrimRight(line, "\n"))
	}
	for _, want := range []string{"openvswitch ", "system@ovs-system:", ": tap"} {
		if !strings.Contains(out, want) {
			return fmt.Errorf("node %s: its datapath shows no %q", guestName, want)
		}
	}
	return nil
}
