package inventory

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/network"
)

// KnownHost is one public host key of a node.
type KnownHost struct {
	// Node is the DataPlaneNode's name: what the engine's own connections look the key up under, and nothing else is.
	Node string
	// Names other nodes know it by, sorted: its host name, canonical host name and allocated addresses, without any that
	// another node has too. No name that a node or its ansibleHost chose is among them.
	Names []string
	// Key as "type base64".
	Key string
}

// hostKey is a public host key as the playbooks take it, with or without a comment.
var hostKey = regexp.MustCompile(`^\s*((?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]+={0,2})(\s.*)?$`)

// KnownHosts lists the host keys of nodes, sorted. Give it the nodes of all NodeSets of the namespace.
func KnownHosts(site network.Site, nodes []Node) []KnownHost {
	names := make([][]string, len(nodes))
	bearers := map[string]int{}
	for i := range nodes {
		names[i] = namesOf(site, &nodes[i])
		for _, name := range names[i] {
			bearers[name]++
		}
	}
	var all []KnownHost
	for i := range nodes {
		own := slices.DeleteFunc(names[i], func(name string) bool { return bearers[name] > 1 })
		for _, key := range nodes[i].HostKeys {
			if match := hostKey.FindStringSubmatch(key); match != nil {
				all = append(all, KnownHost{Node: nodes[i].Name, Names: own, Key: match[1]})
			}
		}
	}
	slices.SortFunc(all, func(a, b KnownHost) int {
		if c := strings.Compare(a.Node, b.Node); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return all
}

// namesOf are the names that were decided for a node, as OpenSSH looks them up: addresses in their shortest form.
func namesOf(site network.Site, n *Node) []string {
	var names []string
	for _, name := range []string{n.HostName, site.CanonicalName(n.HostName, n.Addresses)} {
		if network.CheckName(name) == nil {
			names = append(names, name)
		}
	}
	for _, held := range n.Addresses {
		if address, err := netip.ParseAddr(held.Address); err == nil {
			names = append(names, address.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// KnownHostsFile is the hosts as an OpenSSH known_hosts file (sshd(8)), each under its node's name alone: connections are
// made with that name as HostKeyAlias. So no address, port or name that somebody chose decides whose key is trusted, and
// a changed key is told as changed on any port.
func KnownHostsFile(hosts []KnownHost) []byte {
	var b strings.Builder
	for _, h := range hosts {
		b.WriteString(h.Node + " " + h.Key + "\n")
	}
	return []byte(b.String())
}

// knownHostsVar is the group's variable that spreads host keys, noHosts its line in the text of an inventory without any. No other
// line is like it: only groups' variables and hosts' names stand that far to the left, and no host's name has an underscore.
const (
	knownHostsVar = "edpm_known_hosts"
	noHosts       = "\n    " + knownHostsVar + ": []\n"
)

// Spreads reports whether a service may read host keys in the inventory.
func (i Inventory) Spreads() bool {
	_, spreads := i.GroupVars[knownHostsVar]
	return spreads
}

// WithoutKnownHosts returns the inventory without the host keys that it spreads. AddKnownHosts puts them back into its text.
func (i Inventory) WithoutKnownHosts() Inventory {
	if i.Spreads() {
		i.GroupVars = maps.Clone(i.GroupVars)
		i.GroupVars[knownHostsVar] = []any{}
	}
	return i
}

// AddKnownHosts returns the text of an inventory that was written without host keys with those of the hosts, if it spreads any.
func AddKnownHosts(text []byte, hosts []KnownHost) ([]byte, error) {
	before, after, spreads := bytes.Cut(text, []byte(noHosts))
	keys := knownHosts(hosts)
	if !spreads || len(keys) == 0 {
		return text, nil
	}
	var w writer
	w.out.Write(before)
	w.out.WriteString("\n    " + knownHostsVar + ":")
	if err := w.value(keys, "      ", "\n      "); err != nil {
		return nil, fmt.Errorf("inventory: %s: %w", knownHostsVar, err)
	}
	w.out.WriteByte('\n')
	w.out.Write(after)
	return w.out.Bytes(), nil
}
