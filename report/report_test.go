package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

func start() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

func at(s int) metav1.Time { return metav1.NewTime(start().Add(time.Duration(s) * time.Second)) }

func node(name, host string, conds ...metav1.Condition) v1alpha1.DataPlaneNode {
	n := v1alpha1.DataPlaneNode{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "demo", Labels: map[string]string{v1alpha1.NodeSetLabel: "rack"}, CreationTimestamp: at(0)},
		Spec: v1alpha1.DataPlaneNodeSpec{
			Networks: []v1alpha1.Address{{Network: "internalapi", Address: "172.17.0.5"}, {Network: "provisioning", Address: "192.168.122.5"}},
			Services: []v1alpha1.ServiceInput{{Name: "bootstrap", InputHash: "a"}, {Name: "install-os", InputHash: "b"}},
		},
		Status: v1alpha1.DataPlaneNodeStatus{Conditions: conds, Address: "192.168.122.5"},
	}
	if host != "" {
		n.Spec.Host = &v1alpha1.HostReference{Namespace: "demo", Name: host, UID: "u"}
	}
	return n
}

func cond(typ string, status metav1.ConditionStatus, reason string, second int) metav1.Condition {
	return metav1.Condition{Type: typ, Status: status, Reason: reason, Message: "says " + reason, LastTransitionTime: at(second)}
}

func passed(upTo string) []metav1.Condition {
	var out []metav1.Condition
	for i, p := range phases() {
		if p.condition == upTo {
			return out
		}
		out = append(out, cond(p.condition, metav1.ConditionTrue, v1alpha1.ReasonDone, i))
	}
	return out
}

func view() View {
	fresh := node("n0", "")
	deploying := node("n1", "h1", append(passed(v1alpha1.ConditionProvisioned), cond(v1alpha1.ConditionProvisioned, metav1.ConditionFalse, v1alpha1.ReasonWaitingForHost, 30))...)
	failed := node("n2", "h2", append(passed(v1alpha1.ConditionConfigured), cond(v1alpha1.ConditionConfigured, metav1.ConditionFalse, v1alpha1.ReasonServiceFailed, 50))...)
	running := node("n3", "h3", append(passed(v1alpha1.ConditionNetworked), cond(v1alpha1.ConditionNetworked, metav1.ConditionFalse, v1alpha1.ReasonServiceFailed, 50))...)
	running.Status.Services = []v1alpha1.ServiceResult{{Name: "bootstrap", InputHash: "a", Result: v1alpha1.ServiceSucceeded}}
	ready := node("n4", "h4", passed("")...)
	ready.Status.Services = []v1alpha1.ServiceResult{{Name: "bootstrap", InputHash: "a", Result: v1alpha1.ServiceSucceeded}, {Name: "install-os", InputHash: "old", Result: v1alpha1.ServiceSucceeded}}
	leaving := node("n5", "h5")
	leaving.DeletionTimestamp = &metav1.Time{Time: at(60).Time}
	host := func(name string, state metal3v1alpha1.ProvisioningState, consumer string) metal3v1alpha1.BareMetalHost {
		h := metal3v1alpha1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "demo"}}
		h.Status.Provisioning.State = state
		if consumer != "" {
			h.Spec.ConsumerRef = &corev1.ObjectReference{Name: consumer}
		}
		return h
	}
	bad := host("h7", metal3v1alpha1.StateRegistering, "")
	bad.Status.ErrorMessage = "credentials\nrefused"
	return View{
		NodeSets: []v1alpha1.NodeSet{{ObjectMeta: metav1.ObjectMeta{Name: "rack", Namespace: "demo"}}},
		Nodes:    []v1alpha1.DataPlaneNode{leaving, ready, running, failed, deploying, fresh},
		Deployments: []v1alpha1.DataPlaneDeployment{{
			ObjectMeta: metav1.ObjectMeta{Name: "rack-1", Namespace: "demo"},
			Status: v1alpha1.DataPlaneDeploymentStatus{Nodes: []string{"late", "n3"}, Runs: []v1alpha1.RunStatus{
				{Service: "bootstrap", NodeIndexes: "0-1", LeftIndexes: "1", State: v1alpha1.RunRunning, StartedAt: at(50)},
				{Service: "install-os", NodeIndexes: "1", State: v1alpha1.RunRunning, StartedAt: at(70)},
			}},
		}},
		Hosts: []metal3v1alpha1.BareMetalHost{host("h1", metal3v1alpha1.StateProvisioning, "n1"), host("h6", metal3v1alpha1.StateAvailable, ""), bad},
		Now:   start().Add(90 * time.Second),
	}
}

func TestTreeShowsPhaseStepTimeAndCause(t *testing.T) {
	var b bytes.Buffer
	if err := Tree(&b, view(), Style{}); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
NodeSet demo/rack  1/6 ready
├─ n0  Claiming     -   192.168.122.5  -                  1m30s
├─ n1  Deploying    h1  192.168.122.5  host provisioning  1m00s  says WaitingForHost
├─ n2  Configuring  h2  192.168.122.5  0/2 services       40s    says ServiceFailed
├─ n3  Configuring  h3  192.168.122.5  install-os (2/2)   20s    says ServiceFailed
├─ n4  Ready        h4  192.168.122.5  1/2 services       1m23s
└─ n5  Releasing    h5  192.168.122.5  -                  30s
unclaimed hosts: h6 (available), h7: credentials refused
`, "\n")
	if b.String() != want {
		t.Errorf("tree:\n%s\nwant:\n%s", b.String(), want)
	}
}

// due is what reboot-os has to tell of a compute.
const due = "a reboot is due (the kernel runs without intel_iommu=on), but the node is a compute, which is not rebooted unasked"

// noticed is the view with a notice on a ready node, on one that waits, and on one that leaves.
func noticed() View {
	v := view()
	v.Nodes[0].Status.Conditions = []metav1.Condition{cond(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, 0)} // n5, not yet seen to leave
	for i := range v.Nodes {
		if name := v.Nodes[i].Name; name == "n4" || name == "n2" || name == "n5" {
			v.Nodes[i].Status.Services = []v1alpha1.ServiceResult{{Name: "install-os", InputHash: "b", Result: v1alpha1.ServiceSucceeded, Message: due}}
		}
	}
	return v
}

func TestNoticeIsShownAndIsNoTrouble(t *testing.T) {
	var b bytes.Buffer
	if err := Tree(&b, noticed(), Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"NodeSet demo/rack  1/6 ready\n",
		"├─ n2  Configuring  h2  192.168.122.5  1/2 services       40s    says ServiceFailed  install-os: " + due + "\n",
		"├─ n4  Ready        h4  192.168.122.5  1/2 services       1m23s  install-os: " + due + "\n",
		"└─ n5  Releasing    h5  192.168.122.5  -                  30s\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for _, l := range Lines(noticed()) {
		if l.Node == "n4" && (l.Trouble || l.Phase != "Ready" || l.Cause != "") {
			t.Errorf("a notice makes trouble: %+v", l)
		}
	}
}

func TestChangesTellNoticesOnce(t *testing.T) {
	var b bytes.Buffer
	c := NewChanges(&b)
	for _, v := range []View{view(), noticed(), noticed()} {
		if err := c.Write(v); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(b.String(), "n4  ready  1/2 services  1m23s  install-os: "+due+"\n"); got != 1 {
		t.Errorf("the notice is told %d times, want once:\n%s", got, b.String())
	}
}

func TestTroubleIsWhatTimeAloneDoesNotResolve(t *testing.T) {
	trouble := map[string]bool{}
	for _, l := range Lines(view()) {
		trouble[l.Node] = l.Trouble
	}
	if trouble["n1"] || !trouble["n2"] || trouble["n3"] || trouble["n4"] {
		t.Errorf("trouble: %v, want only n2", trouble)
	}
}

func TestColourMarksReadyAndTrouble(t *testing.T) {
	var b bytes.Buffer
	if err := Tree(&b, view(), Colour()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[32mReady", "\x1b[31mConfiguring", "\x1b[31msays ServiceFailed"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}

func TestEmptyViewSaysWhatToDo(t *testing.T) {
	var b bytes.Buffer
	if err := Tree(&b, View{}, Style{}); err != nil || !strings.Contains(b.String(), "apply one") {
		t.Errorf("%q %v", b.String(), err)
	}
}

func TestChangesWritesOnlyWhatChanged(t *testing.T) {
	var b bytes.Buffer
	c := NewChanges(&b)
	v := view()
	for range 3 {
		if err := c.Write(v); err != nil {
			t.Fatal(err)
		}
		v.Now = v.Now.Add(time.Second)
	}
	if got := strings.Count(b.String(), "\n"); got != 6 {
		t.Errorf("%d lines for 6 nodes in 3 unchanged views:\n%s", got, b.String())
	}
	b.Reset()
	v.Nodes = v.Nodes[1:]
	if err := c.Write(v); err != nil || b.String() != "n5  released\n" {
		t.Errorf("%q %v", b.String(), err)
	}
}

func TestScreenRedrawsInPlace(t *testing.T) {
	var b bytes.Buffer
	s := NewScreen(&b, Style{})
	for range 2 {
		if err := s.Draw(view()); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(b.String(), "\x1b[8A\x1b[J") != 1 {
		t.Errorf("the second drawing must go up the 8 rows of the first: %q", b.String())
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 7 * time.Second: "7s", 192 * time.Second: "3m12s", 5*time.Hour + 2*time.Minute: "5h02m", 100 * time.Hour: "4d",
	} {
		if got := Age(d); got != want {
			t.Errorf("Age(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestNothingRawReachesATerminal: whatever stands in the objects, the tree, the live view and the log hold printable runes
// in as many lines as there are nodes.
func TestNothingRawReachesATerminal(t *testing.T) {
	const hostile = "\x1b]0;owned\x07\u202e\u200b\u009b2Jx\r\nroot@host:~# \x7f http://u:HUNTER2@h/"
	v := view()
	clean := &bytes.Buffer{}
	if err := Tree(clean, v, Style{}); err != nil {
		t.Fatal(err)
	}
	for i := range v.Nodes {
		v.Nodes[i].Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Address: hostile}}
		for j := range v.Nodes[i].Status.Conditions {
			v.Nodes[i].Status.Conditions[j].Message = hostile
		}
		for j := range v.Nodes[i].Status.Services {
			v.Nodes[i].Status.Services[j].Message = hostile
		}
	}
	for i := range v.Hosts {
		v.Hosts[i].Status.ErrorMessage = hostile
		v.Hosts[i].Status.Provisioning.State = hostile
	}
	v.NodeSets[0].Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: "Hold", Message: hostile}}
	var tree, log bytes.Buffer
	if err := errors.Join(Tree(&tree, v, Style{}), NewChanges(&log).Write(v)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"tree": tree.String(), "log": log.String()} {
		raw := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
		if i := strings.IndexFunc(text, raw); i >= 0 || strings.Contains(text, "HUNTER2") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if got, want := strings.Count(tree.String(), "\n"), strings.Count(clean.String(), "\n"); got != want {
		t.Errorf("%d lines, want %d:\n%s", got, want, tree.String())
	}
}

// TestPausedIsSaidFirst, and on one line.
func TestPausedIsSaidFirst(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Tree(&b, View{Paused: "a backup\nwas restored"}, Style{}); err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(b.String(), "\n"); !strings.Contains(head, "PAUSED") || !strings.Contains(head, "rackplane resume`: a backup was restored") {
		t.Errorf("says %q", b.String())
	}
}
