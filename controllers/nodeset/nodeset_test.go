package nodeset_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// metal3Host is shorter.
type metal3Host = metal3v1alpha1.BareMetalHost

// rig is a site with a NodeSet and its controller.
type rig struct {
	*testing.T
	*steptest.API
	controller nodeset.Reconciler
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	api := steptest.New(t, objects...)
	return &rig{T: t, API: api, controller: nodeset.Reconciler{
		Client: api, Reader: api.Reader, Live: api.Reader, Clock: api.Clock, Events: &events.FakeRecorder{}, Collection: rollout.Collection{Version: "1"},
	}}
}

// site is a rig with everything, hosts and replicas as given.
func site(t *testing.T, hosts int, replicas int32, more ...client.Object) *rig {
	t.Helper()
	return newRig(t, slices.Concat(steptest.Site(t, hosts), []client.Object{steptest.NodeSet(replicas)}, more)...)
}

// TestOneRefusedNodeHoldsUpNoOther: a write that fails for one node is made for the others all the same.
func TestOneRefusedNodeHoldsUpNoOther(t *testing.T) {
	r := site(t, 3, 3)
	r.Inject = func(verb string, obj client.Object) error {
		if obj.GetName() == "n0" {
			return apierrors.NewInternalError(errors.New(verb))
		}
		return nil
	}
	for range 2 {
		if _, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKey{Namespace: steptest.Namespace, Name: "rack"}); err == nil {
			t.Error("no error, want n0's")
		}
	}
	r.Inject = func(verb string, obj client.Object) error {
		if verb == "patch" && obj.GetName() == "n0" {
			return apierrors.NewConflict(schema.GroupResource{Resource: "x"}, "n0", errors.New("changed"))
		}
		return nil
	}
	r.pass()
	var nodes v1alpha1.DataPlaneNodeList
	if err := r.Plain.List(t.Context(), &nodes); err != nil || len(nodes.Items) != 3 {
		t.Fatalf("%d nodes, %v", len(nodes.Items), err)
	}
	for _, n := range nodes.Items {
		if (n.Spec.Host != nil) == (n.Name == "n0") {
			t.Errorf("%s is planned as %+v", n.Name, n.Spec.Host)
		}
	}
}

func (r *rig) pass() step.Result {
	r.Helper()
	result, err := steptest.Pass(r.Context(), &r.controller, client.ObjectKey{Namespace: steptest.Namespace, Name: "rack"})
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

func (r *rig) set() *v1alpha1.NodeSet {
	r.Helper()
	set := &v1alpha1.NodeSet{}
	if err := r.Plain.Get(r.Context(), client.ObjectKey{Namespace: steptest.Namespace, Name: "rack"}, set); err != nil {
		r.Fatal(err)
	}
	return set
}

func (r *rig) nodes() []v1alpha1.DataPlaneNode {
	r.Helper()
	var list v1alpha1.DataPlaneNodeList
	if err := r.Plain.List(r.Context(), &list); err != nil {
		r.Fatal(err)
	}
	return list.Items
}

func (r *rig) deployments() []v1alpha1.DataPlaneDeployment {
	r.Helper()
	var list v1alpha1.DataPlaneDeploymentList
	if err := r.Plain.List(r.Context(), &list); err != nil {
		r.Fatal(err)
	}
	return list.Items
}

// edit changes an object as somebody else.
func edit[T client.Object](r *rig, obj T, change func(T)) {
	r.Helper()
	steptest.Edit(r.API, obj, change)
}

// deployed makes every node one that has its key and answers.
func (r *rig) deployed() {
	r.Helper()
	for _, n := range r.nodes() {
		edit(r, &n, func(n *v1alpha1.DataPlaneNode) {
			n.Status.SSHHostKey = steptest.HostKey
			meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionTrue, Reason: "Done"})
		})
	}
}

// ran gives every node a result for every service.
func (r *rig) ran(result v1alpha1.ServiceResultState) {
	r.Helper()
	for _, n := range r.nodes() {
		edit(r, &n, func(n *v1alpha1.DataPlaneNode) {
			n.Status.Services = nil
			for _, s := range n.Spec.Services {
				done := v1alpha1.ServiceResult{Name: s.Name, InputHash: s.InputHash, Result: result, FinishedAt: metav1.NewTime(r.Clock.Now())}
				if result != v1alpha1.ServiceSucceeded {
					done.Failures = 1
				}
				n.Status.Services = append(n.Status.Services, done)
			}
			meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Done"})
		})
	}
	for _, d := range r.deployments() {
		edit(r, &d, func(d *v1alpha1.DataPlaneDeployment) { finish(d, true) })
	}
}

func finish(d *v1alpha1.DataPlaneDeployment, well bool) {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDone}
	if !well {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonFailed
	}
	meta.SetStatusCondition(&d.Status.Conditions, c)
}

func (r *rig) expect(condition string, status metav1.ConditionStatus, reason string, words ...string) {
	r.Helper()
	r.Expect(r.set(), metav1.Condition{Type: condition, Status: status, Reason: reason}, words...)
}

// between does something when the first list of a kind has been read.
type between struct {
	client.Reader
	kind client.ObjectList
	do   func()
}

func (b *between) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := b.Reader.List(ctx, list, opts...)
	if do := b.do; do != nil && reflect.TypeOf(list) == reflect.TypeOf(b.kind) {
		b.do = nil
		do()
	}
	return err
}

// TestWhatEndsDuringAPassIsNotDue: a deployment that gives its nodes their results and ends while a pass reads is not made
// again, whichever of the two the pass has read before.
func TestWhatEndsDuringAPassIsNotDue(t *testing.T) {
	for _, kind := range []client.ObjectList{&v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneDeploymentList{}} {
		r := site(t, 4, 3)
		r.pass()
		r.deployed()
		r.pass()
		if n := len(r.deployments()); n != 1 {
			t.Fatalf("%d deployments, want 1", n)
		}
		for _, n := range r.nodes()[:2] {
			edit(r, &n, func(n *v1alpha1.DataPlaneNode) {
				for _, s := range n.Spec.Services {
					done := v1alpha1.ServiceResult{Name: s.Name, InputHash: s.InputHash, Result: v1alpha1.ServiceSucceeded, FinishedAt: metav1.NewTime(r.Clock.Now())}
					n.Status.Services = append(n.Status.Services, done)
				}
			})
		}
		reader := &between{Reader: r.Reader, kind: kind, do: func() { r.ran(v1alpha1.ServiceSucceeded) }}
		r.controller.Reader, r.controller.Live = reader, reader
		r.pass()
		if d := r.deployments(); len(d) != 1 {
			t.Errorf("it ended once a %T was read: %d deployments, want the one that ended", kind, len(d))
		}
	}
}

func TestFromNothingToReady(t *testing.T) {
	r := site(t, 4, 3)
	r.pass()
	for i, n := range r.nodes() {
		name := fmt.Sprintf("n%d", i)
		if n.Name != name || n.Labels[v1alpha1.NodeSetLabel] != "rack" || !slices.Contains(n.Finalizers, v1alpha1.Finalizer) || !metav1.IsControlledBy(&n, r.set()) {
			t.Errorf("node %d: %+v", i, n.ObjectMeta)
		}
		host, address := fmt.Sprintf("h%d", i), fmt.Sprintf("192.168.0.%d", 10+i)
		if n.Spec.HostName != name || n.Spec.Host == nil || n.Spec.Host.Name != host || len(n.Spec.Networks) != 2 || n.Spec.Networks[0].Address != address {
			t.Errorf("node %d: %+v, want host %s and address %s", i, n.Spec, host, address)
		}
		if len(n.Spec.Services) != 0 {
			t.Errorf("node %s: services are decided before the host keys are known", n.Name)
		}
	}
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonDone)
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing, "host key of node n0")
	r.settled()

	r.deployed()
	r.pass()
	for _, n := range r.nodes() {
		if got := n.Spec.Services; len(got) != 3 || got[0].Name != "bootstrap" || got[2].Name != "known" {
			t.Errorf("node %s wants %v", n.Name, got)
		}
	}
	if d := r.deployments(); len(d) != 1 || !strings.HasPrefix(d[0].Name, "rack-") || !slices.Equal(d[0].Spec.Nodes, []string{"n0", "n1", "n2"}) ||
		!slices.Equal(d[0].Spec.ServicesOverride, steptest.Services()) || !slices.Contains(d[0].Finalizers, v1alpha1.Finalizer) {
		t.Fatalf("deployments %+v, want one over all nodes and services", d)
	}
	r.settled()

	r.ran(v1alpha1.ServiceSucceeded)
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "3 of 3")
	if s := r.set().Status; s.Replicas != 3 || s.ReadyReplicas != 3 || s.UpdatedReplicas != 3 {
		t.Errorf("status %+v, want 3 of everything", s)
	}
	if len(r.deployments()) != 1 {
		t.Errorf("another deployment is made although all is done")
	}
	r.settled()
}

func TestScale(t *testing.T) {
	r := site(t, 4, 3)
	r.pass()
	r.deployed()
	r.pass()
	r.ran(v1alpha1.ServiceSucceeded)
	before := r.nodes()
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { *s.Spec.Replicas = 4 })
	r.pass()
	r.deployed()
	r.pass()
	after := r.nodes()
	if len(after) != 4 || after[3].Spec.Host.Name != "h3" {
		t.Fatalf("nodes %+v, want n3 on h3", after)
	}
	for i := range before {
		if before[i].Spec.Services[0] != after[i].Spec.Services[0] || before[i].Spec.Services[2] == after[i].Spec.Services[2] {
			t.Errorf("%s: a new node changed %v to %v, want only the global service to change", before[i].Name, before[i].Spec.Services, after[i].Spec.Services)
		}
	}
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { *s.Spec.Replicas = 3 })
	r.Writes()
	r.pass()
	if w := r.Writes(); !slices.Contains(w, "delete DataPlaneNode n3") || slices.Contains(w, "delete DataPlaneNode n2") {
		t.Errorf("writes %v, want only n3 to be deleted", w)
	}
	if nodes := r.nodes(); before[0].Spec.Services[2] != nodes[0].Spec.Services[2] {
		t.Errorf("n0 wants %v, want what it had before n3 came", nodes[0].Spec.Services)
	}
	r.settled()
}

// broken removes or changes one thing of a good site.
func broken(objects []client.Object, name string, change func(client.Object) client.Object) []client.Object {
	var out []client.Object
	for _, obj := range objects {
		if fmt.Sprintf("%T/%s", obj, obj.GetName()) == name {
			obj = change(obj)
		}
		if obj != nil {
			out = append(out, obj)
		}
	}
	return out
}

func gone(client.Object) client.Object { return nil }

func TestInputProblems(t *testing.T) {
	overlapping := func(obj client.Object) client.Object {
		if n, ok := obj.(*v1alpha1.NetConfig); ok {
			n.Spec.Networks[1].Subnets[0].CIDR = "192.168.0.0/16"
			n.Spec.Networks[1].Subnets[0].AllocationRanges = nil
		}
		return obj
	}
	key := func(data map[string][]byte) func(client.Object) client.Object {
		return func(obj client.Object) client.Object {
			if s, ok := obj.(*corev1.Secret); ok {
				s.Data = data
			}
			return obj
		}
	}
	source := func(ref v1alpha1.DataSource) func(client.Object) client.Object {
		return func(obj client.Object) client.Object {
			if s, ok := obj.(*v1alpha1.DataPlaneService); ok {
				s.Spec.DataSources = []v1alpha1.DataSource{ref}
			}
			return obj
		}
	}
	cases := []struct {
		name, object string
		change       func(client.Object) client.Object
		words        []string
		services     int // that are decided all the same
	}{
		{"no NetConfig", "*v1alpha1.NetConfig/site", gone, []string{"namespace site", "NetConfig", "create"}, 0},
		{"overlapping subnets", "*v1alpha1.NetConfig/site", overlapping, []string{"NetConfig site/site", "192.168.0.0/16"}, 0},
		{"no login Secret", "*v1.Secret/rack-ssh", gone, []string{"Secret site/rack-ssh", "ansibleSSHPrivateKeySecret", "create"}, 0},
		{"no key in the Secret", "*v1.Secret/rack-ssh", key(nil), []string{"Secret site/rack-ssh", "ssh-privatekey", "add"}, 0},
		{"no good key in the Secret", "*v1.Secret/rack-ssh", key(map[string][]byte{"ssh-privatekey": []byte("hunter2")}), []string{"Secret site/rack-ssh", "ssh-privatekey", "replace"}, 0},
		{"no such service", "*v1alpha1.DataPlaneService/network", gone, []string{"DataPlaneService site/network", "create"}, 1},
		{"no such Secret", "*v1alpha1.DataPlaneService/known", source(v1alpha1.DataSource{SecretRef: &v1alpha1.DataSourceRef{Name: "x"}}), []string{"Secret site/x", "spec.dataSources[0]", "DataPlaneService known", "create"}, 2},
		{"no such ConfigMap", "*v1alpha1.DataPlaneService/bootstrap", source(v1alpha1.DataSource{ConfigMapRef: &v1alpha1.DataSourceRef{Name: "x"}}), []string{"ConfigMap site/x", "spec.dataSources[0]"}, 0},
		{"a source of nothing", "*v1alpha1.DataPlaneService/known", source(v1alpha1.DataSource{}), []string{"spec.dataSources[0]", "set one"}, 2},
		{"an optional Secret", "*v1alpha1.DataPlaneService/known", source(v1alpha1.DataSource{SecretRef: &v1alpha1.DataSourceRef{Name: "x", Optional: true}}), nil, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, broken(append(steptest.Site(t, 2), steptest.NodeSet(2)), c.object, c.change)...)
			r.pass()
			if n := r.nodes(); len(n) != 2 || n[1].Spec.Host == nil {
				t.Fatalf("nodes %+v, want hosts to be planned all the same", n)
			}
			r.deployed()
			r.pass()
			if c.words != nil {
				r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, c.words...)
				r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, c.words...)
			}
			if text := fmt.Sprint(r.set().Status); strings.Contains(text, "hunter2") {
				t.Errorf("the status tells a secret: %s", text)
			}
			for _, n := range r.nodes() {
				if len(n.Spec.Services) != c.services {
					t.Errorf("%s wants %v, want %d services", n.Name, n.Spec.Services, c.services)
				}
			}
			if d := r.deployments(); (len(d) > 0) != (c.services > 0) {
				t.Errorf("%d deployments for %d services", len(d), c.services)
			}
			r.settled()
		})
	}
}

func TestTwoNetConfigs(t *testing.T) {
	other := steptest.NetConfig()
	other.Name = "other"
	r := site(t, 1, 1, other)
	r.pass()
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, "2 NetConfigs", "other, site", "keep one")
}

func TestMalformedSelector(t *testing.T) {
	bad := steptest.NodeSet(1)
	bad.Name, bad.Spec.HostNameTemplate = "bad", "bad%d"
	bad.Spec.Hosts.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Sideways"}}}
	node := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta("bad0")}
	node.Labels = map[string]string{v1alpha1.NodeSetLabel: "bad"}
	r := site(t, 2, 1, bad, node)
	r.pass()
	if n := r.nodes(); len(n) != 2 || n[1].Spec.Host == nil {
		t.Errorf("nodes %+v: another set's selector stops this one", n)
	}
	if _, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKeyFromObject(bad)); err != nil {
		t.Fatal(err)
	}
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(bad), bad); err != nil {
		t.Fatal(err)
	}
	c := meta.FindStatusCondition(bad.Status.Conditions, v1alpha1.ConditionInputReady)
	if c == nil || c.Reason != v1alpha1.ReasonInvalidInput || !strings.Contains(c.Message, "spec.hosts.selector") {
		t.Errorf("InputReady of the set with the bad selector: %+v", c)
	}
}

func TestNameClash(t *testing.T) {
	other := steptest.NodeSet(0)
	other.Name = "other"
	node := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta("n1")}
	node.Labels = map[string]string{v1alpha1.NodeSetLabel: "other"}
	r := site(t, 4, 3, other, node)
	r.pass()
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, "n1", "NodeSet other", "spec.hostNameTemplate")
	if n := r.nodes(); len(n) != 3 || n[1].Labels[v1alpha1.NodeSetLabel] != "other" || n[2].Spec.Host == nil {
		t.Errorf("nodes %+v, want n0 and n2 beside the other set's n1", n)
	}
}

func TestFewerHostsThanNodes(t *testing.T) {
	small := steptest.Host("small")
	small.Status.HardwareDetails.RAMMebibytes = 1024
	r := site(t, 2, 3, small)
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { s.Spec.Hosts.Requirements.Memory.MinGiB = 64 })
	r.pass()
	n := r.nodes()
	if n[0].Spec.Host == nil || n[1].Spec.Host == nil || n[2].Spec.Host != nil {
		t.Errorf("nodes %+v, want the two that fit to go on", n)
	}
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionFalse, v1alpha1.ReasonNoHost, "n2", "memory", "small")
	r.pass() // tells of the two hosts that the first pass gave out
	r.settled()
	if err := r.Plain.Create(t.Context(), steptest.Host("more")); err != nil {
		t.Fatal(err)
	}
	host := steptest.Host("more")
	edit(r, host, func(*metal3Host) { host.UID = "more"; host.Status = steptest.Host("more").Status })
	r.pass()
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

// TestUnreadVariableIsTold: InputReady stays True, as nothing is wrong with the set, and names the variable.
func TestUnreadVariableIsTold(t *testing.T) {
	r := site(t, 1, 1)
	playbooks := map[string]rollout.Playbook{}
	for _, name := range r.set().Spec.Services {
		playbooks["osp.edpm."+name] = rollout.Playbook{Version: "1", Reads: rollout.Reads{Names: []string{"timezone"}}}
	}
	r.controller.Collection = rollout.Collection{Version: "1", Playbooks: playbooks}
	edit(r, r.set(), func(s *v1alpha1.NodeSet) {
		s.Spec.NodeTemplate.Ansible.AnsibleVars = steptest.Vars(`{"timezone": "UTC", "timezon": "UTC"}`)
	})
	r.pass()
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "no playbook reads the variables timezon (spec.nodeTemplate)")
}

func TestNoAddressLeft(t *testing.T) {
	nets := steptest.NetConfig()
	nets.Spec.Networks[1].Subnets[0].AllocationRanges = []v1alpha1.AllocationRange{{Start: "172.17.0.10", End: "172.17.0.10"}}
	r := newRig(t, broken(append(steptest.Site(t, 2), steptest.NodeSet(2)), "*v1alpha1.NetConfig/site", func(client.Object) client.Object { return nets })...)
	r.pass()
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionFalse, v1alpha1.ReasonAddressExhausted, "n1", "internalapi", "allocationRanges")
	r.deployed()
	r.pass()
	if n := r.nodes(); len(n[0].Spec.Services) != 3 || len(n[1].Spec.Services) != 0 {
		t.Errorf("services %v and %v, want them decided for the addressed node only", n[0].Spec.Services, n[1].Spec.Services)
	}
	r.settled()
}

func TestHostTaken(t *testing.T) {
	r := site(t, 2, 1)
	r.pass()
	edit(r, steptest.Host("h0"), func(h *metal3Host) {
		h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "Machine", Namespace: "x", Name: "y"}
	})
	r.pass()
	if n := r.nodes(); n[0].Spec.Host == nil || n[0].Spec.Host.Name != "h1" {
		t.Errorf("host %+v, want h1 in place of the one that was taken", n[0].Spec.Host)
	}
	r.settled()
}

func TestFailedServiceBacksOff(t *testing.T) {
	r := site(t, 1, 1)
	r.pass()
	r.deployed()
	r.pass()
	first := r.deployments()[0].Name
	r.ran(v1alpha1.ServiceFailed)
	result := r.pass()
	if len(r.deployments()) != 1 || result.RequeueAfter <= 0 || result.RequeueAfter > 15*time.Second {
		t.Errorf("%d deployments, another pass after %s; want one and a backoff of at most 15s", len(r.deployments()), result.RequeueAfter)
	}
	r.Clock.Step(16 * time.Second)
	r.pass()
	if d := r.deployments(); len(d) != 2 || d[0].Name == d[1].Name {
		t.Errorf("deployments after the backoff: %d, want another than %s", len(d), first)
	}
}

func TestManualPolicy(t *testing.T) {
	r := site(t, 1, 1)
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { s.Spec.Deployment.Policy = v1alpha1.DeploymentManual })
	r.pass()
	r.deployed()
	r.pass()
	if n, d := r.nodes(), r.deployments(); len(n[0].Spec.Services) != 3 || len(d) != 0 {
		t.Errorf("services %v, %d deployments; want inputs decided and nothing started", n[0].Spec.Services, len(d))
	}
}

func TestObsoleteDeployments(t *testing.T) {
	r := site(t, 1, 1)
	r.pass()
	add := func(name string, own bool, change func(*v1alpha1.DataPlaneDeployment)) {
		r.Clock.Step(time.Second)
		d := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta(name), Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", Nodes: []string{"n0"}}}
		d.CreationTimestamp = metav1.NewTime(r.Clock.Now())
		if own {
			d.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(r.set(), v1alpha1.GroupVersion.WithKind("NodeSet"))}
		}
		change(d)
		status := d.Status
		if err := r.Plain.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		d.Status = status
		if err := r.Plain.Status().Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		add(fmt.Sprintf("done%02d", i), true, func(d *v1alpha1.DataPlaneDeployment) { finish(d, i%2 == 0) })
	}
	for i := range 12 {
		add(fmt.Sprintf("by-hand%02d", i), false, func(d *v1alpha1.DataPlaneDeployment) { finish(d, true) })
	}
	r.Writes()
	add("running", true, func(*v1alpha1.DataPlaneDeployment) {})
	add("without-nodes", true, func(d *v1alpha1.DataPlaneDeployment) { d.Spec.Nodes = []string{"left"} })
	add("invalid", true, func(d *v1alpha1.DataPlaneDeployment) {
		d.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionInputReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalidInput, LastTransitionTime: metav1.NewTime(r.Clock.Now()),
		}}
	})
	add("invalid-since-a-clock-ran-ahead", true, func(d *v1alpha1.DataPlaneDeployment) {
		d.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionInputReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalidInput, LastTransitionTime: metav1.NewTime(r.Clock.Now().AddDate(1, 0, 0)),
		}}
	})
	if result := r.pass(); result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
		t.Errorf("another pass after %s, want one when the deployment with wrong input is given up", result.RequeueAfter)
	}
	r.Clock.Step(time.Minute)
	r.pass()
	var deleted []string
	for _, w := range r.Writes() {
		if name, ok := strings.CutPrefix(w, "delete DataPlaneDeployment "); ok {
			deleted = append(deleted, name)
		}
	}
	slices.Sort(deleted)
	if diff := cmp.Diff([]string{"done00", "done01", "invalid", "invalid-since-a-clock-ran-ahead", "without-nodes"}, deleted); diff != "" {
		t.Errorf("deleted deployments (-want +got):\n%s", diff)
	}
}

func TestResultsLost(t *testing.T) {
	r := site(t, 1, 1)
	r.pass()
	r.deployed()
	r.pass()
	first := r.deployments()[0].Name
	edit(r, &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta(first)}, func(d *v1alpha1.DataPlaneDeployment) {
		finish(d, true)
		d.Finalizers = nil
	})
	// Ended well, and yet the node knows nothing of it: a status was lost.
	r.pass()
	r.pass()
	if d := r.deployments(); len(d) != 1 || meta.IsStatusConditionTrue(d[0].Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("deployments %+v, want a fresh one", d)
	}
}

func TestLostRace(t *testing.T) {
	r := site(t, 2, 2)
	r.Inject = func(verb string, obj client.Object) error {
		if obj.GetName() == "n1" && verb == "patch" {
			return apierrors.NewConflict(schema.GroupResource{}, "n1", errors.New("changed"))
		}
		return nil
	}
	if result := r.pass(); result.RequeueAfter != step.Soon {
		t.Errorf("another pass after %s, want %s", result.RequeueAfter, step.Soon)
	}
	r.Inject = nil
	r.pass()
	r.settled()
	if n := r.nodes(); n[0].Spec.Host.Name != "h0" || n[1].Spec.Host.Name != "h1" {
		t.Errorf("hosts %v and %v", n[0].Spec.Host, n[1].Spec.Host)
	}
}

func TestRefusedNodeName(t *testing.T) {
	r := site(t, 2, 2)
	r.Inject = func(verb string, obj client.Object) error {
		if verb == "create" && obj.GetName() == "n0" {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "DataPlaneNode"}, "n0", nil)
		}
		return nil
	}
	r.pass()
	if n := r.nodes(); len(n) != 1 || n[0].Spec.Host == nil {
		t.Errorf("nodes %+v, want n1 to go on", n)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, "n0")
}

func TestOneNodeInTroubleHoldsUpNobody(t *testing.T) {
	r := site(t, 3, 3)
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) {
		bad := &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", MAC: "nic9", Networks: []string{"ctlplane"}}}}
		s.Spec.Nodes = map[string]v1alpha1.NodeSection{"n1": {NetworkConfig: bad}}
	})
	r.pass()
	r.deployed()
	n2 := r.nodes()[2]
	edit(r, &n2, func(n *v1alpha1.DataPlaneNode) { n.Status.SSHHostKey = "" }) // something stands in its way
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, "n1", "nic9")
	if d := r.deployments(); len(d) != 1 || !slices.Equal(d[0].Spec.Nodes, []string{"n0", "n2"}) {
		t.Errorf("deployments %+v, want one over the nodes whose layout is good", d)
	}
	r.settled()
}

func TestDegraded(t *testing.T) {
	r := site(t, 2, 2)
	r.pass()
	r.deployed()
	r.pass()
	r.ran(v1alpha1.ServiceSucceeded)
	n := r.nodes()[1]
	edit(r, &n, func(n *v1alpha1.DataPlaneNode) {
		meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSSHUnreachable, Message: "no answer"})
	})
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDegraded, "1 of 2", "n1: SSHUnreachable: no answer")
}

func TestDelete(t *testing.T) {
	r := site(t, 2, 2)
	r.pass()
	r.deployed()
	r.pass()
	if err := r.Plain.Delete(t.Context(), steptest.NodeSet(0)); err != nil {
		t.Fatal(err)
	}
	r.Writes()
	r.pass()
	w := r.Writes()
	if !strings.HasPrefix(w[0], "delete DataPlaneDeployment") || !slices.Contains(w, "delete DataPlaneNode n0") || !slices.Contains(w, "delete DataPlaneNode n1") {
		t.Errorf("writes %v, want deployments and then nodes to be deleted", w)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReleasing, "2 nodes")
	r.settled()
	free := func(obj client.Object) {
		if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			t.Fatal(err)
		}
		obj.SetFinalizers(nil)
		if err := r.Plain.Update(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range r.nodes() {
		free(&n)
	}
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReleasing, "deployments")
	for _, d := range r.deployments() {
		free(&d)
	}
	r.pass()
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(steptest.NodeSet(0)), &v1alpha1.NodeSet{}); !apierrors.IsNotFound(err) {
		t.Errorf("the NodeSet: %v, want it gone", err)
	}
	r.pass() // over nothing
}

func TestPreProvisioned(t *testing.T) {
	set := steptest.NodeSet(0)
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.Image = true, nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{
		"b": {Ansible: v1alpha1.AnsibleOptions{AnsibleHost: "192.168.0.99"}, SSHHostKeys: []string{steptest.HostKey + " comment"}},
		"a": {Ansible: v1alpha1.AnsibleOptions{AnsibleHost: "bastion.example.com"}, SSHHostKeys: []string{steptest.HostKey}, HostName: "alpha"},
	}
	r := newRig(t, append(steptest.Site(t, 1), set)...)
	r.pass()
	n := r.nodes()
	if len(n) != 2 || n[0].Spec.Host != nil || n[0].Spec.HostName != "alpha" || n[1].Spec.Networks[0].Address != "192.168.0.99" || len(n[0].Spec.Services) != 3 {
		t.Errorf("nodes %+v, want no hosts, given addresses and inputs", n)
	}
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonDone)
	r.settled()
}

// TestAnOldSetDeletesNothing: nodes that only an old set has not are not deleted, and none are made for a set that is gone.
func TestAnOldSetDeletesNothing(t *testing.T) {
	old, r := site(t, 3, 1), site(t, 3, 3)
	old.pass()
	r.pass()
	r.pass()
	edit(r, r.set(), func(s *v1alpha1.NodeSet) { s.Annotations = map[string]string{"changed": "since"} })
	r.controller.Reader = old.Reader
	r.pass()
	for _, n := range r.nodes() {
		if !n.DeletionTimestamp.IsZero() {
			t.Errorf("node %s is deleted by a set that was scaled out since", n.Name)
		}
	}

	r = site(t, 3, 1)
	if err := r.Plain.Delete(t.Context(), r.set()); err != nil {
		t.Fatal(err)
	}
	r.controller.Reader = old.Reader
	r.pass()
	if nodes := r.nodes(); len(nodes) > 0 {
		t.Errorf("%d nodes are made for a set that is gone", len(nodes))
	}
}
