package adoption

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fresh are the facts of a server on which somebody installed Debian and nothing else.
func fresh() Facts {
	yes := true
	return Facts{
		OS:       OS{ID: "debian", Version: "13", Name: "Debian GNU/Linux 13 (trixie)"},
		Kernel:   Kernel{Running: "6.12.9-amd64", Installed: []string{"6.12.9-amd64", "6.1.0-31-amd64"}, Architecture: "x86_64", KVM: true},
		Units:    []Unit{{Name: "ssh.service", Active: "active", Enabled: "enabled"}},
		Clock:    Clock{Unix: now.UnixMilli() + 200, Synchronised: &yes},
		Disks:    []Disk{{Path: "/", Device: 1, FreeBytes: 80 << 30}, {Path: "/var", Device: 1, FreeBytes: 80 << 30}, {Path: "/var/lib/nova", Device: 2, FreeBytes: 900 << 30}},
		Identity: Identity{HostName: "compute-a", FQDN: "compute-a", MachineID: "0123456789abcdef0123456789abcdef"},
		Endpoints: map[string]string{
			"192.0.2.1:80": "", "192.0.2.5:5000": "", "192.0.2.5:6642": "", "192.0.2.5:5672": "",
		},
		Addresses: []string{"192.0.2.50"},
	}
}

// compute are the facts of one that already serves in the cloud that is wanted.
func compute() Facts {
	f := fresh()
	f.Packages = []Package{{Name: "nova-compute", Version: "31", State: "installed"}}
	f.Units = append(f.Units, Unit{Name: "nova-compute.service", Active: "active", Enabled: "enabled"}, Unit{Name: "libvirtd.service", Active: "active", Enabled: "enabled"})
	f.Guests = []Guest{{Name: "instance-00000002"}, {Name: "instance-00000001"}}
	f.OVS = OVS{
		Running: true, Managers: []string{"ptcp:6640:127.0.0.1", "ptcp:6640:[::1]"},
		Bridges: []Bridge{{Name: "br-int"}, {Name: "br-ex"}},
		ExternalIDs: map[string]string{
			"ovn-remote": "tcp:192.0.2.5:6642", "system-id": "chassis-a", "ovn-encap-ip": "192.0.2.50", "ovn-bridge-mappings": "datacentre:br-ex",
		},
	}
	f.OVN = OVN{Running: true, Connection: "connected"}
	f.Identity.SystemID, f.Identity.NovaHost, f.Identity.Transport = "chassis-a", "compute-a.example.com", []string{"192.0.2.5:5672"}
	return f
}

func wanted() Wanted {
	return Wanted{
		HostName: "compute-a.example.com", Addresses: []string{"192.0.2.50"}, Encapsulation: "192.0.2.50", Now: now,
		Services:   []string{"bootstrap", "configure-network", "install-os", "configure-os", "ovn", "neutron-metadata", "libvirt", "nova"},
		Southbound: []string{"tcp:192.0.2.5:6642"}, BridgeMappings: []string{"datacentre:br-ex"}, Transport: []string{"192.0.2.5:5672"},
		Endpoints: []Endpoint{
			{Name: "package repository main", Address: "192.0.2.1:80", Early: true},
			{Name: "Keystone", Address: "192.0.2.5:5000"},
			{Name: "OVN's southbound database", Address: "192.0.2.5:6642"},
			{Name: "Nova's message bus", Address: "192.0.2.5:5672"},
		},
	}
}

// told are the findings that are not OK, each as verdict and first words.
func told(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		if f.Verdict != OK {
			out = append(out, string(f.Verdict)+" "+f.String())
		}
	}
	return out
}

func TestWhatIsAsWanted(t *testing.T) {
	t.Parallel()
	if got := told(Decide(fresh(), wanted(), nil)); len(got) > 0 {
		t.Errorf("a fresh server: %s", strings.Join(got, "\n"))
	}
	want := []string{
		"Note Services: found nova-compute running: the service nova takes it over",
		"Note RunningVMs: found 2 running virtual machines (instance-00000001, instance-00000002): left running",
	}
	if diff := cmp.Diff(want, told(Decide(compute(), wanted(), nil))); diff != "" {
		t.Errorf("a running compute (-want +got):\n%s", diff)
	}
	f, w := fresh(), wanted()
	w.Services = []string{"bootstrap"}
	f.Disks[0].FreeBytes = 2 << 30
	f.Kernel.KVM = false
	if got := told(Decide(f, w, nil)); len(got) > 0 {
		t.Errorf("a small server for base services only: %s", strings.Join(got, "\n"))
	}
}

// TestFindings changes one thing of a running compute, and of the same one without virtual machines, and compares what
// is told with the beginning of what is wanted; "" wants nothing but what is told of every running compute.
func TestFindings(t *testing.T) {
	t.Parallel()
	no := false
	cases := []struct {
		name           string
		change         func(*Facts, *Wanted)
		running, empty string
	}{
		{"older system", func(f *Facts, _ *Wanted) { f.OS = OS{ID: "debian", Version: "11", Name: "Debian GNU/Linux 11"} }, "Refuse OperatingSystem: found Debian GNU/Linux 11, wanted Debian 12", "same"},
		{"unknown system", func(f *Facts, _ *Wanted) { f.OS = OS{ID: "arch"} }, "Refuse OperatingSystem: found arch", "same"},
		{"a derivative", func(f *Facts, _ *Wanted) {
			f.OS = OS{ID: "eurolinux", Like: []string{"rhel", "fedora"}, Version: "9.4"}
			f.Units[len(f.Units)-1].Name = "virtqemud.service"
		}, "", ""},
		{"architecture", func(_ *Facts, w *Wanted) { w.Architecture = "aarch64" }, "Refuse Kernel: found x86_64, wanted aarch64", "same"},
		{"no KVM", func(f *Facts, _ *Wanted) { f.Kernel.KVM = false }, "Refuse Kernel: found no /dev/kvm", "same"},
		{"emulation allowed", func(f *Facts, w *Wanted) { f.Kernel.KVM, w.Emulation = false, true }, "Note Kernel: found no /dev/kvm", "same"},
		{"newer kernel", func(f *Facts, _ *Wanted) { f.Kernel.Installed = append(f.Kernel.Installed, "6.12.10-amd64") }, "Note Kernel: found 6.12.9-amd64 running, 6.12.10-amd64 installed, wanted the installed one running: restart", "same"},
		{"newer kernel and reboot-os", func(f *Facts, w *Wanted) {
			f.Kernel.Installed = append(f.Kernel.Installed, "6.12.10-amd64")
			w.Services = append(w.Services, "reboot-os")
		}, "Refuse Kernel: found 6.12.9-amd64 running", "Note Kernel: found 6.12.9-amd64 running"},
		{"kernel arguments", func(_ *Facts, w *Wanted) {
			w.KernelArguments, w.Services = []string{"hugepages=8"}, append(w.Services, "reboot-os")
		}, "Refuse Kernel: found a kernel that was not started with hugepages=8", "Note Kernel: found a kernel"},
		{"clock ahead", func(f *Facts, _ *Wanted) { f.Clock.Unix += 3600_000 }, "Refuse Time: found a clock about 60 min ahead, wanted at most 30 s", "same"},
		{"clock behind", func(f *Facts, _ *Wanted) { f.Clock.Unix -= 31_000 }, "Refuse Time: found a clock about 30 s behind", "same"},
		{"clock free", func(f *Facts, _ *Wanted) { f.Clock.Synchronised = &no }, "Note Time: found a clock that nothing synchronises", "same"},
		{"small disk", func(f *Facts, _ *Wanted) { f.Disks[0].FreeBytes, f.Disks[1].FreeBytes = 12<<27, 12<<27 }, "Refuse Disk: found 1.5 GiB free on /, wanted 10 GiB: free space", "same"},
		{"small disk for servers", func(f *Facts, _ *Wanted) { f.Disks[2].FreeBytes = 0 }, "Refuse Disk: found 0 GiB free on /var/lib/nova", "same"},
		{"another minimum", func(_ *Facts, w *Wanted) { w.MinFreeGiB = 100 }, "Refuse Disk: found 80 GiB free on /, wanted 100 GiB", "same"},
		{"read-only", func(f *Facts, _ *Wanted) { f.Disks[0].ReadOnly = true }, "Refuse Disk: found / mounted read-only", "same"},
		{"no disks", func(f *Facts, _ *Wanted) { f.Disks = nil }, "Refuse Disk: found no file system", "same"},
		{"half a package", func(f *Facts, _ *Wanted) { f.Packages[0].State = "half-configured" }, "Refuse Packages: found nova-compute (half-configured)", "same"},
		{"another driver", func(f *Facts, _ *Wanted) { f.Packages[0].Name = "nova-compute-ironic" }, "Refuse Packages: found nova-compute-ironic", "same"},
		{"another name", func(f *Facts, _ *Wanted) { f.Identity.HostName, f.Identity.FQDN = "node17", "node17" }, "Refuse Identity: found a host that calls itself node17, wanted compute-a.example.com", "same"},
		{"another domain", func(f *Facts, _ *Wanted) { f.Identity.FQDN = "compute-a.old.example" }, "Note Identity: found hostname -f saying compute-a.old.example", "same"},
		{"another name in Nova", func(f *Facts, _ *Wanted) { f.Identity.NovaHost = "compute-a" }, "Refuse Identity: found Nova knowing it as compute-a, wanted compute-a.example.com", "same"},
		{"nova-compute by its default name", func(f *Facts, _ *Wanted) { f.Identity.NovaHost = "" }, "Refuse Identity: found Nova knowing it as compute-a, wanted", "same"},
		{"no machine-id", func(f *Facts, _ *Wanted) { f.Identity.MachineID = "" }, "Note Identity: found no machine-id", "same"},
		{"TripleO", func(f *Facts, _ *Wanted) {
			f.Units = append(f.Units, Unit{Name: "tripleo_nova_compute.service", Enabled: "enabled"})
		}, "Refuse Services: found tripleo_nova_compute of TripleO", "same"},
		{"what TripleO left switched off", func(f *Facts, _ *Wanted) {
			f.Units = append(f.Units, Unit{Name: "tripleo_nova_compute.service", Active: "inactive", Enabled: "disabled"})
		}, "", ""},
		{"Kolla", func(f *Facts, _ *Wanted) {
			f.Units = append(f.Units, Unit{Name: "kolla-nova_compute-container.service", Active: "active"})
		}, "Refuse Services: found kolla-nova_compute-container of Kolla", "same"},
		{"an agent of another driver", func(f *Facts, _ *Wanted) {
			f.Units = append(f.Units, Unit{Name: "neutron-openvswitch-agent.service", Active: "active"})
		}, "Refuse Services: found neutron-openvswitch-agent of Neutron without OVN", "same"},
		{"firewalld", func(f *Facts, _ *Wanted) {
			f.Units = append(f.Units, Unit{Name: "firewalld.service", Active: "active"})
		}, "Refuse Services: found firewalld", "same"},
		{"another cloud's bus", func(f *Facts, _ *Wanted) { f.Identity.Transport = []string{"198.51.100.9:5672"} }, "Refuse Services: found nova-compute on message bus 198.51.100.9:5672, wanted 192.0.2.5:5672", "same"},
		{"modular libvirt on Debian", func(f *Facts, _ *Wanted) { f.Units[len(f.Units)-1].Name = "virtqemud.service" }, "Refuse Services: found virtqemud running, wanted libvirtd", "Note Services: found virtqemud running"},
		{"a container of Kolla's", func(f *Facts, _ *Wanted) {
			f.Containers = []Container{{Name: "nova_libvirt", Runtime: "docker", Running: true}}
		}, "Refuse Containers: found nova_libvirt running in containers", "same"},
		{"a stopped one", func(f *Facts, _ *Wanted) { f.Containers = []Container{{Name: "ovn_controller"}} }, "Note Containers: found ovn_controller as stopped containers", "same"},
		{"a user's", func(f *Facts, _ *Wanted) { f.Containers = []Container{{Name: "grafana", Running: true}} }, "", ""},
		{"another network", func(_ *Facts, w *Wanted) { w.Addresses = append(w.Addresses, "198.51.100.7") }, "Refuse RunningVMs: found 2 running virtual machines (instance-00000001, instance-00000002) on a network that configure-network would change", ""},
		{"a remote manager", func(f *Facts, _ *Wanted) { f.OVS.Managers = []string{"tcp:198.51.100.3:6640"} }, "Refuse OpenVSwitch: found a manager tcp:198.51.100.3:6640", "same"},
		{"a controlled bridge", func(f *Facts, _ *Wanted) { f.OVS.Bridges[0].Controllers = []string{"tcp:127.0.0.1:6633"} }, "Refuse OpenVSwitch: found bridge br-int driven by tcp:127.0.0.1:6633", "same"},
		{"br-tun", func(f *Facts, _ *Wanted) { f.OVS.Bridges = append(f.OVS.Bridges, Bridge{Name: "br-tun"}) }, "Refuse OpenVSwitch: found bridge br-tun", "Note OpenVSwitch: found bridge br-tun"},
		{"other mappings", func(_ *Facts, w *Wanted) { w.BridgeMappings = []string{"physnet1:br-ex"} }, "Refuse OpenVSwitch: found bridge mappings datacentre:br-ex, wanted physnet1:br-ex", "Note OpenVSwitch: found bridge mappings"},
		{"another southbound", func(f *Facts, _ *Wanted) {
			f.OVS.ExternalIDs["ovn-remote"] = "ssl:198.51.100.1:6642,ssl:198.51.100.2:6642"
		}, "Refuse OVN: found chassis chassis-a of ssl:198.51.100.1:6642, ssl:198.51.100.2:6642, wanted tcp:192.0.2.5:6642", "same"},
		{"an unknown southbound", func(_ *Facts, w *Wanted) { w.Southbound = nil }, "Note OVN: found chassis chassis-a of tcp:192.0.2.5:6642: where it should be is not known", "same"},
		{"another tunnel end", func(_ *Facts, w *Wanted) { w.Encapsulation = "192.0.2.51" }, "Refuse OVN: found tunnels at 192.0.2.50, wanted 192.0.2.51", "Note OVN: found tunnels"},
		{"another name to come", func(f *Facts, _ *Wanted) { f.Identity.SystemID = "chassis-b" }, "Refuse OVN: found system-id chassis-a, and chassis-b in system-id.conf", "Note OVN: found system-id"},
		{"closed way", func(f *Facts, _ *Wanted) { f.Endpoints["192.0.2.5:5000"] = "no answer" }, "Refuse Endpoints: found Keystone at 192.0.2.5:5000: no answer, wanted a connection", "same"},
		{"no word", func(f *Facts, _ *Wanted) { delete(f.Endpoints, "192.0.2.5:5000") }, "Refuse Endpoints: found no word of Keystone", "same"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.empty == "same" {
				c.empty = c.running
			}
			for _, guests := range []bool{true, false} {
				want := c.empty
				f, w := compute(), wanted()
				if guests {
					want = c.running
				} else {
					f.Guests = nil
				}
				c.change(&f, &w)
				got := slices.DeleteFunc(told(Decide(f, w, nil)), func(line string) bool {
					return strings.HasPrefix(line, "Note Services: found nova-compute running") || strings.Contains(line, "): left running")
				})
				switch {
				case want == "" && len(got) > 0, want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)):
					t.Errorf("with virtual machines %t:\n%s\nwant %s", guests, strings.Join(got, "\n"), want)
				}
			}
		})
	}
}

func TestEndpointsBeforeTheNetwork(t *testing.T) {
	t.Parallel()
	f, w := fresh(), wanted()
	w.Addresses = append(w.Addresses, "198.51.100.7")
	f.Endpoints["192.0.2.5:5000"], f.Endpoints["192.0.2.1:80"] = "no answer", "connection refused"
	got := told(Decide(f, w, nil))
	if len(got) != 2 || !strings.HasPrefix(got[0], "Note Endpoints: found Keystone") || !strings.HasPrefix(got[1], "Refuse Endpoints: found package repository") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

func TestServicesThatAreNotListedMatterLess(t *testing.T) {
	t.Parallel()
	f, w := compute(), wanted()
	f.OVS.ExternalIDs["ovn-remote"] = "tcp:198.51.100.1:6642"
	f.OVS.Bridges[0].Controllers = []string{"tcp:127.0.0.1:6633"}
	f.Units = append(f.Units, Unit{Name: "neutron-l3-agent.service", Active: "active"})
	w.Services = []string{"bootstrap", "ssh-known-hosts"}
	if refused := Refused(Decide(f, w, nil)); len(refused) > 0 {
		t.Errorf("refused %s", Message(refused))
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	f := fresh()
	f.OS.Version, f.Disks[0].FreeBytes = "11", 0
	findings := Decide(f, wanted(), []v1alpha1.AdoptionFinding{v1alpha1.FindingOperatingSystem})
	if got := Message(Refused(findings)); !strings.HasPrefix(got, "Disk: found 0 GiB free on /, wanted 10 GiB") || strings.Contains(got, "OperatingSystem") {
		t.Errorf("refused %q", got)
	}
	if noted := Noted(findings); len(noted) != 1 || !noted[0].Accepted {
		t.Errorf("noted %+v", noted)
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	f := fresh()
	f.Unread = map[v1alpha1.AdoptionFinding]string{v1alpha1.FindingOpenVSwitch: "PermissionError"}
	if got := Message(Refused(Decide(f, wanted(), nil))); got != "OpenVSwitch: found nothing, because it could not be looked at (PermissionError), wanted an answer: log in and see why" {
		t.Errorf("%q", got)
	}
}

func TestOurs(t *testing.T) {
	t.Parallel()
	f := fresh()
	if Ours(f, wanted()) {
		t.Error("a fresh server is ours")
	}
	if f.Record = []string{"compute-a", "compute-a.example.com"}; !Ours(f, wanted()) {
		t.Error("one with our record is not")
	}
	if f.Record = []string{"compute-a", "compute-a.other.example"}; Ours(f, wanted()) {
		t.Error("one that served another site is ours")
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"6.12.10-amd64", "6.12.9-amd64"},
		{"6.1.0-31-amd64", "6.1.0-9-amd64"},
		{"5.14.0-503.11.1.el9_5.x86_64", "5.14.0-427.el9.x86_64"},
		{"6.12", "6.1"},
		{"6.1.1", "6.1"},
		{"5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.el9.x86_64"},
	} {
		if !newer(pair[0], pair[1]) || newer(pair[1], pair[0]) {
			t.Errorf("%s is not newer than %s", pair[0], pair[1])
		}
	}
	if got := newestOf([]string{"5.14.0-1.el9.x86_64", "0-rescue-0123", "9-rescue"}); got != "5.14.0-1.el9.x86_64" {
		t.Errorf("newest %s", got)
	}
}

// TestGolden keeps everything that is said of two servers as a person would see it.
func TestGolden(t *testing.T) {
	t.Parallel()
	unfit := compute()
	unfit.OS = OS{ID: "debian", Version: "11", Name: "Debian GNU/Linux 11 (bullseye)"}
	unfit.Identity.HostName, unfit.Identity.FQDN = "node17", "node17.old.example"
	unfit.Disks[0].FreeBytes = 12 << 27
	unfit.Clock.Unix -= 95 * 60_000
	unfit.OVS.ExternalIDs["ovn-remote"] = "tcp:198.51.100.1:6642"
	unfit.Units = append(unfit.Units, Unit{Name: "tripleo_nova_compute.service", Enabled: "enabled"}, Unit{Name: "tripleo_ovn_controller.service", Active: "active"})
	unfit.Containers = []Container{{Name: "ovn_controller", Runtime: "podman", Running: true}}
	unfit.Endpoints["192.0.2.5:5000"] = "connection refused"
	for name, facts := range map[string]Facts{"fresh": fresh(), "unfit": unfit} {
		var b strings.Builder
		for _, f := range Decide(facts, wanted(), nil) {
			fmt.Fprintf(&b, "%-6s %s\n", f.Verdict, f)
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(golden), b.String()); diff != "" {
			t.Errorf("%s (-golden +now; -update writes it anew):\n%s", name, diff)
		}
	}
}

// drawn is a server with any mixture of the things the checks look at.
func drawn(t *rapid.T) (Facts, Wanted) {
	f, w := compute(), wanted()
	word := rapid.SampledFrom([]string{"", "tcp:192.0.2.5:6642", "compute-a", "br-tun", "nova_compute", "tripleo_x.service", "nova-compute.service", "active", "a\x1b[31m\nb", "active\u202e"})
	words := rapid.SliceOfN(word, 0, 4)
	flag := rapid.Bool()
	f.OS = OS{ID: word.Draw(t, "id"), Like: words.Draw(t, "like"), Version: word.Draw(t, "version"), Name: word.Draw(t, "name")}
	f.Kernel = Kernel{Running: word.Draw(t, "running"), Installed: words.Draw(t, "installed"), KVM: flag.Draw(t, "kvm")}
	for _, name := range words.Draw(t, "units") {
		f.Units = append(f.Units, Unit{Name: name, Active: word.Draw(t, "active")})
		f.Containers = append(f.Containers, Container{Name: name, Running: flag.Draw(t, "up")})
		f.Packages = append(f.Packages, Package{Name: name, State: word.Draw(t, "state")})
		f.OVS.Bridges = append(f.OVS.Bridges, Bridge{Name: name, Controllers: words.Draw(t, "controllers")})
		f.Disks = append(f.Disks, Disk{Path: name, Device: rapid.Int64Range(0, 3).Draw(t, "device"), FreeBytes: rapid.Int64().Draw(t, "free")})
	}
	if flag.Draw(t, "empty") {
		f.Guests = nil
	}
	f.Clock.Unix = rapid.Int64Range(1, 1<<50).Draw(t, "unix")
	f.OVS.ExternalIDs = map[string]string{"ovn-remote": word.Draw(t, "remote"), "ovn-encap-ip": word.Draw(t, "encap"), "system-id": word.Draw(t, "chassis")}
	f.Addresses = words.Draw(t, "addresses")
	w.Services = rapid.SliceOf(rapid.SampledFrom(append(w.Services, "reboot-os"))).Draw(t, "services")
	return f, w
}

func TestFindingsDoNotDependOnOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, w := drawn(t)
		first := Decide(f, w, nil)
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, seed))
		shuffle(r, f.Units)
		shuffle(r, f.Containers)
		shuffle(r, f.Packages)
		shuffle(r, f.Guests)
		shuffle(r, f.OVS.Bridges)
		shuffle(r, f.Kernel.Installed)
		shuffle(r, f.Addresses)
		shuffle(r, w.Endpoints)
		if diff := cmp.Diff(first, Decide(f, w, nil)); diff != "" {
			t.Fatalf("another order gives other findings:\n%s", diff)
		}
	})
}

func shuffle[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func TestEveryFindingIsTold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, w := drawn(t)
		findings := Decide(f, w, Names())
		for _, name := range Names() {
			if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Name == name }) {
				t.Fatalf("nothing is said of %s", name)
			}
		}
		for _, found := range findings {
			if found.Verdict == Refuse {
				t.Fatalf("%s refuses although all is accepted", found)
			}
			if strings.ContainsFunc(found.String(), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("%q would reach a terminal", found)
			}
		}
	})
}

func TestTheSameAMomentLater(t *testing.T) {
	t.Parallel()
	f, w := compute(), wanted()
	f.Clock.Unix += 95 * 60_000
	first := Decide(f, w, nil)
	f.Clock.Unix += 300
	f.Disks[0].FreeBytes -= 4096
	if diff := cmp.Diff(first, Decide(f, w, nil)); diff != "" {
		t.Errorf("findings change by themselves:\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	good, err := json.Marshal(compute())
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(good)
	if diff := cmp.Diff(compute(), f); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, text := range map[string]string{
		"nothing": "", "prose": "Welcome to compute-a!", "a list": "[]", "null": "null", "no facts": "{}", "two": string(good) + string(good),
		"unknown field": `{"shell": "rm"}`, "wrong type": `{"os": 7}`, "unknown finding": strings.Replace(string(good), `"unread":null`, `"unread":{"Weather":"x"}`, 1),
		"too much": strings.Replace(string(good), `"addresses":["192.0.2.50"]`, `"addresses":["1"`+strings.Repeat(`,"1"`, maxItems)+`]`, 1),
	} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is taken for facts", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := json.Marshal(compute())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"os":{"id":"x"},"kernel":{"running":"x"},"identity":{"hostName":"x"},"clock":{"unix":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		facts, err := Parse(data)
		if err != nil {
			return
		}
		for _, finding := range Decide(facts, wanted(), nil) {
			if text := finding.String(); len([]rune(text)) > 4*longest || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("%q", text)
			}
		}
	})
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	w := Wanted{Endpoints: []Endpoint{{Address: "b:1"}, {Address: "a:1"}, {Address: "b:1"}}}
	if diff := cmp.Diff(Question{Connect: []string{"a:1", "b:1"}}, w.Question()); diff != "" {
		t.Error(diff)
	}
	if text, err := json.Marshal(Wanted{}.Question()); err != nil || string(text) != `{"connect":[]}` {
		t.Errorf("%s, %v", text, err)
	}
}
