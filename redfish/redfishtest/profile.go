package redfishtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Profile is what a vendor's BMC is like: what is in the server, how the tree is laid out, and what it does its own way.
type Profile struct {
	// Name of the profile, such as dell.
	Name string
	// System, Manager and Chassis are the last segments of their resources.
	System, Manager, Chassis string
	// Manufacturer, Model, Serial, SKU, BIOS and Firmware (of the BMC) as the system tells them.
	Manufacturer, Model, Serial, SKU, BIOS, Firmware string
	Processors                                       []Processor
	DIMMs                                            []DIMM
	NICs                                             []NIC
	Storage                                          []Storage
	// Sessions is where they are made; empty: the service root names none, and only Basic logs in.
	Sessions string
	// SessionCap is how many there can be; SessionFull is the status of one too many.
	SessionCap, SessionFull int
	// Basic takes user name and password with every request.
	Basic bool
	// ETags are given with every resource; IfMatch wants them back with every PATCH.
	ETags, IfMatch bool
	// Expand is told in the service root and served for collections.
	Expand bool
	// PowerLag is how many times the system is read before a change of its power shows.
	PowerLag int
	// TaskReads is how many times a task is read before it has ended; 0: actions are done when they are answered.
	TaskReads int
	// ResetTypes are allowed; ActionInfo puts them in a resource of their own instead of the system.
	ResetTypes []string
	ActionInfo bool
	// IgnoresUnknown answers a reset of another type with 204 and does nothing.
	IgnoresUnknown bool
	// BootTargets are allowed; StickyBoot makes Continuous of Once.
	BootTargets []string
	StickyBoot  bool
	// Media is the virtual CD's path under the manager, or under the system when MediaOfSystem; MediaByPatch has no actions.
	Media                       string
	MediaOfSystem, MediaByPatch bool
	// Status answers paths with a status; Overlay replaces fields of resources (null takes one away), or adds resources.
	Status  map[string]int
	Overlay map[string]map[string]any
}

// Processor is a socket with what is in it.
type Processor struct {
	ID, Model, Architecture, Type string
	Cores, Threads, MHz           int
}

// DIMM is a memory slot; one without MiB is empty.
type DIMM struct {
	ID, Serial, Part string
	MiB, MHz         int
}

// NIC is an interface of the server.
type NIC struct {
	ID, MAC, Link string
	Mbps          int
}

// Storage is a controller with its drives.
type Storage struct {
	ID, Controller string
	Drives         []Drive
}

// Drive is one of a controller.
type Drive struct {
	ID, Manufacturer, Model, Serial, Media, Protocol, WWN string
	Bytes                                                 int64
}

//go:embed profiles/*.yaml
var profiles embed.FS

// Names returns the profiles there are, sorted.
func Names() []string {
	files, err := fs.Glob(profiles, "profiles/*.yaml")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".yaml")
	}
	return files
}

// Load returns a profile by its name.
func Load(name string) (Profile, error) {
	data, err := profiles.ReadFile("profiles/" + name + ".yaml")
	if err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", name, err)
	}
	var document any
	if err := yaml.Unmarshal(data, &document); err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", name, err)
	}
	if data, err = json.Marshal(document); err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", name, err)
	}
	p := Profile{Name: name}
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&p); err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", name, err)
	}
	return p, nil
}
