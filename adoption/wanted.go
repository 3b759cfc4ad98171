package adoption

import (
	"slices"
	"strings"
	"time"
)

// Wanted is what a NodeSet wants of a node that already runs.
type Wanted struct {
	// HostName is the node's canonical name: host name and domain of the control-plane network.
	HostName string
	// Services are the types of the services that will run, in order.
	Services []string
	// Architecture as uname -m prints it; "" takes any.
	Architecture string
	// MinFreeGiB is the least free space; 0 takes what the services need by experience.
	MinFreeGiB int32
	// Addresses are those the node will have.
	Addresses []string
	// Encapsulation is the address of its tunnels; "" when it is not known.
	Encapsulation string
	// Southbound are the endpoints of OVN's southbound database, tcp:A:P or ssl:A:P; nil when they are not known.
	Southbound []string
	// BridgeMappings are physical-network:bridge; nil when they are not given.
	BridgeMappings []string
	// Transport are the host:port of Nova's message bus; nil when they are not known.
	Transport []string
	// KernelArguments are those that bootstrap adds.
	KernelArguments []string
	// Emulation means that a node without KVM may run virtual machines all the same.
	Emulation bool
	// Endpoints the node has to reach.
	Endpoints []Endpoint
	// Now is the engine's time when the facts were read.
	Now time.Time
}

// Endpoint is something the node's services connect to over TCP.
type Endpoint struct {
	// Name says whose it is, such as "Keystone".
	Name string
	// Address is host:port.
	Address string
	// Early means that it is needed before any service has changed the node's network.
	Early bool
}

// Question is what has to be asked of the node to decide.
func (w Wanted) Question() Question {
	q := Question{Connect: []string{}}
	for _, e := range w.Endpoints {
		q.Connect = append(q.Connect, e.Address)
	}
	slices.Sort(q.Connect)
	q.Connect = slices.Compact(q.Connect)
	return q
}

// Types of the services that the checks know (RHOSO 18's names; config/services).
const (
	serviceNetwork   = "configure-network"
	serviceConfigure = "configure-os"
	serviceOVN       = "ovn"
	serviceLibvirt   = "libvirt"
	serviceNova      = "nova"
)

func (w Wanted) has(service string) bool { return slices.Contains(w.Services, service) }

// reboots reports whether a service reboots the node when it needs that.
func (w Wanted) reboots() bool {
	return w.has("reboot-os") || w.has("reboot")
}

// minFree is in bytes: the base services put some hundred MiB on a disk, the packages of a compute about 2 GiB, and
// Nova's cache of images wants room too.
func (w Wanted) minFree() int64 {
	gib := int64(w.MinFreeGiB)
	switch {
	case gib > 0:
	case w.has(serviceNova), w.has(serviceLibvirt):
		gib = 10
	default:
		gib = 1
	}
	return gib << 30
}

// lacksAddresses are the wanted addresses that are not on the node.
func (w Wanted) lacksAddresses(f *Facts) []string {
	return slices.DeleteFunc(slices.Clone(w.Addresses), func(a string) bool { return slices.Contains(f.Addresses, a) })
}

// changesNetwork reports whether a service will give the node another network than it has.
func (w Wanted) changesNetwork(f *Facts) bool {
	return w.has(serviceNetwork) && len(w.lacksAddresses(f)) > 0
}

// short is a host name's first label.
func short(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return name
}
