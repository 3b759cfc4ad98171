package inventory

import (
	"encoding/json"
	"net"
	"strconv"
)

// sshPort is where OpenSSH listens when nothing else is said.
const sshPort = "22"

// Targets returns where the hosts are reached, as host:port by name: what Ansible makes of the inventory's own variables.
// A host without an address is not in it, nor is one whose address or port Ansible would have to work out.
func (i Inventory) Targets() map[string]string {
	targets := map[string]string{}
	for _, h := range i.Hosts {
		host, port := text(i.variable(h, "ansible_host")), text(i.variable(h, "ansible_port"))
		if port == "" {
			port = sshPort
		}
		if _, err := strconv.ParseUint(port, 10, 16); host != "" && err == nil {
			targets[h.Name] = net.JoinHostPort(host, port)
		}
	}
	return targets
}

func (i Inventory) variable(h Host, name string) any {
	if value, ok := h.Vars[name]; ok {
		return value
	}
	return i.GroupVars[name]
}

// text is how a variable is spelled in the inventory.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}
