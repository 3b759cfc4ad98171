package claim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

func ref(name string) v1alpha1.HostReference {
	return v1alpha1.HostReference{Namespace: "metal", Name: name, UID: types.UID("uid-" + name)}
}

// idle is an available, inspected host that is lent to the namespace of the nodes: x86_64, 32 CPUs, 256 GiB, two 25 Gbit/s interfaces, 960 GiB disk, rack r7.
func idle(name string, change ...func(*Host)) Host {
	h := Host{
		Ref:    ref(name),
		Labels: map[string]string{"rack": "r7"},
		State:  "available",
		LentTo: []string{"edpm"},
		Hardware: &hardware.Details{
			Arch: "x86_64", CPUs: 32, MemoryMiB: 256 * 1024, LargestDiskGiB: 960,
			NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01", SpeedGbps: 25}, {Name: "eno2", MAC: "52:54:00:00:00:02", SpeedGbps: 25}},
		},
	}
	for _, f := range change {
		f(&h)
	}
	return h
}

func owner(name string) Owner {
	return Owner{Namespace: "edpm", Name: name, UID: types.UID("uid-" + name)}
}

func need(name string, change ...func(*Need)) Need {
	n := Need{Node: owner(name), HostNamespace: "metal"}
	for _, f := range change {
		f(&n)
	}
	return n
}

func holding(host string) func(*Need) {
	return func(n *Need) { r := ref(host); n.Held = &r }
}

func inRack(rack string) func(*Need) {
	return func(n *Need) { n.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"rack": rack}} }
}

func claimed(by Owner) func(*Host) {
	return func(h *Host) { h.Consumer, h.ConsumerKind = &by, OwnerKind }
}

func makePlan(t *testing.T, needs []Need, hosts []Host) Plan {
	t.Helper()
	plan, err := Make(needs, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// sketch writes a plan as "node=host" words, to be read at a glance.
func sketch(p Plan) string {
	var words []string
	for _, part := range []struct {
		name string
		list []Assignment
	}{{"keep", p.Keep}, {"take", p.Take}, {"drop", p.Drop}} {
		for _, a := range part.list {
			words = append(words, fmt.Sprintf("%s %s=%s", part.name, a.Node.Name, a.Host.Name))
		}
	}
	for _, u := range p.Unmet {
		words = append(words, "unmet "+u.Node.Name)
	}
	return strings.Join(words, ", ")
}

func TestMake(t *testing.T) {
	other := Owner{Namespace: "edpm", Name: "x", UID: "uid-x"}
	remade := ref("h1")
	remade.UID = "another"
	cases := []struct {
		name  string
		needs []Need
		hosts []Host
		want  string
	}{
		{"nothing", nil, nil, ""},
		{"by name", []Need{need("n1"), need("n0")}, []Host{idle("h2"), idle("h1")}, "take n0=h1, take n1=h2"},
		{"no host at all", []Need{need("n0")}, nil, "unmet n0"},
		{"held and free stays", []Need{need("n0", holding("h2"))}, []Host{idle("h1"), idle("h2")}, "keep n0=h2"},
		{
			"held and ours stays whatever it looks like now",
			[]Need{need("n0", holding("h2"), inRack("r9"))},
			[]Host{idle("h1"), idle("h2", claimed(owner("n0")), func(h *Host) { h.State, h.HasImage = "provisioned", true })},
			"keep n0=h2",
		},
		{"held but gone", []Need{need("n0", holding("h9"))}, []Host{idle("h1")}, "take n0=h1, drop n0=h9"},
		{"held but made anew", []Need{need("n0", func(n *Need) { n.Held = &remade })}, []Host{idle("h1")}, "take n0=h1, drop n0=h1"},
		{"held but taken by another", []Need{need("n0", holding("h1"))}, []Host{idle("h1", claimed(other)), idle("h2")}, "take n0=h2, drop n0=h1"},
		{
			"held but taken by another kind",
			[]Need{need("n0", holding("h1"))},
			[]Host{idle("h1", claimed(owner("n0")), func(h *Host) { h.ConsumerKind = "Metal3Machine" })},
			"drop n0=h1, unmet n0",
		},
		{
			"held but taken by our former self",
			[]Need{need("n0", holding("h1"))},
			[]Host{idle("h1", claimed(Owner{Namespace: "edpm", Name: "n0", UID: "old"}))},
			"drop n0=h1, unmet n0",
		},
		{
			"two hold one host",
			[]Need{need("n1", holding("h1")), need("n0", holding("h1"))},
			[]Host{idle("h1"), idle("h2")},
			"keep n0=h1, take n1=h2, drop n1=h1",
		},
		{"claimed but forgotten", []Need{need("n0")}, []Host{idle("h1"), idle("h2", claimed(owner("n0")))}, "take n0=h2"},
		{
			"names alone tell nodes apart offline",
			[]Need{need("n0", holding("h1"), func(n *Need) { n.Node.UID = "" })},
			[]Host{idle("h1", claimed(owner("n0")))},
			"keep n0=h1",
		},
		{
			"the picky one is served by moving the easy one",
			[]Need{need("easy"), need("picky", inRack("r8"))},
			[]Host{idle("h1", func(h *Host) { h.Labels["rack"] = "r8" }), idle("h2")},
			"take easy=h2, take picky=h1",
		},
		{"a long chain", []Need{need("a", inRack("r1")), need("b", inRack("r2")), need("c", inRack("r3"))}, []Host{
			idle("h1", func(h *Host) { h.Labels["rack"] = "r1" }), idle("h2", func(h *Host) { h.Labels["rack"] = "r2" }),
			idle("h3", func(h *Host) { h.Labels["rack"] = "r3" }),
		}, "take a=h1, take b=h2, take c=h3"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, sketch(makePlan(t, c.needs, c.hosts))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	demanding := need("n0", inRack("r7"), func(n *Need) {
		n.Labels = map[string]string{"slot": "1"}
		n.Requirements = v1alpha1.HardwareRequirements{
			CPU:    v1alpha1.CPURequirement{Arch: "x86_64", MinCount: 32},
			Memory: v1alpha1.MemoryRequirement{MinGiB: 256},
			NICs:   v1alpha1.NICRequirement{MinCount: 2, MinGbps: 25},
			Disk:   v1alpha1.DiskRequirement{MinGiB: 900},
		}
	})
	unspeeded := need("n0", func(n *Need) { n.Requirements.NICs.MinCount = 3 })
	cases := []struct {
		need   Need
		change func(*Host)
		want   string // of the refusal, and its host
	}{
		{demanding, func(h *Host) { h.Ref.Namespace = "lab" }, "in namespace lab, needs metal: lab/h1"},
		{demanding, func(h *Host) { h.Labels["rack"] = "r8" }, "labels do not match spec.hosts.selector (rack=r7): h1"},
		{demanding, func(h *Host) { delete(h.Labels, "slot") }, "labels do not match the node's bmhLabelSelector (slot=1): h1"},
		{demanding, claimed(Owner{Namespace: "edpm", Name: "x"}), "claimed by DataPlaneNode edpm/x: h1"},
		{demanding, func(h *Host) { h.Deleting = true }, "being deleted: h1"},
		{demanding, func(h *Host) { h.ExternallyProvisioned = true }, "externally provisioned: h1"},
		{demanding, func(h *Host) { h.Error = "power management error: timeout" }, "host error: power management error: timeout: h1"},
		{demanding, func(h *Host) { h.Detached = true }, "detached: remove annotation baremetalhost.metal3.io/detached: h1"},
		{demanding, func(h *Host) { h.Paused = true }, "paused: remove annotation baremetalhost.metal3.io/paused: h1"},
		{demanding, func(h *Host) { h.HasImage = true }, "already has an image: clear spec.image to free it: h1"},
		{demanding, func(h *Host) { h.State = "inspecting" }, "state inspecting, needs available: h1"},
		{demanding, func(h *Host) { h.State = "" }, "not registered yet, needs state available: h1"},
		{demanding, func(h *Host) { h.Hardware = nil }, "not inspected yet: h1"},
		{demanding, func(h *Host) { h.Hardware.Arch = "aarch64" }, "architecture aarch64, needs x86_64: h1"},
		{demanding, func(h *Host) { h.Hardware.Arch = "" }, "architecture unknown, needs x86_64: h1"},
		{demanding, func(h *Host) { h.Hardware.CPUs = 16 }, "16 CPUs, needs 32: h1"},
		{demanding, func(h *Host) { h.Hardware.MemoryMiB = 64 * 1024 }, "memory 64 GiB, needs 256 GiB: h1"},
		{demanding, func(h *Host) { h.Hardware.MemoryMiB = 256*1024 - 1 }, "memory 255.9 GiB, needs 256 GiB: h1"},
		{demanding, func(h *Host) { h.Hardware.NICs[1].SpeedGbps = 10 }, "1 NICs of at least 25 Gbit/s, needs 2: h1"},
		{demanding, func(h *Host) { h.Hardware.NICs[1] = h.Hardware.NICs[0] }, "1 NICs of at least 25 Gbit/s, needs 2: h1"},
		{demanding, func(h *Host) { h.Hardware.LargestDiskGiB = 480 }, "largest disk 480 GiB, needs 900 GiB: h1"},
		{unspeeded, func(*Host) {}, "2 NICs, needs 3: h1"},
	}
	for _, c := range cases {
		t.Run(c.want, func(t *testing.T) {
			host := idle("h1", func(h *Host) { h.Labels["slot"] = "1" }, c.change)
			plan := makePlan(t, []Need{c.need}, []Host{host})
			if len(plan.Unmet) != 1 || len(plan.Unmet[0].Refusals) == 0 {
				t.Fatalf("want a refusal, got %+v", plan)
			}
			r := plan.Unmet[0].Refusals[0]
			if got := r.Reason + ": " + strings.Join(r.Hosts, ", "); got != c.want {
				t.Errorf("got %q", got)
			}
			ok := idle("h1", func(h *Host) {
				h.Labels["slot"] = "1"
				h.Hardware.NICs = append(h.Hardware.NICs, hardware.NIC{Name: "eno3"})
			})
			if plan := makePlan(t, []Need{c.need}, []Host{ok}); len(plan.Take) != 1 {
				t.Errorf("the host is refused without the flaw: %+v", plan.Unmet)
			}
		})
	}
}

func TestOlderStateNameIsAvailable(t *testing.T) {
	plan := makePlan(t, []Need{need("n0")}, []Host{idle("h1", func(h *Host) { h.State = "ready" })})
	if got := sketch(plan); got != "take n0=h1" {
		t.Error(got)
	}
}

func TestUnmetExplains(t *testing.T) {
	big := func(n *Need) { n.Requirements.Memory.MinGiB = 256 }
	small := func(h *Host) { h.Hardware.MemoryMiB = 64 * 1024 }
	plan := makePlan(t,
		[]Need{need("a", big), need("b", big), need("c", big), need("d", holding("h4")), need("e", inRack("r9")), need("f", inRack("r9"))},
		[]Host{idle("h1"), idle("h2"), idle("h3", small), idle("h4"), idle("h5", small), idle("h6", func(h *Host) { small(h); h.Labels["rack"] = "r9" })})
	want := []Unmet{
		{
			Node: owner("c"),
			Refusals: []Refusal{
				{Reason: "memory 64 GiB, needs 256 GiB", Hosts: []string{"h3", "h5", "h6"}},
				{Reason: "planned for DataPlaneNode edpm/d", Hosts: []string{"h4"}},
			},
			Blocking: []Owner{owner("a"), owner("b")},
		},
		{
			Node: owner("f"),
			Refusals: []Refusal{
				{Reason: "labels do not match spec.hosts.selector (rack=r9)", Hosts: []string{"h1", "h2", "h3", "h4", "h5"}},
			},
			Blocking: []Owner{owner("e")},
		},
	}
	if diff := cmp.Diff(want, plan.Unmet); diff != "" {
		t.Error(diff)
	}
}

func TestMessage(t *testing.T) {
	cases := []struct {
		unmet Unmet
		want  string
	}{
		{Unmet{}, "there is no BareMetalHost: create BareMetalHosts for the servers, or correct spec.hosts.namespace of the NodeSet"},
		{
			Unmet{Refusals: []Refusal{{Reason: "memory 64 GiB, needs 256 GiB", Hosts: []string{"h1", "h2", "h3", "h4", "h5", "h6", "h7"}}, {Reason: "not inspected yet", Hosts: []string{"h8"}}}},
			"no host left (memory 64 GiB, needs 256 GiB: h1, h2, h3, h4, h5 and 2 more; not inspected yet: h8): add or free a BareMetalHost, or relax spec.hosts of the NodeSet",
		},
		{
			Unmet{Node: owner("c"), Blocking: []Owner{owner("a"), owner("b")}},
			"no host left (3 nodes compete for 2 fitting hosts, which go to edpm/a, edpm/b): add or free a BareMetalHost, or relax spec.hosts of the NodeSet",
		},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, c.unmet.Message()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMalformedSelector(t *testing.T) {
	bad := need("n7", func(n *Need) {
		n.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Near"}}}
	})
	_, err := Make([]Need{need("n0"), bad}, []Host{idle("h1")})
	if err == nil || !strings.Contains(err.Error(), "node edpm/n7: spec.hosts.selector is malformed") {
		t.Errorf("error does not name node and field: %v", err)
	}
}

func TestFromBareMetalHost(t *testing.T) {
	now := metav1.Now()
	full := metal3v1alpha1.BareMetalHost{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "metal", Name: "h1", UID: "u1", Labels: map[string]string{"rack": "r7"}, DeletionTimestamp: &now,
			Annotations: map[string]string{"baremetalhost.metal3.io/paused": "", "baremetalhost.metal3.io/detached": ""},
		},
		Spec: metal3v1alpha1.BareMetalHostSpec{
			ExternallyProvisioned: true, Image: &metal3v1alpha1.Image{URL: "http://images/x"},
			ConsumerRef: &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "edpm", Name: "n0", UID: "u2"},
		},
		Status: metal3v1alpha1.BareMetalHostStatus{
			ErrorType: metal3v1alpha1.PowerManagementError, ErrorMessage: "no\n answer",
			Provisioning: metal3v1alpha1.ProvisionStatus{State: metal3v1alpha1.StateProvisioned},
			HardwareDetails: &metal3v1alpha1.HardwareDetails{
				CPU: metal3v1alpha1.CPU{Arch: "x86_64", Count: 8}, RAMMebibytes: 16384,
				NIC:     []metal3v1alpha1.NIC{{Name: "eno1", MAC: "52:54:00:AA:BB:CC", SpeedGbps: 25}},
				Storage: []metal3v1alpha1.Storage{{SizeBytes: 5 * metal3v1alpha1.GibiByte}, {SizeBytes: 9*metal3v1alpha1.GibiByte + 5}, {}},
			},
		},
	}
	want := Host{
		Ref: v1alpha1.HostReference{Namespace: "metal", Name: "h1", UID: "u1"}, Labels: map[string]string{"rack": "r7"}, State: "provisioned",
		Consumer: &Owner{Namespace: "edpm", Name: "n0", UID: "u2"}, ConsumerKind: "DataPlaneNode",
		Paused: true, Detached: true, Deleting: true, ExternallyProvisioned: true, HasImage: true,
		Error: "power management error: no answer",
		Hardware: &hardware.Details{
			Arch: "x86_64", CPUs: 8, MemoryMiB: 16384, NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:aa:bb:cc", SpeedGbps: 25}}, LargestDiskGiB: 9,
		},
	}
	if diff := cmp.Diff(want, FromBareMetalHost(full)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Host{}, FromBareMetalHost(metal3v1alpha1.BareMetalHost{})); diff != "" {
		t.Error(diff)
	}
	typeOnly := metal3v1alpha1.BareMetalHost{Status: metal3v1alpha1.BareMetalHostStatus{ErrorType: metal3v1alpha1.InspectionError}}
	if got := FromBareMetalHost(typeOnly).Error; got != "inspection error" {
		t.Error(got)
	}
	custom := metal3v1alpha1.BareMetalHost{Spec: metal3v1alpha1.BareMetalHostSpec{CustomDeploy: &metal3v1alpha1.CustomDeploy{Method: "x"}}}
	if !FromBareMetalHost(custom).HasImage {
		t.Error("customDeploy does not count as an image")
	}
}

// TestNamesAreNumbered: node 2 gets host 2 and not host 10, whatever order they are told in.
func TestNamesAreNumbered(t *testing.T) {
	var hosts []Host
	var needs []Need
	for i := range 12 {
		hosts = append(hosts, idle(fmt.Sprintf("compute-%d", 11-i)))
	}
	for i := range 11 {
		needs = append(needs, need(fmt.Sprintf("n%d", i)))
	}
	for _, a := range makePlan(t, needs, hosts).Take {
		if got, want := strings.TrimPrefix(a.Host.Name, "compute-"), strings.TrimPrefix(a.Node.Name, "n"); got != want {
			t.Errorf("%s gets %s", a.Node.Name, a.Host.Name)
		}
	}
}

// TestRemedyNamesTheFieldThatHoldsTheHost.
func TestRemedyNamesTheFieldThatHoldsTheHost(t *testing.T) {
	bmh := metal3v1alpha1.BareMetalHost{}
	bmh.Namespace, bmh.Status.Provisioning.State = "edpm", metal3v1alpha1.StateAvailable
	bmh.Spec.CustomDeploy = &metal3v1alpha1.CustomDeploy{Method: "install_coreos"}
	n := need("n0")
	n.HostNamespace = "edpm"
	if got, err := Refused(n, FromBareMetalHost(bmh)); err != nil || !strings.Contains(got, "clear spec.customDeploy") || strings.Contains(got, "image") {
		t.Errorf("%q (%v)", got, err)
	}
}
