package node_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/ansible/lease"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

// metal3Host is shorter.
type metal3Host = metal3v1alpha1.BareMetalHost

// prober knows answers as told and remembers what it was asked for last, and whom it was told to forget.
type prober struct {
	seen      remote.Seen
	err       error
	last      remote.Wanted
	forgotten []string
}

func (p *prober) Last(w remote.Wanted) (remote.Seen, error) {
	p.last = w
	return p.seen, p.err
}

func (p *prober) Forget(node types.NamespacedName) { p.forgotten = append(p.forgotten, node.Name) }

// rig is a site with one planned node and its controller.
type rig struct {
	*testing.T
	*steptest.API
	prober     prober
	examiner   examiner
	controller node.Reconciler
}

// planned is node n0 as the NodeSet controller has planned it onto h0.
func planned() *v1alpha1.DataPlaneNode {
	n := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta("n0")}
	n.Labels = map[string]string{v1alpha1.NodeSetLabel: "rack"}
	n.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(steptest.NodeSet(1), v1alpha1.GroupVersion.WithKind("NodeSet"))}
	n.Finalizers = []string{v1alpha1.Finalizer}
	n.Spec = v1alpha1.DataPlaneNodeSpec{
		HostName: "n0",
		Host:     &v1alpha1.HostReference{Namespace: steptest.Namespace, Name: "h0", UID: "uid-of-site-h0"},
		Networks: []v1alpha1.Address{
			{Network: "ctlplane", Subnet: "a", Address: "192.168.0.10", DefaultRoute: true},
			{Network: "internalapi", Subnet: "a", Address: "172.17.0.10"},
		},
	}
	return n
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	r := &rig{T: t, API: steptest.New(t, objects...)}
	r.controller = node.Reconciler{Client: r.API, Reader: shared(t, r.Reader), Live: r.Reader, Answers: &r.prober, Examiner: &r.examiner, Leases: &leases.Leases{Client: r.API, Live: r.Reader, Store: "here", Clock: r.Clock}, Clock: r.Clock, Events: &events.FakeRecorder{}}
	return r
}

func site(t *testing.T, more ...client.Object) *rig {
	t.Helper()
	return newRig(t, slices.Concat(steptest.Site(t, 2), []client.Object{steptest.NodeSet(1), planned()}, more)...)
}

func (r *rig) pass() step.Result {
	r.Helper()
	r.DecideNetworks()
	result, err := steptest.Pass(r.Context(), &r.controller, client.ObjectKeyFromObject(planned()))
	if err != nil {
		r.Fatal(err)
	}
	return result
}

// settled makes a pass that must not write.
func (r *rig) settled() {
	r.Helper()
	r.Writes()
	r.pass()
	if w := r.Writes(); len(w) > 0 {
		r.Errorf("another pass over the same world writes %v", w)
	}
}

func get[T client.Object](r *rig, obj T, name string) T {
	r.Helper()
	if err := r.Plain.Get(r.Context(), client.ObjectKey{Namespace: steptest.Namespace, Name: name}, obj); err != nil {
		r.Fatal(err)
	}
	return obj
}

func (r *rig) node() *v1alpha1.DataPlaneNode {
	r.Helper()
	return get(r, &v1alpha1.DataPlaneNode{}, "n0")
}
func (r *rig) host() *metal3Host { r.Helper(); return get(r, &metal3Host{}, "h0") }

func (r *rig) secrets() []string {
	r.Helper()
	var list corev1.SecretList
	if err := r.Plain.List(r.Context(), &list); err != nil {
		r.Fatal(err)
	}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Namespace+"/"+s.Name)
	}
	return names
}

// edit changes an object, status included, as somebody else.
func edit[T client.Object](r *rig, obj T, change func(T)) {
	r.Helper()
	steptest.Edit(r.API, obj, change)
}

func (r *rig) expect(want string, words ...string) {
	r.Helper()
	var got []string
	conditions := r.node().Status.Conditions
	for _, c := range conditions {
		if c.Type == v1alpha1.ConditionReady || (c.Reason == v1alpha1.ReasonNotNeeded && c.Type != v1alpha1.ConditionClaimed) {
			continue
		}
		word := "+" + c.Type
		switch c.Status {
		case metav1.ConditionFalse:
			word = "-" + c.Type + ":" + c.Reason
		case metav1.ConditionUnknown:
			word = "?" + c.Type + ":" + c.Reason
		case metav1.ConditionTrue:
		}
		got = append(got, word)
	}
	if text := strings.Join(got, " "); text != want {
		r.Errorf("conditions %s\nwant       %s", text, want)
	}
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		r.Errorf("no condition Ready")
		return
	}
	for _, word := range words {
		if !strings.Contains(ready.Message, word) {
			r.Errorf("Ready does not mention %q: %s", word, ready.Message)
		}
	}
}

// provisioned is what the host controller does once the image is set.
func provisioned(h *metal3Host) {
	h.Status.Provisioning.State = metal3v1alpha1.StateProvisioned
	if h.Spec.Image != nil {
		h.Status.Provisioning.Image = *h.Spec.Image
	}
	h.Status.PoweredOn = true
}

func TestFromPlanToReady(t *testing.T) {
	r := site(t)
	r.pass()
	r.expect("+Claimed +Addressed -Provisioned:WaitingForHost", "site/h0", "being provisioned")
	h := r.host()
	want := &corev1.ObjectReference{APIVersion: "dataplane.rackplane.dev/v1alpha1", Kind: "DataPlaneNode", Namespace: "site", Name: "n0", UID: "uid-of-site-n0"}
	if diff := cmp.Diff(want, h.Spec.ConsumerRef); diff != "" {
		t.Errorf("consumerRef (-want +got):\n%s", diff)
	}
	if h.Spec.Image == nil || h.Spec.Image.URL != "http://192.0.2.100/image.qcow2" || h.Spec.Image.ChecksumType != "sha256" || *h.Spec.Image.DiskFormat != "qcow2" ||
		!h.Spec.Online || h.Spec.UserData.Name != "n0-userdata" || h.Spec.NetworkData.Name != "n0-userdata" {
		t.Errorf("host %+v, want image, user data, network data and power", h.Spec)
	}
	n := r.node()
	if !strings.HasPrefix(n.Status.SSHHostKey, "ssh-ed25519 ") || n.Spec.NetworkHash == "" || n.Status.DeployedHash == "" {
		t.Errorf("status %+v, want host key and hashes", n.Status)
	}
	r.settled()

	r.prober.err = fault.New(fault.Transient, "connection refused")
	edit(r, r.host(), provisioned)
	r.pass()
	r.expect("+Claimed +Addressed -Provisioned:WaitingForSSH", "192.168.0.10", "cloud-admin", "connection refused")
	if got := r.prober.last; got.Address != "192.168.0.10" || got.Port != 22 || got.User != "cloud-admin" || len(got.PrivateKey) == 0 || !slices.Equal(got.HostKeys, []string{n.Status.SSHHostKey}) {
		t.Errorf("probed %s@%s port %d with keys %v", got.User, got.Address, got.Port, got.HostKeys)
	}
	r.settled()

	r.prober.err = nil
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services = []v1alpha1.ServiceInput{{Name: "bootstrap", InputHash: "1"}, {Name: "network", InputHash: "2"}, {Name: "known", InputHash: "3"}}
	})
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices", n.Spec.NetworkHash)
	r.configured("services are to run: status.services has those that have, DataPlaneDeployments of NodeSet rack run the others")
	r.settled()

	r.prober.seen.NetworkHash = n.Spec.NetworkHash
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		for _, s := range n.Spec.Services {
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: s.Name, InputHash: s.InputHash, Result: v1alpha1.ServiceSucceeded})
		}
	})
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Status.Services[1].InputHash = "old" })
	r.pass()
	r.configured("services are to run: status.services has those that have, DataPlaneDeployments of NodeSet rack run the others")
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Status.Services[1].InputHash = "2" })
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Networked +Configured")
	if !meta.IsStatusConditionTrue(r.node().Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("not Ready")
	}
	r.settled()
}

func TestUserData(t *testing.T) {
	r := site(t)
	r.pass()
	data := get(r, &corev1.Secret{}, "n0-userdata").Data["userData"]
	if !strings.HasPrefix(string(data), "#cloud-config\n") {
		t.Errorf("user data begins with %.20s", data)
	}
	var config map[string]any
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	keys, ok := config["ssh_keys"].(map[string]any)
	if !ok || keys["ed25519_public"] != r.node().Status.SSHHostKey || keys["ed25519_private"] != string(get(r, &corev1.Secret{}, "n0-hostkey").Data["ssh-privatekey"]) {
		t.Errorf("ssh_keys are not the node's")
	}
	for key, want := range map[string]any{"hostname": "n0", "fqdn": "n0.example.com", "ssh_deletekeys": true, "ssh_pwauth": false, "disable_root": true} {
		if config[key] != want {
			t.Errorf("%s: %v, want %v", key, config[key], want)
		}
	}
	if text := fmt.Sprint(config["users"]); !strings.Contains(text, "name:cloud-admin") || !strings.Contains(text, "NOPASSWD:ALL") || !strings.Contains(text, "ssh-ed25519 ") {
		t.Errorf("users %s", text)
	}
	if len(get(r, &corev1.Secret{}, "n0-userdata").Data["networkData"]) == 0 {
		t.Error("no network data")
	}
}

func TestHostsThatAreLost(t *testing.T) {
	cases := []struct {
		name   string
		change func(*metal3Host)
		words  string
	}{
		{"taken by another", func(h *metal3Host) {
			h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "Machine", Namespace: "x", Name: "y"}
		}, "claimed by a consumer of another namespace"},
		{"taken by an earlier node of that name", func(h *metal3Host) {
			h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "site", Name: "n0", UID: "older"}
		}, "claimed by DataPlaneNode site/n0"},
		{"made anew", func(h *metal3Host) { h.UID = "another" }, "gone or was made anew"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := site(t)
			edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
				n.Status.Conditions = nil
				for _, done := range []string{v1alpha1.ConditionClaimed, v1alpha1.ConditionProvisioned, v1alpha1.ConditionReady} {
					meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: done, Status: metav1.ConditionTrue, Reason: "Done"})
				}
			})
			edit(r, steptest.Host("h0"), c.change)
			r.Writes()
			r.pass()
			r.expect("-Claimed:HostLost", c.words)
			for _, w := range r.Writes() {
				if strings.Contains(w, "BareMetalHost") {
					t.Errorf("write to a host that is not ours: %s", w)
				}
			}
			r.settled()
		})
	}
}

func TestClaimIsCompareAndSwap(t *testing.T) {
	r := site(t)
	r.Inject = func(verb string, obj client.Object) error {
		if h, ok := obj.(*metal3Host); ok && verb == "patch" && h.Spec.ConsumerRef != nil && h.Spec.Image == nil {
			r.Inject = nil
			edit(r, steptest.Host("h0"), func(h *metal3Host) {
				h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "Machine", Name: "quicker"}
			})
		}
		return nil
	}
	if result := r.pass(); result.RequeueAfter != step.Soon {
		t.Errorf("another pass after %s, want %s", result.RequeueAfter, step.Soon)
	}
	if ref := r.host().Spec.ConsumerRef; ref.Name != "quicker" {
		t.Errorf("the host was taken from %+v", ref)
	}
	r.pass()
	r.expect("-Claimed:HostLost")
}

func TestNotPlanned(t *testing.T) {
	r := site(t)
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Spec.Host = nil })
	r.pass()
	r.expect("-Claimed:WaitingForPlan", "condition Planned of NodeSet rack")
	edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) {
		meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionPlanned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoHost, Message: "x"})
	})
	r.settled() // what the set tells is not told once more by each of its nodes
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Spec.Host, n.Spec.Networks = planned().Spec.Host, nil })
	r.pass()
	r.expect("+Claimed -Addressed:WaitingForPlan", "ctlplane", "condition Planned of NodeSet rack")
	r.settled()
}

func TestTrouble(t *testing.T) {
	cases := []struct {
		name   string
		change func(*rig)
		want   string
		words  []string
	}{
		{"no NodeSet", func(r *rig) { r.drop(steptest.NodeSet(0)) }, "", []string{"NodeSet site/rack", "delete this DataPlaneNode"}},
		{"no NetConfig", func(r *rig) { r.drop(steptest.NetConfig()) }, "+Claimed -Addressed:InvalidInput", []string{"NetConfig"}},
		{"no login Secret", func(r *rig) { r.drop(steptest.LoginSecret(r)) }, "+Claimed +Addressed -Provisioned:InvalidInput", []string{"rack-ssh", "create"}},
		{"a foreign Secret in the way", func(r *rig) {
			if err := r.Plain.Create(r.Context(), &corev1.Secret{ObjectMeta: steptest.Meta("n0-userdata")}); err != nil {
				r.Fatal(err)
			}
		}, "+Claimed +Addressed -Provisioned:InvalidInput", []string{"n0-userdata", "rename or delete"}},
		{"an error of the host", func(r *rig) {
			r.pass()
			edit(r, steptest.Host("h0"), func(h *metal3Host) {
				h.Status.ErrorType, h.Status.ErrorMessage = metal3v1alpha1.ProvisioningError, "checksum mismatch"
			})
		}, "+Claimed +Addressed -Provisioned:HostError", []string{"site/h0", "checksum mismatch"}},
		{"a layout that cannot be rendered", func(r *rig) {
			edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) {
				s.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", MAC: "nic7", Networks: []string{"ctlplane"}}}}
			})
		}, "+Claimed -Addressed:InvalidInput", []string{"DataPlaneNode site/n0", "nic7"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := site(t)
			c.change(r)
			r.pass()
			r.expect(c.want, c.words...)
			r.settled()
		})
	}
}

func (r *rig) drop(obj client.Object) {
	r.Helper()
	if err := r.Plain.Delete(r.Context(), obj); err != nil {
		r.Fatal(err)
	}
}

// deployed brings the rig's node to a deployed one that waits for services.
func (r *rig) deployed() {
	r.Helper()
	r.pass()
	edit(r, r.host(), provisioned)
	r.pass()
}

func TestSSH(t *testing.T) {
	cases := []struct {
		name  string
		err   error
		after time.Duration
		want  string
		look  time.Duration
	}{
		{"not asked yet", fault.New(fault.Busy, "x"), time.Minute, "WaitingForSSH", step.Resync},
		{"no answer yet", fault.New(fault.Transient, "x"), 14 * time.Minute, "WaitingForSSH", time.Minute + step.Soon},
		{"no answer for long", fault.New(fault.Transient, "x"), time.Hour, "SSHUnreachable", step.Resync},
		{"refused while it boots", fault.New(fault.Denied, "x"), 14 * time.Minute, "WaitingForSSH", time.Minute + step.Soon},
		{"refused for long", fault.New(fault.Denied, "x"), time.Hour, "Denied", step.Resync},
		{"another host key", fault.New(fault.Rejected, "x"), time.Minute, "HostKeyMismatch", step.Resync},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := site(t)
			r.prober.err = c.err
			r.deployed()
			r.Clock.Step(c.after)
			result := r.pass()
			r.expect("+Claimed +Addressed -Provisioned:"+c.want, "192.168.0.10")
			if result.RequeueAfter == 0 || result.RequeueAfter > c.look {
				t.Errorf("another look after %s, want it within %s: only answers wake earlier", result.RequeueAfter, c.look)
			}
			r.settled()
		})
	}
}

// TestNoAnswerSinceAClockRanAhead: that a node answers nobody is told, whatever the host's own controller took for the time.
func TestNoAnswerSinceAClockRanAhead(t *testing.T) {
	r := site(t)
	r.prober.err = fault.New(fault.Transient, "x")
	r.deployed()
	r.expect("+Claimed +Addressed -Provisioned:WaitingForSSH")
	edit(r, r.host(), func(h *metal3Host) {
		h.Status.OperationHistory.Provision.End = metav1.NewTime(r.Clock.Now().AddDate(1, 0, 0))
	})
	r.pass()
	r.expect("+Claimed +Addressed -Provisioned:SSHUnreachable")
}

func TestLostContactKeepsWhatWasSeen(t *testing.T) {
	r := site(t)
	r.deployed()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices")
	r.Clock.Step(24 * time.Hour)
	r.prober.err = fault.New(fault.Transient, "no answer")
	r.pass()
	// It has been up for a day; the 15 minutes count from when it stopped answering.
	r.expect("+Claimed +Addressed -Provisioned:SSHUnreachable -Networked:WaitingForNetwork -Configured:WaitingForServices")
}

// TestAskingAnewTakesNothingBack: while a node is asked once more, as by an engine that has just started, what its conditions
// tell of the last time stays, good or bad, and nothing is written.
func TestAskingAnewTakesNothingBack(t *testing.T) {
	for _, was := range []error{nil, fault.New(fault.Denied, "no"), fault.New(fault.Rejected, "another key"), fault.New(fault.Transient, "no answer")} {
		r := site(t)
		r.deployed()
		r.Clock.Step(time.Hour)
		r.prober.err = was
		r.pass()
		before := r.node().Status
		r.Writes()
		r.prober.err = fault.New(fault.Busy, "asked")
		result := r.pass()
		if w := r.Writes(); len(w) != 0 || result.RequeueAfter != step.Resync {
			t.Errorf("after %v: writes %v, another look after %s; want none, and whoever asks to wake", was, w, result.RequeueAfter)
		}
		if diff := cmp.Diff(before, r.node().Status); diff != "" {
			t.Error(diff)
		}
	}
}

// TestAnswersAreOfThisVeryServer: what was answered before the server was imaged, or before something ran on it, is not asked for.
func TestAnswersAreOfThisVeryServer(t *testing.T) {
	r := site(t)
	r.deployed()
	seen := map[string]string{}
	is := func(what string) {
		t.Helper()
		r.pass()
		if earlier, ok := seen[r.prober.last.Of]; ok {
			t.Errorf("an answer from %q does after %q", earlier, what)
		}
		seen[r.prober.last.Of] = what
	}
	is("the first image")
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Status.Services = []v1alpha1.ServiceResult{{Name: "network", InputHash: "1", Result: v1alpha1.ServiceFailed, Failures: 1}}
	})
	is("a run")
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Status.Services[0].Failures = 2 })
	is("another run")
	edit(r, r.host(), func(h *metal3Host) { h.Status.OperationHistory.Provision.End = metav1.NewTime(r.Clock.Now()) })
	is("another image")
	r.pass()
	if last := r.prober.last; seen[last.Of] != "another image" || last.Node.Name != "n0" || !last.Answered || last.MaxAge == 0 {
		t.Errorf("asks for %+v, want any answer since", last)
	}
}

// TestWhoIsGoneIsNotAsked: a node that is released or gone, and one whose server is off, is asked no more.
func TestWhoIsGoneIsNotAsked(t *testing.T) {
	remove := func(r *rig, n *v1alpha1.DataPlaneNode) {
		if err := r.Plain.Delete(r.Context(), n); err != nil {
			r.Fatal(err)
		}
	}
	for what, change := range map[string]func(*rig){
		"its server is off": func(r *rig) { edit(r, r.host(), func(h *metal3Host) { h.Status.PoweredOn = false }) },
		"it is deleted":     func(r *rig) { remove(r, planned()) },
		"it is gone": func(r *rig) {
			edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Finalizers = nil })
			remove(r, planned())
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := site(t)
			r.deployed()
			r.prober.forgotten = nil
			change(r)
			r.pass()
			if !slices.Contains(r.prober.forgotten, "n0") {
				t.Error("is asked on")
			}
		})
	}
}

func TestImageChangeIsOnlyTold(t *testing.T) {
	r := site(t)
	r.deployed()
	before := r.host().Spec
	edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) { s.Spec.Image.URL = "http://192.0.2.100/newer.qcow2" })
	r.pass()
	if diff := cmp.Diff(before, r.host().Spec); diff != "" {
		t.Errorf("the host changed (-before +after):\n%s", diff)
	}
	c := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionProvisioned)
	if c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "newer.qcow2") || !strings.Contains(c.Message, "take the node out") {
		t.Errorf("Provisioned: %+v, want it True with a word on the newer image", c)
	}
}

func TestSecretsThatGetLost(t *testing.T) {
	r := site(t)
	r.pass()
	key := r.node().Status.SSHHostKey
	r.drop(get(r, &corev1.Secret{}, "n0-userdata"))
	r.pass()
	if got := r.secrets(); !slices.Contains(got, "site/n0-userdata") {
		t.Errorf("secrets %v, want what the host still needs to be made again", got)
	}
	edit(r, r.host(), provisioned)
	r.pass()
	hash := r.node().Status.DeployedHash
	for _, name := range []string{"n0-userdata", "n0-hostkey"} {
		r.drop(get(r, &corev1.Secret{}, name))
	}
	r.pass()
	n := r.node()
	if n.Status.SSHHostKey != key || n.Status.DeployedHash != hash {
		t.Errorf("a deployed node forgot its host key or what it was given")
	}
	if got := r.secrets(); len(got) != 1 {
		t.Errorf("secrets %v, want nothing to be made for a node that is deployed", got)
	}
}

// configured expects the message of the condition Configured.
func (r *rig) configured(want string) {
	r.Helper()
	c := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionConfigured)
	if c == nil || c.Message != want {
		r.Errorf("Configured: %+v, want the message %q", c, want)
	}
}

// A reboot that is due is told for as long as the service's last result holds it, and keeps nobody from being Ready.
func TestNoticeOfAReadyNode(t *testing.T) {
	r := site(t)
	r.deployed()
	r.prober.seen.NetworkHash = r.node().Spec.NetworkHash
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services, n.Status.Services = nil, nil
		for _, name := range []string{"bootstrap", "network", "known"} {
			n.Spec.Services = append(n.Spec.Services, v1alpha1.ServiceInput{Name: name, InputHash: "1"})
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: name, InputHash: "1", Result: v1alpha1.ServiceSucceeded})
		}
		n.Status.Services[1].Message = "a reboot is due"
	})
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Networked +Configured", "network: a reboot is due")
	if !meta.IsStatusConditionTrue(r.node().Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("not Ready")
	}
	r.settled()

	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Status.Services[1].Message = "" })
	r.pass()
	if c := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionReady); c.Status != metav1.ConditionTrue || c.Message != "" {
		t.Errorf("Ready: %+v, want it True and silent once the result is", c)
	}
	r.settled()
}

// TestReadyWhileGlobalServicesRunAgain: what has changed of other nodes costs a node that was given everything no write of this
// controller, before, while and after it is told; that it failed is told, and so is a service of its own that is due.
func TestReadyWhileGlobalServicesRunAgain(t *testing.T) {
	r := site(t)
	r.deployed()
	r.prober.seen.NetworkHash = r.node().Spec.NetworkHash
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services, n.Status.Services = nil, nil
		for _, name := range steptest.Services() {
			n.Spec.Services = append(n.Spec.Services, v1alpha1.ServiceInput{Name: name, InputHash: "1"})
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: name, InputHash: "1", Result: v1alpha1.ServiceSucceeded})
		}
	})
	r.pass()
	const ready = "+Claimed +Addressed +Provisioned +Networked +Configured"
	r.expect(ready)
	give := func(service int, input string) {
		edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Generation++; n.Spec.Services[service].InputHash = input })
	}
	ends := func(result v1alpha1.ServiceResultState) {
		edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
			n.Status.Services[2] = v1alpha1.ServiceResult{Name: "known", InputHash: n.Spec.Services[2].InputHash, Result: result, Failures: 1, Message: "no space left"}
			if result == v1alpha1.ServiceSucceeded {
				n.Status.Services[2].Failures, n.Status.Services[2].Message = 0, ""
			}
		})
	}
	give(2, "2")
	r.settled()
	ends(v1alpha1.ServiceSucceeded)
	r.settled()
	if !meta.IsStatusConditionTrue(r.node().Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("not Ready")
	}

	give(2, "3")
	r.settled()
	ends(v1alpha1.ServiceFailed)
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Networked -Configured:ServiceFailed", "service known failed (1 in a row): no space left")
	if n := r.node(); n.Status.ObservedGeneration != n.Generation {
		t.Errorf("generation %d is told of generation %d", n.Status.ObservedGeneration, n.Generation)
	}
	give(2, "4")
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Networked -Configured:WaitingForServices")
	ends(v1alpha1.ServiceSucceeded)
	r.pass()
	r.expect(ready)
	give(0, "2")
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Networked -Configured:WaitingForServices")
}

// TestAdoptableIsOfTheNewestInput: services run on a server that ran before only when it was looked at for what it is to have now;
// so that it was is written at once, although nothing else is news.
func TestAdoptableIsOfTheNewestInput(t *testing.T) {
	set := steptest.NodeSet(0)
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.Image, set.Spec.Services = true, nil, nil, []string{"bootstrap", "known"}
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"n0": {SSHHostKeys: []string{steptest.HostKey}}}
	n := planned()
	n.Spec.Host = nil
	n.Spec.Services = []v1alpha1.ServiceInput{{Name: "bootstrap", InputHash: "1"}, {Name: "known", InputHash: "1"}}
	n.Status.Services = []v1alpha1.ServiceResult{{Name: "bootstrap", InputHash: "1", Result: v1alpha1.ServiceSucceeded}, {Name: "known", InputHash: "1", Result: v1alpha1.ServiceSucceeded}}
	r := newRig(t, append(steptest.Site(t, 1), set, n)...)
	r.controller.Quiet = &step.Quiet{}
	r.DecideNetworks()
	r.prober.seen.NetworkHash = r.node().Spec.NetworkHash
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Adoptable +Networked +Configured")
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Generation++; n.Spec.Services[1].InputHash = "2" })
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Adoptable +Networked +Configured")
	now := r.node()
	if !meta.IsStatusConditionTrue(now.Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("not Ready")
	}
	if c := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionAdoptable); c.ObservedGeneration != now.Generation {
		t.Errorf("Adoptable is of generation %d, the node has %d", c.ObservedGeneration, now.Generation)
	}
}

func TestServiceFailure(t *testing.T) {
	r := site(t)
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services = []v1alpha1.ServiceInput{{Name: "bootstrap", InputHash: "1"}}
		n.Status.Services = []v1alpha1.ServiceResult{{Name: "bootstrap", InputHash: "1", Result: v1alpha1.ServiceFailed, Failures: 2, Message: "task x: no"}}
	})
	r.prober.seen.NetworkHash = "other"
	r.deployed()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:ServiceFailed", "other")
	c := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionConfigured)
	if !strings.Contains(c.Message, "bootstrap failed (2 in a row): task x: no") {
		t.Errorf("Configured: %s", c.Message)
	}
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Status.Services[0].Result, n.Status.Services[0].Failures = v1alpha1.ServiceSucceeded, 0
	})
	r.pass()
	c = meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionConfigured)
	if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "1 of 3 services") {
		t.Errorf("Configured: %+v, want it False while inputs are missing", c)
	}
}

// The control plane is a role: a site may call the network as it likes, and the node tells its address there all the same.
func TestAddressIsTheControlPlanes(t *testing.T) {
	r := site(t)
	edit(r, steptest.NetConfig(), func(c *v1alpha1.NetConfig) {
		c.Spec.Networks[0].Name, c.Spec.Networks[0].ServiceNetwork = "provisioning", "CtlPlane"
	})
	edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) {
		s.Spec.NodeTemplate.Networks = []v1alpha1.NodeNetwork{{Name: "internalapi"}, {Name: "provisioning", DefaultRoute: true}}
	})
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Networks = []v1alpha1.Address{n.Spec.Networks[1], n.Spec.Networks[0]}
		n.Spec.Networks[1].Network = "provisioning"
	})
	r.pass()
	if got := r.node().Status.Address; got != "192.168.0.10" {
		t.Errorf("status.address %q, want that on the control plane", got)
	}
	r.settled()
}

func TestPreProvisioned(t *testing.T) {
	set := steptest.NodeSet(0)
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.Image, set.Spec.Services = true, nil, nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"n0": {
		Ansible:     v1alpha1.AnsibleOptions{AnsibleHost: "bastion.example.com", AnsiblePort: 2222, AnsibleUser: "root"},
		SSHHostKeys: []string{steptest.HostKey, "ssh-rsa AAAA"},
	}}
	n := planned()
	n.Spec.Host = nil
	r := newRig(t, append(steptest.Site(t, 1), set, n)...)
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned +Adoptable -Networked:WaitingForNetwork +Configured")
	if c := r.node().Status.Conditions[0]; c.Reason != v1alpha1.ReasonNotNeeded {
		t.Errorf("Claimed: %+v", c)
	}
	if got := r.prober.last; got.Address != "bastion.example.com" || got.Port != 2222 || got.User != "root" || len(got.HostKeys) != 2 {
		t.Errorf("probed %s@%s port %d with %d keys", got.User, got.Address, got.Port, len(got.HostKeys))
	}
	if got := r.secrets(); len(got) != 1 {
		t.Errorf("secrets %v, want none to be made", got)
	}
	r.settled()
	edit(r, set, func(s *v1alpha1.NodeSet) { s.Spec.Nodes = nil })
	r.pass()
	if ready := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionReady); !strings.Contains(ready.Message, "sshHostKeys") {
		t.Errorf("Ready without host keys: %+v", ready)
	}
}

func TestHostsOfAnotherNamespace(t *testing.T) {
	host := steptest.Host("far")
	host.Namespace = "metal"
	n := planned()
	n.Spec.Host = &v1alpha1.HostReference{Namespace: "metal", Name: "far", UID: "uid-of-metal-far"}
	set := steptest.NodeSet(1)
	set.Spec.Hosts.Namespace = "metal"
	r := newRig(t, append(steptest.Site(t, 0), set, n, host, lending("metal", "site"))...)
	r.pass()
	want := []string{"metal/n0.site-userdata", "site/n0-hostkey", "site/rack-ssh"}
	if diff := cmp.Diff(want, r.secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if err := r.Plain.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if diff := cmp.Diff([]string{"site/rack-ssh"}, r.secrets()); diff != "" {
		t.Errorf("secrets after release (-want +got):\n%s", diff)
	}
}

func TestRelease(t *testing.T) {
	r := site(t)
	run := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta("d")}
	run.Status.Nodes = []string{"late", "n0"}
	run.Status.Runs = []v1alpha1.RunStatus{{Service: "bootstrap", NodeIndexes: "1", State: v1alpha1.RunRunning}}
	r.deployed()
	status := run.Status
	if err := r.Plain.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	edit(r, run, func(d *v1alpha1.DataPlaneDeployment) { d.Status = status })
	r.drop(planned())
	// Nothing of this is needed to hand the host back.
	r.drop(steptest.NodeSet(0))
	r.drop(steptest.NetConfig())
	r.drop(steptest.LoginSecret(t))
	r.Writes()

	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices", "bootstrap", "DataPlaneDeployment d")
	if r.host().Spec.Image == nil {
		t.Fatal("the host is undeployed while a run uses it")
	}
	// The run goes on for another node, on another machine, and this one has left it.
	edit(r, run, func(d *v1alpha1.DataPlaneDeployment) {
		d.Status.Runs[0] = v1alpha1.RunStatus{Service: "bootstrap", Key: "k", NodeIndexes: "0-1", LeftIndexes: "1", State: v1alpha1.RunRunning}
	})
	for name, holder := range map[string]string{lease.NodeName("n0"): lease.RunName("k"), lease.RunName("k"): "there"} {
		l := &coordinationv1.Lease{ObjectMeta: steptest.Meta(name)}
		lease.Hold(l, holder, 1, 0, r.Clock.Now())
		if err := r.Plain.Create(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	r.pass()
	h := r.host()
	if h.Spec.Image != nil || h.Spec.NetworkData != nil || h.Spec.Online || h.Spec.ConsumerRef == nil {
		t.Errorf("host %+v, want it without image and power, still claimed", h.Spec)
	}
	r.settled()
	edit(r, h, func(h *metal3Host) { h.Status.Provisioning.State = metal3v1alpha1.StateAvailable })
	r.pass()
	if r.host().Spec.ConsumerRef == nil {
		t.Fatal("the claim is given up while the host is still on")
	}
	edit(r, r.host(), func(h *metal3Host) { h.Status.PoweredOn = false })
	r.Writes()
	r.pass()
	want := []string{
		"delete Secret n0-userdata", "patch BareMetalHost h0", "delete Secret n0-hostkey", "delete Lease rackplane-node-n0", "patch DataPlaneNode n0",
	}
	if diff := cmp.Diff(want, r.Writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if h := r.host(); h.Spec.ConsumerRef != nil || h.Spec.UserData != nil {
		t.Error("the host is still claimed")
	}
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(planned()), &v1alpha1.DataPlaneNode{}); !apierrors.IsNotFound(err) {
		t.Errorf("the node: %v, want it gone", err)
	}
	r.pass() // over nothing
}

func TestReleaseWithoutHost(t *testing.T) {
	cases := []struct {
		name   string
		change func(*rig)
	}{
		{"never claimed", func(*rig) {}},
		{"gone", func(r *rig) { r.drop(steptest.Host("h0")) }},
		{"another's", func(r *rig) {
			edit(r, steptest.Host("h0"), func(h *metal3Host) {
				h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "site", Name: "n0", UID: "younger"}
			})
		}},
		{"being deleted", func(r *rig) {
			r.pass()
			edit(r, steptest.Host("h0"), func(h *metal3Host) { h.Finalizers = []string{"x/y"}; provisioned(h) })
			r.drop(steptest.Host("h0"))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := site(t)
			c.change(r)
			r.drop(planned())
			r.pass()
			if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(planned()), &v1alpha1.DataPlaneNode{}); !apierrors.IsNotFound(err) {
				t.Errorf("the node: %v, want it gone", err)
			}
			host := &metal3Host{}
			if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(steptest.Host("h0")), host); err == nil && host.Spec.ConsumerRef != nil && host.Spec.ConsumerRef.UID == "uid-of-site-n0" {
				t.Error("the host is still claimed")
			}
		})
	}
}

func TestHardwareDataStandsIn(t *testing.T) {
	host := steptest.Host("h0")
	data := &metal3v1alpha1.HardwareData{ObjectMeta: steptest.Meta("h0")}
	data.Spec.HardwareDetails, host.Status.HardwareDetails = host.Status.HardwareDetails, nil
	r := newRig(t, append(steptest.Site(t, 0), steptest.NodeSet(1), planned(), host, data)...)
	r.pass()
	r.expect("+Claimed +Addressed -Provisioned:WaitingForHost")
}

// TestAnOldWorldClaimsNothing: a cache that still shows a node that is gone makes nothing for it, which nobody would ever
// give back; one that does not show a set yet does not take its node for one without.
func TestAnOldWorldClaimsNothing(t *testing.T) {
	r, old := site(t), site(t)
	gone := r.node()
	gone.Finalizers = nil
	for _, err := range []error{r.Plain.Update(t.Context(), gone), r.Plain.Delete(t.Context(), gone)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.controller.Reader = old.Reader
	before := r.secrets()
	r.pass()
	if ref := r.host().Spec.ConsumerRef; ref != nil || !slices.Equal(r.secrets(), before) {
		t.Errorf("a node that is gone claims a host (%v) or has Secrets made: %v, before %v", ref, r.secrets(), before)
	}

	r = site(t)
	r.controller.Reader = newRig(t, planned()).Reader
	r.pass()
	for _, c := range r.node().Status.Conditions {
		if strings.Contains(c.Message, "NodeSet site/rack") {
			t.Errorf("a set that is only missing in the cache is missed: %+v", c)
		}
	}
}

// TestRestReadsNothingUncached: a node that is ready and has nothing to do is looked at from the cache alone, its Secrets
// included, and is not written to.
func TestRestReadsNothingUncached(t *testing.T) {
	r := site(t)
	live := &counted{Reader: r.Reader}
	r.controller.Live = live
	r.controller.Reader = cached.World{Reader: r.Plain, Contents: &cached.Contents{Metadata: r.Plain, Live: live}}
	r.deployed()
	r.prober.seen.NetworkHash = r.node().Spec.NetworkHash
	edit(r, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services, n.Status.Services = nil, nil
		for _, name := range []string{"bootstrap", "network", "known"} {
			n.Spec.Services = append(n.Spec.Services, v1alpha1.ServiceInput{Name: name, InputHash: "1"})
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: name, InputHash: "1", Result: v1alpha1.ServiceSucceeded})
		}
	})
	for range 3 {
		r.pass()
	}
	if !meta.IsStatusConditionTrue(r.node().Status.Conditions, v1alpha1.ConditionReady) {
		t.Fatalf("not ready: %+v", r.node().Status.Conditions)
	}
	before := live.reads
	r.settled()
	if n := live.reads - before; n != 0 {
		t.Errorf("%d uncached reads of a node at rest, want none", n)
	}
	if before == 0 {
		t.Error("nothing was read uncached on the way: the count counts nothing")
	}
}

// counted counts what is read through it, of one kind if it is of one.
type counted struct {
	client.Reader
	of    client.Object
	reads int
}

func (c *counted) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if c.of == nil || reflect.TypeOf(c.of) == reflect.TypeOf(obj) {
		c.reads++
	}
	return c.Reader.Get(ctx, key, obj, opts...)
}

func (c *counted) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if c.of == nil {
		c.reads++
	}
	return c.Reader.List(ctx, list, opts...)
}
