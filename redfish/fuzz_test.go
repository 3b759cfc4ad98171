package redfish

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stmcginnis/gofish/schemas"

	"github.com/rackplane/rackplane/redfish/parts"
	"github.com/rackplane/rackplane/redfish/vendor"
)

// FuzzInventory: whatever a BMC says of its parts, nothing breaks, and what comes of it can be shown and stored: lines of
// text, addresses that are some, numbers that are not negative.
func FuzzInventory(f *testing.F) {
	for _, seed := range []string{
		`{"Id":"CPU0","TotalCores":"1","ProcessorType":"CPU","Status":{"Health":"OK"}}`, `{"Id":"x","MACAddress":"AA-BB-CC-DD-EE-FF","SpeedMbps":-5}`,
		`{"Id":"d","CapacityBytes":1e300,"MediaType":7,"Identifiers":[{"DurableName":"naa.5000"},3]}`, `{"CapacityMiB":null,"Status":[]}`, `[]`, `{}`,
		`{"Manufacturer":"\u001b[2J","MemorySummary":{"TotalSystemMemoryGiB":-1},"Links":{"ManagedBy":[{"@odata.id":"//x/y"},4]}}`, `{"StorageControllers":[{"Name":1}],"Drives":[{"@odata.id":"/a"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		w := &walk{}
		sys := &system{document: document{body: doc}}
		if _, err := loosely(doc, &sys.ComputerSystem); err == nil {
			w.system(sys)
		}
		put(doc, func(p *schemas.Processor) { w.processor(p) })
		put(doc, func(m *schemas.Memory) { w.module(doc, m) })
		put(doc, func(n *schemas.EthernetInterface) { w.nic(vendor.Overrides{}, doc, n) })
		put(doc, func(d *schemas.Drive) { w.drive("", d) })
		memberOf(doc)
		for _, path := range append(managersOf(doc), linksOf(doc, "Drives")...) {
			if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
				t.Errorf("%q leads away", path)
			}
		}
		details := parts.Metal3(w.out)
		for _, n := range details.NIC {
			if len(n.MAC) != 17 || n.SpeedGbps < 0 {
				t.Errorf("%+v", n)
			}
		}
		for _, s := range details.Storage {
			if s.SizeBytes < 0 {
				t.Errorf("%+v", s)
			}
		}
		if details.RAMMebibytes < 0 || details.CPU.Count < 0 {
			t.Errorf("%+v", details)
		}
		text, err := json.Marshal(w.out)
		if err != nil {
			t.Fatal(err)
		}
		var again map[string]any
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{details.SystemVendor.Manufacturer, details.CPU.Model, details.Hostname, details.SystemVendor.SerialNumber} {
			if strings.ContainsFunc(said, unicode.IsControl) {
				t.Errorf("%q", said)
			}
		}
	})
}

func put[T any](doc []byte, into func(*T)) {
	found := new(T)
	if _, err := loosely(doc, found); err == nil {
		into(found)
	}
}

// TestLoosely: what is malformed is left out and named, and nothing else.
func TestLoosely(t *testing.T) {
	t.Parallel()
	var p schemas.Processor
	dropped, err := loosely([]byte(`{"Id":"CPU0","Model":"M","TotalCores":"1","TotalThreads":2,"MaxTDPWatts":"hot","SerialNumber":9007199254740993,"Status":{"Health":"OK","State":[5]},"ProcessorMemory":[{"CapacityMiB":4},{"CapacityMiB":"5x"}]}`), &p)
	if err != nil || p.ID != "CPU0" || p.Model != "M" || *p.TotalCores != 1 || *p.TotalThreads != 2 || p.MaxTDPWatts != nil || p.SerialNumber != "9007199254740993" || p.Status.Health != "OK" || len(p.ProcessorMemory) != 2 {
		t.Errorf("%v: %+v", err, p)
	}
	if want := "MaxTDPWatts, ProcessorMemory[1].CapacityMiB, Status.State"; strings.Join(dropped, ", ") != want {
		t.Errorf("%v", dropped)
	}
	if _, err := loosely([]byte(`[1]`), &p); err == nil {
		t.Error("a list is taken for a resource")
	}
}
