package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
)

// evidence logs in to every node with the pinned host key and shows what the services did there.
func evidence(ctx context.Context, w io.Writer, v report.View, key ssh.Signer) error {
	fmt.Fprintln(w, "seen on the nodes over SSH (host key pinned):")
	for i := range v.Nodes {
		n := &v.Nodes[i]
		address := ctlplane(n)
		out, err := execute(ctx, address, n.Status.SSHHostKey, key, strings.Join([]string{
			"hostname",
			"systemctl is-active chrony",
			"ip -4 -o addr show dev eth1 | awk '{print $4}'",
			"grep -c ssh-ed25519 /etc/ssh/ssh_known_hosts",
			"cat /var/lib/rackplane/network-hash",
		}, " && "))
		if err != nil {
			return fmt.Errorf("node %s, step evidence: %w", n.Name, err)
		}
		got := strings.Fields(out)
		want := []string{n.Spec.HostName, "active", addressOn(n, "internalapi"), fmt.Sprint(len(v.Nodes)), n.Status.NetworkHash}
		if len(got) != len(want) || !strings.HasPrefix(got[2], want[2]+"/") ||
			!slices.Equal(slices.Delete(slices.Clone(got), 2, 3), slices.Delete(slices.Clone(want), 2, 3)) {
			return fmt.Errorf("node %s, step evidence: saw %v, want %v", n.Name, got, want)
		}
		fmt.Fprintf(w, "  %s  chrony %s, internalapi %s, %s known hosts, network %s\n", got[0], got[1], got[2], got[3], got[4])
	}
	return nil
}

func ctlplane(n *v1alpha1.DataPlaneNode) string { return addressOn(n, v1alpha1.CtlplaneNetwork) }

func addressOn(n *v1alpha1.DataPlaneNode, network string) string {
	for _, a := range n.Spec.Networks {
		if a.Network == network {
			return a.Address
		}
	}
	return ""
}

// execute runs a command on a node that must answer with the host key.
func execute(ctx context.Context, address, hostKey string, key ssh.Signer, command string) (string, error) {
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey))
	if err != nil {
		return "", fmt.Errorf("the pinned host key: %w", err)
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(address, "22"))
	if err != nil {
		return "", err
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: v1alpha1.DefaultAnsibleUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(pinned), HostKeyAlgorithms: []string{pinned.Type()}, Timeout: 10 * time.Second,
	})
	if err != nil {
		return "", fmt.Errorf("SSH to %s: %w", address, err)
	}
	cl := ssh.NewClient(c, chans, reqs)
	defer cl.Close()
	session, err := cl.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
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
