package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
	"github.com/rackplane/rackplane/test/login"
)

// check is one thing a service must have done on a node.
type check struct {
	what, command string
	// want of the command's output; nil only shows it.
	want func(got string) bool
}

func checks(n *v1alpha1.DataPlaneNode, nodes int) []check {
	is := func(want string) func(string) bool { return func(got string) bool { return got == want } }
	return []check{
		{"hostname", "hostname", is(n.Spec.HostName)},
		// Enabled, not active: a container may not set the clock, so chronyd does not start in one.
		{"chrony", "dpkg-query -W -f '${Version} ' chrony && systemctl is-enabled chrony", func(got string) bool { return strings.HasSuffix(got, " enabled") }},
		{"internalapi", "ip -4 -o addr show dev eth1 | awk '{print $4}'", is(addressOn(n, "internalapi") + "/24")},
		{"firewall rules", "sudo nft list table inet edpm | grep -c accept", func(got string) bool { return got != "0" }},
		{"known hosts", "grep -c ssh-ed25519 /etc/ssh/ssh_known_hosts", is(strconv.Itoa(nodes))},
		{"network", "cat /var/lib/rackplane/network-hash", is(n.Spec.NetworkHash)},
	}
}

// evidence logs in to every node with the pinned host key and shows what the services did there.
func evidence(ctx context.Context, w io.Writer, v report.View, key ssh.Signer) error {
	fmt.Fprintln(w, "seen on the nodes over SSH (host key pinned):")
	for i := range v.Nodes {
		n := &v.Nodes[i]
		var seen []string
		for _, c := range checks(n, len(v.Nodes)) {
			out, err := into(v, n, key).Run(ctx, c.command)
			if err != nil || !c.want(out) {
				return errors.Join(fmt.Errorf("node %s, step evidence: %s is %q", n.Name, c.what, out), err)
			}
			seen = append(seen, c.what+" "+out)
		}
		fmt.Fprintf(w, "  %s: %s\n", n.Name, strings.Join(seen[1:], ", "))
	}
	return nil
}

// hostKey is the key the node must answer with: the one made for it, or the one the user pinned.
func hostKey(v report.View, n *v1alpha1.DataPlaneNode) string {
	if n.Status.SSHHostKey != "" {
		return n.Status.SSHHostKey
	}
	for i := range v.NodeSets {
		if keys := v.NodeSets[i].Spec.Nodes[n.Name].SSHHostKeys; len(keys) > 0 {
			return keys[0]
		}
	}
	return ""
}

func ctlplane(n *v1alpha1.DataPlaneNode) string { return n.Status.Address }

func addressOn(n *v1alpha1.DataPlaneNode, network string) string {
	for _, a := range n.Spec.Networks {
		if a.Network == network {
			return a.Address
		}
	}
	return ""
}

// into is the way into a node, which must answer with its host key.
func into(v report.View, n *v1alpha1.DataPlaneNode, key ssh.Signer) login.Login {
	return login.Login{Address: ctlplane(n), Key: key, HostKey: hostKey(v, n)}
}

// ran lists, per node, the services whose last result is newer than before: what an act really ran where.
func ran(before, after report.View) map[string][]string {
	old := map[string]time.Time{}
	for i := range before.Nodes {
		for _, r := range before.Nodes[i].Status.Services {
			old[before.Nodes[i].Name+"/"+r.Name] = r.FinishedAt.Time
		}
	}
	out := map[string][]string{}
	for i := range after.Nodes {
		for _, r := range after.Nodes[i].Status.Services {
			if !r.FinishedAt.Time.Equal(old[after.Nodes[i].Name+"/"+r.Name]) {
				out[after.Nodes[i].Name] = append(out[after.Nodes[i].Name], r.Name)
			}
		}
	}
	return out
}

// released checks that exactly one host went back: no claim, powered off, its image gone; and returns its name.
func released(before, after report.View) (string, error) {
	holds := func(v report.View) map[string]*metal3v1alpha1.BareMetalHost {
		m := map[string]*metal3v1alpha1.BareMetalHost{}
		for i := range v.Hosts {
			if v.Hosts[i].Spec.ConsumerRef != nil {
				m[v.Hosts[i].Name] = &v.Hosts[i]
			}
		}
		return m
	}
	was, is := holds(before), holds(after)
	var freed []string
	for name := range was {
		if is[name] == nil {
			freed = append(freed, name)
		}
	}
	if len(freed) != 1 || len(is) != len(was)-1 {
		return "", fmt.Errorf("released hosts %v, want exactly one of %d", freed, len(was))
	}
	i := slices.IndexFunc(after.Hosts, func(h metal3v1alpha1.BareMetalHost) bool { return h.Name == freed[0] })
	h := &after.Hosts[i]
	if h.Status.PoweredOn || h.Spec.Image != nil || h.Status.Provisioning.State != metal3v1alpha1.StateAvailable {
		return "", fmt.Errorf("host %s was released but is powered on: %v, image: %v, state: %s", h.Name, h.Status.PoweredOn, h.Spec.Image, h.Status.Provisioning.State)
	}
	return freed[0], nil
}
