package adoption

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Facts are what was read on a node, in the form the script of remote/ssh prints. Lists are in no particular order.
type Facts struct {
	OS         OS          `json:"os"`
	Kernel     Kernel      `json:"kernel"`
	Packages   []Package   `json:"packages"`
	Units      []Unit      `json:"units"`
	Guests     []Guest     `json:"guests"`
	OVS        OVS         `json:"ovs"`
	OVN        OVN         `json:"ovn"`
	Containers []Container `json:"containers"`
	Clock      Clock       `json:"clock"`
	Disks      []Disk      `json:"disks"`
	// Endpoints answers Question.Connect: what went wrong by address, "" for one that was reached.
	Endpoints map[string]string `json:"endpoints"`
	Identity  Identity          `json:"identity"`
	// Addresses are the IP addresses on the node's interfaces.
	Addresses []string `json:"addresses"`
	// Record are the names that the service bootstrap has given the node in its part of /etc/hosts, which is the first
	// thing it writes; empty where it never ran.
	Record []string `json:"record"`
	// Unread says why something could not be looked at.
	Unread map[v1alpha1.AdoptionFinding]string `json:"unread"`
}

// OS is os-release(5): ID, ID_LIKE, VERSION_ID and PRETTY_NAME.
type OS struct {
	ID      string   `json:"id"`
	Like    []string `json:"like"`
	Version string   `json:"version"`
	Name    string   `json:"name"`
}

// Kernel is the one that runs and those that are installed.
type Kernel struct {
	Running      string   `json:"running"`
	Installed    []string `json:"installed"`
	Architecture string   `json:"architecture"`
	Arguments    []string `json:"arguments"`
	// KVM means that /dev/kvm is there.
	KVM bool `json:"kvm"`
}

// Package is an installed package. State is "installed", or what dpkg calls one that is not whole.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
}

// Unit is a service of systemd that is loaded or installed.
type Unit struct {
	Name string `json:"name"`
	// Active is ActiveState, Enabled the unit file's state; "" when there is none.
	Active  string `json:"active"`
	Enabled string `json:"enabled"`
}

// Guest is a running virtual machine. Name is libvirt's, or the process's.
type Guest struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
}

// OVS is Open vSwitch's database as it is served; zero when it is not.
type OVS struct {
	Running     bool              `json:"running"`
	ExternalIDs map[string]string `json:"externalIDs"`
	Managers    []string          `json:"managers"`
	Bridges     []Bridge          `json:"bridges"`
}

// Bridge is a bridge of Open vSwitch with the OpenFlow controllers that drive it.
type Bridge struct {
	Name        string   `json:"name"`
	Controllers []string `json:"controllers"`
}

// OVN is ovn-controller. Connection is what it says of its southbound database; "" when it does not run.
type OVN struct {
	Running    bool   `json:"running"`
	Connection string `json:"connection"`
}

// Container is one of podman's or docker's, running or not.
type Container struct {
	Name    string `json:"name"`
	Runtime string `json:"runtime"`
	Running bool   `json:"running"`
}

// Clock is the node's. Synchronised is nil where the kernel was not asked.
type Clock struct {
	// Unix is the node's time in milliseconds since 1970.
	Unix         int64 `json:"unix"`
	Synchronised *bool `json:"synchronised"`
}

// Disk is the file system that holds a path.
type Disk struct {
	Path      string `json:"path"`
	Device    int64  `json:"device"`
	FreeBytes int64  `json:"freeBytes"`
	ReadOnly  bool   `json:"readOnly"`
}

// Identity is what the node calls itself, and what its configuration of Nova does.
type Identity struct {
	// HostName is hostname(1), FQDN "hostname -f".
	HostName  string `json:"hostName"`
	FQDN      string `json:"fqdn"`
	MachineID string `json:"machineID"`
	// SystemID is /etc/openvswitch/system-id.conf, which names the chassis at Open vSwitch's next start.
	SystemID string `json:"systemID"`
	// NovaHost is [DEFAULT] host of an existing nova.conf, Transport the host:port of its transport_url.
	NovaHost  string   `json:"novaHost"`
	Transport []string `json:"transport"`
}

// Question is what a node is asked beyond what it always tells.
type Question struct {
	// Connect are host:port to open a TCP connection to, and close it.
	Connect []string `json:"connect"`
}

// maxItems bounds every list of the facts: a node that has more of anything is no node.
const maxItems = 20000

// Parse reads facts from what a node printed. Anything but one document of the right form is an error.
func Parse(data []byte) (Facts, error) {
	var f Facts
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Facts{}, fmt.Errorf("not the facts that were asked for: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Facts{}, errors.New("more follows after the facts")
	}
	if n := max(len(f.Packages), len(f.Units), len(f.Guests), len(f.Containers), len(f.Disks), len(f.OVS.Bridges),
		len(f.Endpoints), len(f.Addresses), len(f.Kernel.Installed)); n > maxItems {
		return Facts{}, fmt.Errorf("%d entries in one list", n)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Unread)) {
		if rank(name) < 0 {
			return Facts{}, fmt.Errorf("unread names %q, which is no finding", Plain(string(name)))
		}
	}
	if f.OS.ID == "" || f.Kernel.Running == "" || f.Identity.HostName == "" || f.Clock.Unix <= 0 {
		return Facts{}, errors.New("the facts tell no operating system, kernel, host name or time")
	}
	return f, nil
}
