package claim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

func in(namespace string) func(*Host) {
	return func(h *Host) { h.Ref.Namespace, h.LentTo = namespace, nil }
}

func policy(namespace, rack string, to ...string) v1alpha1.HostClaimPolicy {
	p := v1alpha1.HostClaimPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
	p.Spec.Namespaces = to
	if rack != "" {
		p.Spec.HostSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"rack": rack}}
	}
	return p
}

func TestLend(t *testing.T) {
	broken := policy("metal", "", "edpm")
	broken.Spec.HostSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Near"}}}
	cases := []struct {
		name     string
		policies []v1alpha1.HostClaimPolicy
		want     string // who has each host lent, host by host
	}{
		{"nobody without a policy", nil, "h1: h2: h3:"},
		{"hosts of the policy's namespace only", []v1alpha1.HostClaimPolicy{policy("other", "", "edpm")}, "h1: h2: h3:edpm"},
		{"all of it without a selector", []v1alpha1.HostClaimPolicy{policy("metal", "", "edpm", "a")}, "h1:a,edpm h2:a,edpm h3:"},
		{"what the selector matches", []v1alpha1.HostClaimPolicy{policy("metal", "r8", "edpm")}, "h1: h2:edpm h3:"},
		{"policies add up", []v1alpha1.HostClaimPolicy{policy("metal", "r8", "edpm"), policy("metal", "", "b", "edpm")}, "h1:b,edpm h2:b,edpm h3:"},
		{"a malformed one lends nothing", []v1alpha1.HostClaimPolicy{broken}, "h1: h2: h3:"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			hosts := []Host{idle("h1"), idle("h2", func(h *Host) { h.Labels["rack"] = "r8" }), idle("h3", in("other"))}
			Lend(hosts, c.policies)
			var got []string
			for _, h := range hosts {
				got = append(got, h.Ref.Name+":"+strings.Join(h.LentTo, ","))
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOthersAreCountedAndNeverNamed: what a namespace may not see is told as a number, whatever is wrong with it and
// whoever has it.
func TestOthersAreCountedAndNeverNamed(t *testing.T) {
	hosts := []Host{
		idle("secret1", in("payroll"), claimed(Owner{Namespace: "payroll", Name: "db-7"})), idle("secret2", in("payroll")), idle("secret3", in("attic")),
		idle("mine", func(h *Host) { h.Labels["rack"] = "r1" }), idle("lent", claimed(Owner{Namespace: "payroll", Name: "db-7"})),
	}
	needs := []Need{
		need("n0", inRack("r7")),
		{Node: Owner{Namespace: "payroll", Name: "db-8"}, HostNamespace: "metal", Selector: need("x", inRack("r1")).Selector},
		need("n1", inRack("r1")), need("n2", func(n *Need) { n.HostNamespace = "payroll" }), need("n3", func(n *Need) { n.HostNamespace = "absent" }),
	}
	hosts[3].LentTo = []string{"edpm", "payroll"}
	plan := makePlan(t, needs, hosts)
	told := map[string]string{}
	for _, u := range plan.Unmet {
		told[u.Node.Name] = u.Message()
		if u.Node.Namespace == "payroll" {
			continue
		}
		for _, word := range []string{"secret", "db-", "attic"} {
			if strings.Contains(u.Message(), word) {
				t.Errorf("%s is told %q: %s", u.Node.Name, word, u.Message())
			}
		}
	}
	if !strings.Contains(told["n0"], "claimed by a consumer of another namespace: lent") || !strings.Contains(told["n0"], "3 hosts of other namespaces") {
		t.Errorf("n0: %s", told["n0"])
	}
	if want := strings.ReplaceAll(told["n2"], "payroll", "absent"); told["n3"] != want || !strings.Contains(want, "namespace absent lends no host to namespace edpm") {
		t.Errorf("it is told whether a namespace has hosts:\n%s\n%s", told["n2"], told["n3"])
	}
	if len(told) != 4 {
		t.Errorf("told %v", told)
	}
}

func TestRivalsOfOtherNamespaces(t *testing.T) {
	u := Unmet{Node: owner("c"), Blocking: []Owner{owner("a"), {Namespace: "payroll", Name: "db-7"}}}
	want := "no host left (3 nodes compete for 2 fitting hosts, which go to edpm/a and 1 of other namespaces): add or free a BareMetalHost, or relax spec.hosts of the NodeSet"
	if diff := cmp.Diff(want, u.Message()); diff != "" {
		t.Error(diff)
	}
}

// TestConsentDecidesThePlan: hosts that are not lent are given to nobody; a claim that was made stays when they no longer are.
func TestConsentDecidesThePlan(t *testing.T) {
	unlent := func(h *Host) { h.LentTo = nil }
	handedOver := func(h *Host) { h.HasImage, h.State, h.UserData = true, "provisioned", "n0.edpm-userdata" }
	nameless := claimed(Owner{Namespace: "edpm", Name: "n0"})
	cases := []struct {
		name string
		need Need
		host Host
		want string
	}{
		{"lent", need("n0"), idle("h1"), "take n0=h1"},
		{"not lent", need("n0"), idle("h1", unlent), "unmet n0"},
		{"planned, then no longer lent", need("n0", holding("h1")), idle("h1", unlent), "drop n0=h1, unmet n0"},
		{"planned, then another image on it", need("n0", holding("h1")), idle("h1", func(h *Host) { h.HasImage = true }), "drop n0=h1, unmet n0"},
		{"planned, then of another rack", need("n0", holding("h1"), inRack("r9")), idle("h1"), "drop n0=h1, unmet n0"},
		{"claimed, then no longer lent", need("n0", holding("h1")), idle("h1", unlent, claimed(owner("n0"))), "keep n0=h1"},
		{"its own server, whose claim was cleared", need("n0", holding("h1")), idle("h1", handedOver), "keep n0=h1"},
		{"the same, and no longer lent", need("n0", holding("h1")), idle("h1", handedOver, unlent), "drop n0=h1, unmet n0"},
		{"named without a UID while it serves another", need("n0"), idle("h1", nameless, func(h *Host) { h.HasImage = true }), "unmet n0"},
		{"named without a UID, its own server", need("n0"), idle("h1", nameless, handedOver), "take n0=h1"},
		{"pushed onto it from elsewhere", need("n0"), idle("h1", in("evil"), claimed(owner("n0"))), "unmet n0"},
		{"only keeps, and it is claimed", need("n0", holding("h1"), func(n *Need) { n.OnlyKeeps = true }), idle("h1", claimed(owner("n0"))), "keep n0=h1"},
		{"only keeps, and it is free", need("n0", holding("h1"), func(n *Need) { n.OnlyKeeps = true }), idle("h1"), "drop n0=h1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, sketch(makePlan(t, []Need{c.need}, []Host{c.host}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestClaimAsksEveryRule: what is refused at the claim is what is refused by the plan.
func TestClaimAsksEveryRule(t *testing.T) {
	demanding := need("n0", inRack("r7"), func(n *Need) { n.Requirements.Memory.MinGiB = 256 })
	for want, change := range map[string]func(*Host){
		"":                        func(*Host) {},
		"in namespace lab":        func(h *Host) { h.Ref.Namespace = "lab" },
		"no HostClaimPolicy":      func(h *Host) { h.LentTo = nil },
		"labels do not match":     func(h *Host) { h.Labels = nil },
		"claimed by":              claimed(owner("x")),
		"being deleted":           func(h *Host) { h.Deleting = true },
		"externally provisioned":  func(h *Host) { h.ExternallyProvisioned = true },
		"host error":              func(h *Host) { h.Error = "x" },
		"detached":                func(h *Host) { h.Detached = true },
		"paused":                  func(h *Host) { h.Paused = true },
		"already has an image":    func(h *Host) { h.HasImage = true },
		"the same server as":      func(h *Host) { h.Twin = "the same server as h0" },
		"state inspecting, needs": func(h *Host) { h.State = "inspecting" },
		"not inspected yet":       func(h *Host) { h.Hardware = nil },
		"memory 64 GiB, needs":    func(h *Host) { h.Hardware.MemoryMiB = 64 << 10 },
	} {
		host := idle("h1", change)
		got, err := Refused(demanding, host)
		if err != nil || !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("refused for %q (%v), want %q", got, err, want)
		}
		if planned := len(makePlan(t, []Need{demanding}, []Host{host}).Take) == 1; planned != (got == "") {
			t.Errorf("plan and claim differ on %q", got)
		}
	}
	bad := demanding
	bad.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Near"}}}
	if _, err := Refused(bad, idle("h1")); err == nil {
		t.Error("a malformed selector is taken")
	}
}

// TestOneServerWrittenDownTwice is given out once, and both names are told with what they share.
func TestOneServerWrittenDownTwice(t *testing.T) {
	at := func(bmc, mac string) func(*Host) {
		return func(h *Host) { h.BMC, h.BootMAC = bmc, mac }
	}
	cases := []struct {
		name  string
		hosts []Host
		want  string
		words string
	}{
		{"one BMC", []Host{idle("u01", at("b1", "1")), idle("u02", at("b1", "2"))}, "take n0=u01, unmet n1", "the same server as u01 by spec.bmc.address: delete one of the two: u02"},
		{"one boot MAC", []Host{idle("u01", at("b1", "1")), idle("u02", at("b2", "1"))}, "take n0=u01, unmet n1", "the same server as u01 by spec.bootMACAddress: delete one of the two: u02"},
		{"the one in use stays", []Host{idle("u01", at("b1", "1")), idle("u02", at("b1", "1"), claimed(owner("x")))}, "unmet n0, unmet n1", "the same server as u02 by spec.bmc.address: delete one of the two: u01"},
		{"the one in use comes first", []Host{idle("u01", at("b1", "1"), claimed(owner("x"))), idle("u02", at("b1", "1"))}, "unmet n0, unmet n1", "the same server as u01 by spec.bmc.address: delete one of the two: u02"},
		{"neither is known", []Host{idle("u01"), idle("u02")}, "take n0=u01, take n1=u02", ""},
		{"another namespace's word counts for nothing", []Host{idle("a", in("evil"), at("b1", "1")), idle("u01", at("b1", "1"))}, "take n0=u01, unmet n1", "1 host of other namespaces"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			Pair(c.hosts)
			plan := makePlan(t, []Need{need("n0"), need("n1")}, c.hosts)
			if diff := cmp.Diff(c.want, sketch(plan)); diff != "" {
				t.Error(diff)
			}
			for _, u := range plan.Unmet {
				if !strings.Contains(u.Message(), c.words) {
					t.Errorf("no %q in %s", c.words, u.Message())
				}
			}
		})
	}
}

func TestServerAt(t *testing.T) {
	want := "192.0.2.1:8000/redfish/v1/Systems/A"
	for _, address := range []string{
		"redfish-virtualmedia://192.0.2.1:8000/redfish/v1/Systems/A", "redfish+http://192.0.2.1:8000/redfish/v1/Systems/A/",
		"redfish://root:x@192.0.2.1:8000/redfish/v1/Systems/A",
	} {
		if got := serverAt(address); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
	if got := serverAt("ipmi://BMC.example.com"); got != "bmc.example.com" || serverAt("") != "" {
		t.Error(got)
	}
}

func TestConsumerThatIsGone(t *testing.T) {
	gone := func(h *Host) { h.ConsumerGone = true }
	plan := makePlan(t, []Need{need("n0")}, []Host{idle("u01", claimed(owner("gone-3")), gone), idle("u02", claimed(Owner{Namespace: "payroll", Name: "x"}), gone)})
	want := "no host left (claimed by DataPlaneNode edpm/gone-3, which does not exist: clear spec.consumerRef: u01; claimed by a consumer of another namespace: u02): " +
		"add or free a BareMetalHost, or relax spec.hosts of the NodeSet"
	if diff := cmp.Diff(want, plan.Unmet[0].Message()); diff != "" {
		t.Error(diff)
	}
}

func TestExplain(t *testing.T) {
	n := need("another", inRack("r7"))
	got, err := Explain(n, []Host{idle("h3"), idle("h1"), idle("h2", claimed(owner("x"))), idle("h4", in("payroll"))})
	want := []Refusal{
		{Hosts: []string{"h1", "h3"}}, {Reason: "claimed by DataPlaneNode edpm/x", Hosts: []string{"h2"}}, {Reason: "of other namespaces", Unnamed: 1},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	n.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Near"}}}
	if _, err := Explain(n, nil); err == nil {
		t.Error("a malformed selector is taken")
	}
}

// TestUserDataOfAnotherNamespace tells nothing of whose image a host has: nobody reads it.
func TestUserDataOfAnotherNamespace(t *testing.T) {
	bmh := metal3v1alpha1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{Namespace: "metal"}}
	for namespace, want := range map[string]bool{"": true, "metal": true, "site": false} {
		bmh.Spec.UserData = &corev1.SecretReference{Namespace: namespace, Name: "n0.edpm-userdata"}
		if h := FromBareMetalHost(bmh); h.HandedOverBy(owner("x")) || (h.UserData != "") != want {
			t.Errorf("namespace %q: %q", namespace, h.UserData)
		}
	}
}
