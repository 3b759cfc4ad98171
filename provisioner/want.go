package provisioner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/secret"
)

// HostID names a BareMetalHost. The UID is part of it because names are reused.
type HostID struct {
	Namespace, Name string
	UID             types.UID
}

// String is namespace/name.
func (h HostID) String() string { return h.Namespace + "/" + h.Name }

// Image is what to write to a server's disk, in BareMetalHost's terms. Comparable.
type Image struct {
	// URL of the image.
	URL string `json:"url"`
	// Checksum is the checksum itself or the URL of a checksum file.
	Checksum string `json:"checksum,omitempty"`
	// ChecksumType is md5, sha256 or sha512; empty lets the service tell from the checksum.
	ChecksumType string `json:"checksumType,omitempty"`
	// Format is raw, qcow2, vdi, vmdk; empty lets the service find out.
	Format string `json:"format,omitempty"`
}

// ConfigDrive is what the server's first boot reads.
type ConfigDrive struct {
	// MetaData is YAML or JSON added to openstack/latest/meta_data.json; empty means none.
	MetaData secret.Value
	// UserData goes to openstack/latest/user_data, verbatim; empty means none.
	UserData secret.Value
	// NetworkData is openstack/latest/network_data.json as JSON or YAML; empty means none.
	NetworkData secret.Value
}

// Want is what one BareMetalHost asks for. Only what concerns the server: who may use it is not in here.
type Want struct {
	Host HostID
	BMC  bmc.Access
	// BootMAC of the port the server boots from; empty when the BMC boots it without a network.
	BootMAC string
	// BootMode is never empty.
	BootMode metal3v1alpha1.BootMode
	// Architecture such as x86_64; empty when not known yet.
	Architecture string
	// RootDevice says which disk gets the image; nil lets the service choose.
	RootDevice *metal3v1alpha1.RootDeviceHints
	// SkipInspection leaves the hardware unknown; SkipCleaning leaves the disks as they are after use.
	SkipInspection, SkipCleaning bool
	// DisablePowerOff forbids every power off.
	DisablePowerOff bool
	// Hard: a power off is a cut; otherwise the system is asked to shut down first.
	Hard bool
	// Fence names what keeps the server off although its user wants it on; empty when nothing does.
	Fence string
	// Reinspect: the hardware is to be found out anew, unless that was done after the time of the last inspection, Known.
	Reinspect bool
	Known     time.Time
	// RamdiskNetwork is the network data of the deploy agent as JSON or YAML; empty leaves it to DHCP.
	RamdiskNetwork secret.Value
	// Online is the wanted power state. A server that is not wanted on is not imaged either (Metal3's rule).
	Online bool
	// External leaves the server's disk to someone else: it is only registered and powered.
	External bool
	// Image is nil when none is wanted.
	Image *Image
	// Installed is the image last seen on the disk; nil when none was. It keeps a running server from being wiped when
	// the service has lost its records.
	Installed *Image
	Drive     ConfigDrive
	// Deployment identifies the hand-over that the API records for the server; empty when it records none. What is on a
	// server is changed only while the service records the same.
	Deployment string
	// GivenUp is what Observation.Holding must be for a person's order to count that what is on the server may go.
	GivenUp string
	// Deleting: the host goes away; its disk is cleaned, it is powered off and forgotten.
	Deleting bool
	// Retain: a deleted host leaves the server and its record as they are.
	Retain bool
	// Detached: the server is forgotten as it runs, neither cleaned nor powered off; Forced even while something is under way.
	Detached, Forced bool
	// DeleteDelayed: a detached host that is deleted stays until it is attached again.
	DeleteDelayed bool
}

// OnDisk is the image that an Adopt takes over: the one last seen, else the one wanted; nil on a host whose disk someone
// else filled.
func (w Want) OnDisk() *Image {
	switch {
	case w.External:
		return nil
	case w.Installed != nil:
		return w.Installed
	default:
		return w.Image
	}
}

// Server tells one physical server from another: where its BMC is, and the MAC address it boots from.
func (w Want) Server() string {
	return strings.TrimSpace(w.BMC.Address + " " + strings.ToLower(w.BootMAC))
}

// Registration identifies everything Do(Register) would tell the service: 16 hexadecimal digits, no secret in it. The
// service keeps it, so that a changed want is noticed without remembering anything.
func (w Want) Registration() string {
	w.BMC.Username, w.BMC.Password = "", ""
	said := struct {
		BMC                      bmc.Access
		BootMAC, BootMode, Arch  string
		Root                     *metal3v1alpha1.RootDeviceHints
		SkipCleaning, NoPowerOff bool
		RamdiskNetwork           string `json:",omitempty"`
	}{
		BMC: w.BMC, BootMAC: w.BootMAC, BootMode: string(w.BootMode), Arch: w.Architecture,
		Root: w.RootDevice, SkipCleaning: w.SkipCleaning, NoPowerOff: w.DisablePowerOff, RamdiskNetwork: digest(w.RamdiskNetwork),
	}
	raw, err := json.Marshal(said)
	if err != nil { // strings, bools and integers always marshal
		panic(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// digest identifies a value without telling it; empty stays empty.
func digest(v secret.Value) string {
	if v == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(v.Reveal()))
	return hex.EncodeToString(sum[:8])
}
