package redfish_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/redfish"
	"github.com/rackplane/rackplane/redfish/parts"
	"github.com/rackplane/rackplane/redfish/redfishtest"
)

func inventory(t *testing.T, b *redfishtest.BMC) parts.Inventory {
	t.Helper()
	br, server, _ := subjectOf(b).Login(t)
	found, err := server.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := br.Close(t.Context()); err != nil {
		t.Error(err)
	}
	c := b.Counts()
	made := min(1, len(b.Profile().Sessions))
	if c.Requests > 40 || c.SessionsMade != made || c.SessionsOpen != 0 || c.InFlight > 2 {
		t.Errorf("%s: an inventory cost %+v", b.Profile().Name, c)
	}
	return found
}

// TestInventoryOfEveryVendor: what is in the profile is in the inventory, powered off, at no more than 40 requests on two
// connections in one session; and what is not there is told with its reason.
func TestInventoryOfEveryVendor(t *testing.T) {
	t.Parallel()
	for _, name := range redfishtest.Names() {
		b := start(t, name)
		p, got := b.Profile(), inventory(t, b)
		if c := b.Counts(); c.Connections > 2 {
			t.Errorf("%s: %d connections", name, c.Connections)
		}
		dimms, drives := 0, 0
		for _, d := range p.DIMMs {
			if d.MiB > 0 {
				dimms++
			}
		}
		for _, s := range p.Storage {
			drives += len(s.Drives)
		}
		nics := len(p.NICs)
		if name == "lenovo" {
			nics-- // the interface to the BMC itself
		}
		if len(got.CPUs) != len(p.Processors) || len(got.Modules) != dimms || len(got.NICs) != nics || len(got.Drives) != drives ||
			len(got.Controllers) != len(p.Storage) || got.Model != p.Model || got.Serial != p.Serial || got.BIOS != p.BIOS || got.BMC != p.Firmware {
			t.Errorf("%s: %+v", name, got)
		}
		for _, d := range got.Drives {
			if d.Bytes == 0 {
				t.Errorf("%s: %+v", name, d) // one of supermicro's is a text
			}
		}
		for _, c := range got.CPUs {
			if c.Cores == 0 || c.Threads == 0 {
				t.Errorf("%s: %+v", name, c) // sushy's are texts
			}
		}
		if got.Power != "Off" || got.Health != "OK" || got.MemoryMiB == 0 {
			t.Errorf("%s: %s, %s, %d MiB", name, got.Power, got.Health, got.MemoryMiB)
		}
		told := fmt.Sprint(got.Missing)
		for _, want := range map[string][]string{
			"sushy":   {"{memory ", "answers 404", "{storage ", "answers 500"},
			"openbmc": {"{nics ", "has no EthernetInterfaces"},
		}[name] {
			if !strings.Contains(told, want) {
				t.Errorf("%s: %s, want %q", name, told, want)
			}
		}
		if (name == "dell" || name == "supermicro") && len(got.Missing) != 0 {
			t.Errorf("%s: %s", name, told)
		}
	}
}

// TestBigServerKeepsToTheBudget: without $expand 64 modules are more than one walk may read; what matters most is there.
func TestBigServerKeepsToTheBudget(t *testing.T) {
	t.Parallel()
	p, err := redfishtest.Load("supermicro")
	if err != nil {
		t.Fatal(err)
	}
	dimm := p.DIMMs[0]
	p.DIMMs = nil
	for i := range 64 {
		dimm.ID = strconv.Itoa(i)
		p.DIMMs = append(p.DIMMs, dimm)
	}
	b := redfishtest.Start(p)
	t.Cleanup(b.Close)
	got := inventory(t, b)
	if len(got.CPUs) != 2 || len(got.NICs) != 2 || len(got.Drives) != 2 || got.MemoryMiB != 64*32768 || len(got.Modules) == 0 {
		t.Errorf("%+v", got)
	}
	if last := got.Missing[len(got.Missing)-1]; last.Part != "memory" || !strings.Contains(last.Reason, "no more than") {
		t.Error(last)
	}
}

// TestOneBadLinkCostsOnePart: each collection in turn cannot be had; the rest is as it was.
func TestOneBadLinkCostsOnePart(t *testing.T) {
	t.Parallel()
	for part, count := range map[string]func(parts.Inventory) int{
		"Processors":         func(i parts.Inventory) int { return len(i.CPUs) },
		"Memory":             func(i parts.Inventory) int { return len(i.Modules) },
		"EthernetInterfaces": func(i parts.Inventory) int { return len(i.NICs) },
		"Storage":            func(i parts.Inventory) int { return len(i.Drives) },
	} {
		for _, kind := range []redfishtest.Kind{redfishtest.Truncated, redfishtest.Garbage, redfishtest.WrongTypes, redfishtest.Huge} {
			if kind == redfishtest.Huge && part != "Memory" {
				continue // it is slow to send
			}
			b := start(t, "hpe")
			b.Fail(redfishtest.Fault{Kind: kind, Path: "/" + part})
			got := inventory(t, b)
			whole := len(got.CPUs) + len(got.Modules) + len(got.NICs) + len(got.Drives)
			if kind != redfishtest.WrongTypes && (count(got) != 0 || whole != 6) || len(got.Missing) == 0 || got.Model == "" {
				t.Errorf("%s of %s: %d of %d: %v", kind, part, count(got), whole, got.Missing)
			}
		}
	}
}

// TestWrongTypesEverywhere: a BMC that gets every field wrong is still walked to its end.
func TestWrongTypesEverywhere(t *testing.T) {
	t.Parallel()
	b := start(t, "dell")
	_, server, _ := subjectOf(b).Login(t)
	if _, err := server.Power(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Fail(redfishtest.Fault{Kind: redfishtest.WrongTypes, Path: "/Systems"})
	got, err := server.Inventory(t.Context())
	if err != nil || len(got.CPUs)+len(got.Accelerators) != 2 || len(got.Modules) != 0 || len(got.Missing) < 5 {
		t.Errorf("%v: %+v", err, got)
	}
}

// TestInventoryAgain: a second walk in the same session gets what has not changed without its body.
func TestInventoryAgain(t *testing.T) {
	t.Parallel()
	b := start(t, "lenovo")
	_, server, _ := subjectOf(b).Login(t)
	for range 2 {
		if _, err := server.Inventory(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c := b.Counts(); c.NotModified < 5 || c.SessionsMade != 1 {
		t.Errorf("%+v", c)
	}
}

func TestMetal3(t *testing.T) {
	t.Parallel()
	got := parts.Metal3(inventory(t, start(t, "dell")))
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"systemVendor":{"manufacturer":"Dell Inc.","productName":"PowerEdge R650","serialNumber":"CNIVC0012300AB"}`, `"version":"1.13.2"`,
		`"ramMebibytes":262144`, `"arch":"x86_64"`, `"count":128`, `"clockMegahertz":4000`, `"mac":"b0:7b:25:00:10:01"`, `"speedGbps":25`,
		`"wwn":"0x5000039c88100101"`, `"rotational":true`, `"type":"SSD"`, `"serialNumber":"PHYH0001"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if got := parts.Metal3(inventory(t, start(t, "openbmc"))); got.CPU.Arch != "aarch64" || got.Storage[0].Type != metal3v1alpha1.NVME {
		t.Errorf("%+v", got)
	}
}

func TestSystemIsFoundWithoutAPath(t *testing.T) {
	t.Parallel()
	b := start(t, "openbmc")
	s := subjectOf(b)
	s.Address, _, _ = strings.Cut(s.Address, "/redfish/v1")
	_, server, _ := s.Login(t)
	if _, err := server.Power(t.Context()); err != nil {
		t.Error(err)
	}
	b.Set("/redfish/v1/Systems", map[string]any{"Members": []any{}})
	if _, err := server.Power(t.Context()); err == nil || !strings.Contains(err.Error(), "spec.bmc.address") {
		t.Error(err)
	}
}

// TestTaskThatFails: a receipt tells how it ended, in the BMC's words.
func TestTaskThatFails(t *testing.T) {
	t.Parallel()
	b := start(t, "hpe")
	_, server, _ := subjectOf(b).Login(t)
	b.Set("/redfish/v1/TaskService/Tasks/9", map[string]any{"TaskState": "Exception", "Messages": []any{map[string]any{"Message": "the fan is loud"}}})
	if _, err := server.Follow(t.Context(), "/redfish/v1/TaskService/Tasks/9"); err == nil || !strings.Contains(err.Error(), "the fan is loud") {
		t.Error(err)
	}
	b.Set("/redfish/v1/TaskService/Tasks/9", map[string]any{"TaskState": "Running"})
	if r, err := server.Follow(t.Context(), "/redfish/v1/TaskService/Tasks/9"); err != nil || r.State != redfish.Accepted {
		t.Error(r, err)
	}
	if _, err := server.Follow(t.Context(), "https://192.0.2.1/x"); err == nil {
		t.Error("a receipt leads away")
	}
}

// TestNothingAnsweredIsProof: a BMC that answers success and does nothing is never taken for done.
func TestNothingAnsweredIsProof(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"hpe", "lenovo", "sushy"} {
		b := start(t, name)
		_, server, _ := subjectOf(b).Login(t)
		for _, method := range []string{"POST", "PATCH"} {
			b.Fail(redfishtest.Fault{Kind: redfishtest.Ignored, Method: method, Path: b.SystemPath()})
			b.Fail(redfishtest.Fault{Kind: redfishtest.Ignored, Method: method, Path: "/VirtualMedia"})
		}
		if r, err := server.SetPower(t.Context(), redfish.On); err != nil || r.State != redfish.Accepted {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if r, err := server.SetOverride(t.Context(), redfish.Override{Target: "Pxe", Enabled: "Once"}); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
		if r, err := server.Insert(t.Context(), "http://192.0.2.9/a.iso"); err != nil || r.State != redfish.Accepted {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// TestUnsupported: what a BMC lacks is told as such, with what it has.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	b := start(t, "sushy")
	_, server, _ := subjectOf(b).Login(t)
	if _, err := server.SetOverride(t.Context(), redfish.Override{Target: "UefiHttp", Enabled: "Once"}); err == nil || !strings.Contains(err.Error(), "boots [Pxe Cd Hdd None]") {
		t.Error(err)
	}
	if keeps, err := server.KeepsOnce(t.Context()); err != nil || !keeps {
		t.Error(keeps, err)
	}
}
