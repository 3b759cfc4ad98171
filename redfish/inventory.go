package redfish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/stmcginnis/gofish/schemas"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/redfish/parts"
	"github.com/rackplane/rackplane/redfish/vendor"
)

const (
	// requestsMost is how many resources one inventory reads; with logging in and out that makes 40.
	requestsMost = 36
	// pagesMost bounds a collection that goes on and on.
	pagesMost = 8
)

// walk is one inventory being made.
type walk struct {
	conn
	expand bool
	left   int

	mu  sync.Mutex
	out parts.Inventory
}

func (w *walk) miss(part, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.Missing = append(w.out.Missing, parts.Gap{Part: part, Reason: parts.Text(reason)})
}

// Inventory implements Inspector. Parts are read in the order of their worth, since a big server has more than one walk may ask.
func (s *Server) Inventory(ctx context.Context) (parts.Inventory, error) {
	c, sys, err := s.enter(ctx)
	if err != nil {
		return parts.Inventory{}, err
	}
	w := &walk{conn: c, left: requestsMost - 2, expand: c.Service.ProtocolFeaturesSupported.ExpandQuery.NoLinks && !isTrue(sys.vendor.NoExpand)}
	w.system(sys)
	each(w, sys, "EthernetInterfaces", "nics", func(doc []byte, n *schemas.EthernetInterface) { w.nic(sys.vendor, doc, n) })
	each(w, sys, "Processors", "cpus", func(_ []byte, p *schemas.Processor) { w.processor(p) })
	w.storage(sys)
	w.managers(sys)
	each(w, sys, "Memory", "memory", func(doc []byte, m *schemas.Memory) { w.module(doc, m) })
	if w.out.MemoryMiB == 0 {
		for _, m := range w.out.Modules {
			w.out.MemoryMiB += m.MiB
		}
	}
	slices.SortFunc(w.out.Missing, func(a, b parts.Gap) int { return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Reason, b.Reason)) })
	if err := ctx.Err(); err != nil {
		return parts.Inventory{}, fault.Wrap(fault.Transient, err, "the BMC at %s is not done telling its inventory", s.door.Endpoint())
	}
	return w.out, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func number(n *int) int {
	if n == nil || *n < 0 {
		return 0
	}
	return *n
}

func healthOf(s schemas.Status) string { return string(cmp.Or(s.HealthRollup, s.Health)) }

// system takes what the system's own resource tells.
func (w *walk) system(sys *system) {
	w.out = parts.Inventory{
		Manufacturer: parts.Text(sys.Manufacturer), Model: parts.Text(sys.Model), Serial: parts.Text(sys.SerialNumber), SKU: parts.Text(sys.SKU),
		UUID: parts.Text(sys.UUID), HostName: parts.Text(sys.HostName), BIOS: parts.Text(sys.BiosVersion),
		Power: parts.Text(string(sys.PowerState)), Health: parts.Text(healthOf(sys.Status)),
	}
	if total := sys.MemorySummary.TotalSystemMemoryGiB; total != nil && *total > 0 && *total < 1<<20 {
		w.out.MemoryMiB = int(*total * 1024)
	}
	w.dropped("system", sys.path, sys.dropped)
}

func (w *walk) dropped(part, path string, fields []string) {
	if len(fields) > 0 {
		more := ""
		if len(fields) > 8 {
			fields, more = fields[:8], " and more"
		}
		w.miss(part, path+": "+strings.Join(fields, ", ")+more+" is not of the type that it has in Redfish")
	}
}

// take reads one resource, within what one inventory may ask.
func (w *walk) take(path string) (document, error) {
	w.mu.Lock()
	spent := w.left <= 0
	if !spent {
		w.left--
	}
	w.mu.Unlock()
	if spent {
		return document{}, errSpent
	}
	return w.read(path)
}

var errSpent = errors.New("not asked for: one inventory reads no more than 36 resources")

// each reads the members of a collection that the system links, and gives those that can be read to put, in order.
func each[T any](w *walk, sys *system, name, part string, put func(doc []byte, one *T)) {
	at := linkOf(sys.body, name)
	if at == "" {
		w.miss(part, sys.path+" has no "+name)
		return
	}
	members, err := w.members(at)
	if err != nil {
		w.miss(part, err.Error())
	}
	many(w, members, part, put)
}

// member is one of a collection: its path, and its document when the collection came with it.
type member struct {
	path string
	doc  []byte
}

// members reads a collection, with its members where the BMC can. A BMC that says so and cannot is asked without.
func (w *walk) members(at string) ([]member, error) {
	var out []member
	for page := 0; at != "" && page < pagesMost; page++ {
		doc, err := w.collection(at)
		if err != nil {
			return out, err
		}
		var c struct {
			Members []json.RawMessage
			Next    string `json:"Members@odata.nextLink"`
		}
		if err := json.Unmarshal(doc.body, &c); err != nil {
			return out, fault.New(fault.Transient, "%s is no collection", at)
		}
		for _, raw := range c.Members {
			if m := memberOf(raw); m.path != "" {
				out = append(out, m)
			}
		}
		at = link{c.Next}.path()
	}
	return out, nil
}

func (w *walk) collection(at string) (document, error) {
	if w.expand && !strings.Contains(at, "?") {
		doc, err := w.take(at + "?$expand=.($levels=1)")
		if err == nil || !fault.Is(err, fault.Rejected) && !fault.Is(err, fault.Unsupported) {
			return doc, err
		}
		w.expand = false
	}
	return w.take(at)
}

// memberOf tells a member from a link to one: a resource has an Id.
func memberOf(raw json.RawMessage) member {
	var head struct {
		link
		ID any `json:"Id"`
	}
	if json.Unmarshal(raw, &head) != nil {
		return member{}
	}
	m := member{path: head.path()}
	if head.ID != nil {
		m.doc = raw
	}
	return m
}

// many reads what has not come yet, two at a time, decodes all and puts them in order. One that cannot be had costs itself.
func many[T any](w *walk, members []member, part string, put func([]byte, *T)) {
	read := make([]*T, len(members))
	var wg sync.WaitGroup
	turns := make(chan struct{}, 2)
	for i := range members {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			read[i] = one[T](w, part, &members[i])
		})
	}
	wg.Wait()
	for i, found := range read {
		if found != nil {
			put(members[i].doc, found)
		}
	}
}

func one[T any](w *walk, part string, m *member) *T {
	if m.doc == nil {
		doc, err := w.take(m.path)
		if err != nil {
			w.miss(part, cause(m.path, err))
			return nil
		}
		m.doc = doc.body
	}
	found := new(T)
	dropped, err := loosely(m.doc, found)
	if err != nil {
		w.miss(part, m.path+" "+err.Error())
		return nil
	}
	w.dropped(part, m.path, dropped)
	return found
}

func cause(path string, err error) string {
	if strings.Contains(err.Error(), path) {
		return err.Error()
	}
	return path + ": " + err.Error()
}

func (w *walk) processor(p *schemas.Processor) {
	c := parts.CPU{
		ID: parts.Text(p.ID), Model: parts.Text(p.Model), Arch: parts.Arch(string(p.ProcessorArchitecture), string(p.InstructionSet)),
		Cores: number(p.TotalCores), Threads: number(p.TotalThreads), MHz: number(p.MaxSpeedMHz), Health: parts.Text(healthOf(p.Status)),
	}
	switch {
	case p.Status.State == schemas.AbsentState:
	case p.ProcessorType == "" || p.ProcessorType == schemas.CPUProcessorType:
		w.out.CPUs = append(w.out.CPUs, c)
	default:
		w.out.Accelerators = append(w.out.Accelerators, c)
	}
}

// deprecated are fields that newer schemas have elsewhere (DMTF Memory v1.9.0, Storage v1.13.0), and that BMCs still tell there.
type deprecated struct {
	DeviceLocator      string
	StorageControllers []struct{ Model, FirmwareVersion string }
}

// deprecatedIn returns those of a document that can be read.
func deprecatedIn(doc []byte) deprecated {
	var d deprecated
	if _, err := loosely(doc, &d); err != nil {
		return deprecated{}
	}
	return d
}

func (w *walk) module(doc []byte, m *schemas.Memory) {
	if m.Status.State == schemas.AbsentState || number(m.CapacityMiB) == 0 {
		return // an empty slot
	}
	name := cmp.Or(deprecatedIn(doc).DeviceLocator, m.ID)
	w.out.Modules = append(w.out.Modules, parts.Module{
		ID: parts.Text(name), Serial: parts.Text(m.SerialNumber), Part: parts.Text(strings.TrimSpace(m.PartNumber)),
		Kind: parts.Text(string(m.MemoryDeviceType)), MiB: number(m.CapacityMiB), MHz: number(m.OperatingSpeedMhz), Health: parts.Text(healthOf(m.Status)),
	})
}

func (w *walk) nic(v vendor.Overrides, doc []byte, n *schemas.EthernetInterface) {
	if slices.ContainsFunc(v.SkipNICs, func(p string) bool { return vendor.Fits(p, n.ID) }) || n.Status.State == schemas.AbsentState {
		return
	}
	mac := parts.MAC(cmp.Or(n.PermanentMACAddress, n.MACAddress))
	if mac == "" {
		w.miss("nics", linkText(doc)+" tells no MAC address")
		return
	}
	w.out.NICs = append(w.out.NICs, parts.NIC{
		ID: parts.Text(n.ID), MAC: mac, Mbps: number(n.SpeedMbps), Link: parts.Text(string(n.LinkStatus)), Health: parts.Text(healthOf(n.Status)),
	})
}

func linkText(doc []byte) string {
	var l link
	if json.Unmarshal(doc, &l) != nil {
		return "an interface"
	}
	return l.To
}

// storage reads the controllers, and of each its drives.
func (w *walk) storage(sys *system) {
	var drives []member
	owner := map[string]string{}
	each(w, sys, "Storage", "storage", func(doc []byte, s *schemas.Storage) {
		c := parts.Controller{ID: parts.Text(s.ID), Model: parts.Text(s.Name), Health: parts.Text(healthOf(s.Status))}
		if inside := deprecatedIn(doc).StorageControllers; len(inside) > 0 {
			c.Model, c.Firmware = parts.Text(cmp.Or(inside[0].Model, s.Name)), parts.Text(inside[0].FirmwareVersion)
		}
		w.out.Controllers = append(w.out.Controllers, c)
		for _, path := range linksOf(doc, "Drives") {
			if owner[path] == "" {
				owner[path] = c.ID
				drives = append(drives, member{path: path})
			}
		}
	})
	many(w, drives, "drives", func(doc []byte, d *schemas.Drive) {
		var at link
		if json.Unmarshal(doc, &at) != nil {
			at.To = d.ODataID
		}
		w.drive(owner[at.To], d)
	})
}

func (w *walk) drive(controller string, d *schemas.Drive) {
	if d.Status.State == schemas.AbsentState {
		return
	}
	out := parts.Drive{
		ID: parts.Text(d.ID), Controller: controller, Manufacturer: parts.Text(d.Manufacturer), Model: parts.Text(d.Model), Serial: parts.Text(d.SerialNumber),
		Bytes: int64(number(d.CapacityBytes)), Media: parts.Text(string(d.MediaType)), Protocol: parts.Text(string(d.Protocol)), Health: parts.Text(healthOf(d.Status)),
	}
	for _, i := range d.Identifiers {
		if out.WWN == "" && i.DurableNameFormat != schemas.UUIDDurableNameFormat {
			out.WWN = parts.WWN(i.DurableName)
		}
	}
	w.out.Drives = append(w.out.Drives, out)
}

// managers reads the BMC's own firmware version, from the first manager that tells one.
func (w *walk) managers(sys *system) {
	for _, path := range managersOf(sys.body) {
		found := one[schemas.Manager](w, "bmc", &member{path: path})
		if found != nil && found.FirmwareVersion != "" {
			w.out.BMC = parts.Text(found.FirmwareVersion)
			return
		}
	}
}
