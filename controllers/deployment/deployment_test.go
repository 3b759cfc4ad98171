package deployment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
)

// rig is a site with three deployed nodes, a deployment d and its controller.
type rig struct {
	*testing.T
	*steptest.API
	runner     *ansibletest.Runner
	controller deployment.Reconciler
}

func nodeOf(i int) *v1alpha1.DataPlaneNode {
	n := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta(fmt.Sprintf("n%d", i))}
	n.Labels = map[string]string{v1alpha1.NodeSetLabel: "rack"}
	n.Spec = v1alpha1.DataPlaneNodeSpec{
		HostName: n.Name,
		Host:     &v1alpha1.HostReference{Namespace: steptest.Namespace, Name: fmt.Sprintf("h%d", i), UID: types.UID(fmt.Sprintf("uid-of-site-h%d", i))},
		Networks: []v1alpha1.Address{
			{Network: "ctlplane", Subnet: "a", Address: fmt.Sprintf("192.168.0.%d", 10+i), DefaultRoute: true},
			{Network: "internalapi", Subnet: "a", Address: fmt.Sprintf("172.17.0.%d", 10+i)},
		},
	}
	n.Status.SSHHostKey = steptest.HostKey
	before := metav1.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: before},
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Waiting", Message: "services", LastTransitionTime: before},
	}
	return n
}

func newDeployment(nodes ...string) *v1alpha1.DataPlaneDeployment {
	return &v1alpha1.DataPlaneDeployment{
		ObjectMeta: steptest.Meta("d"), Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", Nodes: nodes},
	}
}

// site is a rig with everything; change may break it first.
func site(t *testing.T, d *v1alpha1.DataPlaneDeployment, more ...client.Object) *rig {
	t.Helper()
	objects := append(steptest.Site(t, 3), steptest.NodeSet(3), nodeOf(0), nodeOf(1), nodeOf(2), d)
	api := steptest.New(t, append(objects, more...)...)
	r := &rig{T: t, API: api, runner: ansibletest.New(1)}
	r.controller = deployment.Reconciler{
		Client: api, Reader: api.Reader, Live: api.Reader, Runner: r.runner, Leases: leasesOf(api, r.runner), Clock: api.Clock, Events: &events.FakeRecorder{}, Collection: rollout.Collection{Version: "1"}, Memory: deployment.NewMemory(0),
	}
	return r
}

func leasesOf(api *steptest.API, runner ansible.Runner) *leases.Leases {
	return &leases.Leases{Client: api, Live: api.Reader, Runner: runner, Store: "here", Duration: time.Minute, Clock: api.Clock}
}

func (r *rig) pass() step.Result {
	r.Helper()
	r.DecideInputs(r.controller.Collection)
	result, err := steptest.Pass(r.Context(), &r.controller, client.ObjectKeyFromObject(newDeployment()))
	if err != nil {
		r.Fatal(err)
	}
	r.Clock.Step(time.Second)
	return result
}

// run makes passes until the deployment rests.
func (r *rig) run() {
	r.Helper()
	for range 50 {
		r.pass()
		if ready := meta.FindStatusCondition(r.deployment().Status.Conditions, v1alpha1.ConditionReady); ready.Status == metav1.ConditionTrue || ready.Reason == v1alpha1.ReasonFailed {
			return
		}
	}
	r.Fatalf("not at rest after 50 passes: %+v", r.deployment().Status)
}

func (r *rig) deployment() *v1alpha1.DataPlaneDeployment {
	r.Helper()
	d := &v1alpha1.DataPlaneDeployment{}
	if err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(newDeployment()), d); err != nil {
		r.Fatal(err)
	}
	return d
}

func (r *rig) node(i int) *v1alpha1.DataPlaneNode {
	r.Helper()
	n := &v1alpha1.DataPlaneNode{}
	if err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(nodeOf(i)), n); err != nil {
		r.Fatal(err)
	}
	return n
}

func (r *rig) drop(obj client.Object) {
	r.Helper()
	if err := r.Plain.Delete(r.Context(), obj); err != nil {
		r.Fatal(err)
	}
}

// results are a node's results in short.
func (r *rig) results(i int) string {
	r.Helper()
	var words []string
	for _, s := range r.node(i).Status.Services {
		words = append(words, fmt.Sprintf("%s:%s:%d", s.Name, s.Result, s.Failures))
	}
	return strings.Join(words, " ")
}

func (r *rig) expect(condition string, status metav1.ConditionStatus, reason string, words ...string) {
	r.Helper()
	r.Expect(r.deployment(), metav1.Condition{Type: condition, Status: status, Reason: reason}, words...)
}

func TestServicesInOrder(t *testing.T) {
	r := site(t, newDeployment("n0", "n1"))
	r.pass()
	d := r.deployment()
	if len(d.Status.Runs) != 1 || d.Status.Runs[0].State != v1alpha1.RunRunning || len(r.runner.Started()) != 0 {
		t.Fatalf("runs %+v, %d started; want the first one written down and not started yet", d.Status.Runs, len(r.runner.Started()))
	}
	r.run()
	var ran []string
	for _, run := range r.runner.Started() {
		ran = append(ran, run.Playbook+" on "+strings.Join(run.Nodes, ","))
	}
	if diff := cmp.Diff([]string{"osp.edpm.bootstrap on n0,n1", "osp.edpm.network on n0,n1", "osp.edpm.known on n0,n1"}, ran); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if got := r.results(0); got != "bootstrap:Succeeded:0 network:Succeeded:0 known:Succeeded:0" {
		t.Errorf("results of n0: %s", got)
	}
	if got := r.results(2); got != "" {
		t.Errorf("results of n2, which was left out: %s", got)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "3 services on 2 nodes")
	for _, run := range r.deployment().Status.Runs {
		if run.State != v1alpha1.RunSucceeded || run.FinishedAt == nil || run.FinishedAt.Before(&run.StartedAt) {
			t.Errorf("run %+v", run)
		}
	}
	r.Writes()
	r.pass()
	if w := r.Writes(); len(w) > 0 {
		t.Errorf("another pass over an ended deployment writes %v", w)
	}
}

func TestWhatARunIsGiven(t *testing.T) {
	files := &corev1.Secret{ObjectMeta: steptest.Meta("files"), Data: map[string][]byte{"nova.conf": []byte("[x]")}}
	service := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("nova"), Spec: v1alpha1.DataPlaneServiceSpec{
		PlaybookContents: "- hosts: all", EDPMServiceType: "compute", TaskTimeoutSeconds: 30, RunTimeoutSeconds: 90, DataSources: []v1alpha1.DataSource{{SecretRef: &v1alpha1.DataSourceRef{Name: "files"}}},
	}}
	d := newDeployment("n1")
	d.Spec.ServicesOverride = []string{"nova"}
	r := site(t, d, files, service)
	r.pass()
	// The world moves on after the snapshot; the login key alone is read fresh.
	edit(r, files, func(s *corev1.Secret) { s.Data["nova.conf"] = []byte("[y]") })
	r.run()
	started := r.runner.Started()
	if len(started) != 1 {
		t.Fatalf("%d runs, want 1", len(started))
	}
	run := started[0]
	if run.PlaybookContents != "- hosts: all" || run.Playbook != "" || string(run.Data["compute/nova.conf"]) != "[x]" || len(run.Data) != 1 {
		t.Errorf("playbook %q%q, data %q; want the snapshot's", run.Playbook, run.PlaybookContents, run.Data)
	}
	if run.Namespace != steptest.Namespace || run.TaskTimeout != 30*time.Second || run.Timeout != 90*time.Second {
		t.Errorf("namespace %q, limits %s and %s", run.Namespace, run.TaskTimeout, run.Timeout)
	}
	if run.ExtraVars["edpm_override_hosts"] != "rack" || run.ExtraVars["edpm_service_type"] != "compute" {
		t.Errorf("extra variables %v", run.ExtraVars)
	}
	login := &corev1.Secret{}
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(steptest.LoginSecret(t)), login); err != nil {
		t.Fatal(err)
	}
	if len(run.Key) == 0 || len(run.Key) > 63 || string(run.SSHPrivateKey) != string(login.Data["ssh-privatekey"]) {
		t.Errorf("key %q, or not the set's login key", run.Key)
	}
	if got := string(run.KnownHosts); strings.Count(got, "\n") != 3 || !strings.Contains(got, "\nn2 ssh-") {
		t.Errorf("known hosts:\n%s", got)
	}
	if run.Namespace != d.Namespace || run.Targets["n1"] != "192.168.0.11:22" {
		t.Errorf("namespace %q, targets %v", run.Namespace, run.Targets)
	}
	if got := string(run.Inventory); !strings.Contains(got, "n1:") || !strings.Contains(got, "192.168.0.11") || strings.Count(got, "- key: \"ssh-") != 3 {
		t.Errorf("inventory:\n%s", got)
	}
}

// TestRunTellsItsTimes: since when, until when, and since when nothing happens; a pass that changes none of it writes nothing.
func TestRunTellsItsTimes(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.runner = ansibletest.New(1000)
	r.controller.Runner = r.runner
	began := r.Clock.Now()
	r.runner.Times(began, began.Add(2*time.Hour), began.Add(time.Minute))
	for range 4 {
		r.pass()
	}
	times := " since " + began.UTC().Format(time.RFC3339) + ", until " + began.Add(2*time.Hour).UTC().Format(time.RFC3339) + " at most"
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing, "runs bootstrap (1 of 3) on 1 nodes"+times)
	r.Writes()
	r.pass()
	if w := r.Writes(); len(w) > 0 {
		t.Errorf("a pass while the run goes on writes %v", w)
	}
	r.Clock.Step(5 * time.Minute)
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing, "; no task has ended since "+began.Add(time.Minute).UTC().Format(time.RFC3339))
}

func TestSnapshot(t *testing.T) {
	r := site(t, newDeployment())
	r.pass()
	secret := &corev1.Secret{}
	if err := r.Plain.Get(t.Context(), client.ObjectKey{Namespace: steptest.Namespace, Name: r.deployment().Status.InputsSecret}, secret); err != nil {
		t.Fatal(err)
	}
	if secret.Immutable == nil || !*secret.Immutable || !metav1.IsControlledBy(secret, r.deployment()) {
		t.Errorf("snapshot %+v, want it immutable and owned", secret.ObjectMeta)
	}
	if text := fmt.Sprint(r.deployment().Status); strings.Contains(text, "PRIVATE") {
		t.Error("the status tells a secret")
	}
	r.drop(secret)
	r.pass()
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonMissing, "d-inputs")
}

func edit[T client.Object](r *rig, obj T, change func(T)) {
	r.Helper()
	steptest.Edit(r.API, obj, change)
}

// TestNodesInAnyOrder: a user may name nodes in any order, and one twice.
func TestNodesInAnyOrder(t *testing.T) {
	r := site(t, newDeployment("n2", "n0", "n2"))
	r.runner.Inject(ansibletest.Failure{What: "osp.edpm.network", Node: "n2", Result: v1alpha1.ServiceFailed, Message: "no"})
	r.run()
	var told []string
	for _, run := range rollout.Runs(r.deployment()) {
		told = append(told, fmt.Sprintf("%s %v %v", run.Service, run.Nodes, run.FailedNodes))
	}
	if diff := cmp.Diff([]string{"bootstrap [n0 n2] []", "network [n0 n2] [n2]", "known [n0] []"}, told); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// TestRunsOfAnOlderVersion are not taken for runs on no node.
func TestRunsOfAnOlderVersion(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.until(func() bool { return len(r.runner.Started()) == 1 })
	edit(r, r.deployment(), func(d *v1alpha1.DataPlaneDeployment) { d.Status.Runs[0].NodeIndexes = "" })
	r.pass()
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, "DataPlaneDeployment d", "older version", "delete it")
	if n := len(r.runner.Started()); n != 1 {
		t.Errorf("%d runs", n)
	}
}

func TestFailedNodeGetsNoLaterService(t *testing.T) {
	r := site(t, newDeployment("n0", "n1", "n2"))
	r.runner.Inject(ansibletest.Failure{What: "osp.edpm.network", Node: "n1", Result: v1alpha1.ServiceFailed, Message: "task x: no"})
	r.runner.Inject(ansibletest.Failure{What: "osp.edpm.known", Node: "n2", Result: v1alpha1.ServiceUnreachable, Message: "no route"})
	r.run()
	for i, want := range []string{
		"bootstrap:Succeeded:0 network:Succeeded:0 known:Succeeded:0", "bootstrap:Succeeded:0 network:Failed:1", "bootstrap:Succeeded:0 network:Succeeded:0 known:Unreachable:1",
	} {
		if got := r.results(i); got != want {
			t.Errorf("n%d: %s, want %s", i, got, want)
		}
	}
	if run := r.runner.Started()[2]; !slices.Equal(run.Nodes, []string{"n0", "n2"}) {
		t.Errorf("the last service ran on %v, want n0 and n2", run.Nodes)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonFailed, "network on n1", "known on n2")
	if got := r.node(1).Status.Services[1]; got.Message != "task x: no" || got.Deployment != "d" || got.InputHash == "" {
		t.Errorf("result %+v", got)
	}
}

func TestNoticeStaysWithTheLastResult(t *testing.T) {
	r := site(t, newDeployment("n0", "n1"))
	r.runner.Tell("osp.edpm.network", "n0", "a reboot is due")
	r.run()
	for i, want := range []string{"a reboot is due", ""} {
		n := r.node(i)
		got := n.Status.Services[1]
		if got.Name != "network" || got.Result != v1alpha1.ServiceSucceeded || got.Message != want {
			t.Errorf("n%d: %+v, want a good result of network with the message %q", i, got, want)
		}
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

func TestFailuresInARow(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.runner.Inject(ansibletest.Failure{What: "osp.edpm.bootstrap", Result: v1alpha1.ServiceFailed, Message: strings.Repeat("long ", 2000), Times: 2})
	for want := range 3 {
		r.run()
		got := r.node(0).Status.Services[0]
		if int(got.Failures) != (want+1)%3 || len(got.Message) > 4096 {
			t.Errorf("attempt %d: %d failures, a message of %d", want, got.Failures, len(got.Message))
		}
		edit(r, newDeployment(), func(d *v1alpha1.DataPlaneDeployment) { d.Status = v1alpha1.DataPlaneDeploymentStatus{} })
		r.drop(&corev1.Secret{ObjectMeta: steptest.Meta("d-inputs")})
		edit(r, newDeployment(), func(d *v1alpha1.DataPlaneDeployment) { d.UID = types.UID(fmt.Sprint("another-", want)) })
	}
}

func TestBrokenRun(t *testing.T) {
	r := site(t, newDeployment("n0", "n1"))
	r.runner.Inject(ansibletest.Failure{Message: "no such playbook"})
	r.run()
	for i := range 2 {
		if got := r.node(i).Status.Services; len(got) != 1 || got[0].Result != v1alpha1.ServiceFailed || got[0].Message != "no such playbook" {
			t.Errorf("n%d: %+v, want the cause as its failure", i, got)
		}
	}
	if n := len(r.runner.Started()); n != 1 {
		t.Errorf("%d runs, want no more after the first failed everywhere", n)
	}
}

func TestInputProblems(t *testing.T) {
	cases := []struct {
		name   string
		change func(*rig)
		words  []string
	}{
		{"no NodeSet", func(r *rig) { r.drop(steptest.NodeSet(0)) }, []string{"spec.nodeSet", "rack"}},
		{"no service", func(r *rig) { r.drop(&v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("known")}) }, []string{"DataPlaneService site/known", "create"}},
		{"no NetConfig", func(r *rig) { r.drop(steptest.NetConfig()) }, []string{"NetConfig"}},
		{"no login Secret", func(r *rig) { r.drop(steptest.LoginSecret(r.T)) }, []string{"Secret site/rack-ssh"}},
		{"no such nodes", func(r *rig) { r.drop(nodeOf(0)) }, []string{"spec.nodes", "n0"}},
		{"a foreign Secret in the way", func(r *rig) {
			if err := r.Plain.Create(r.Context(), &corev1.Secret{ObjectMeta: steptest.Meta("d-inputs")}); err != nil {
				r.Fatal(err)
			}
		}, []string{"Secret site/d-inputs", "rename or delete"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := site(t, newDeployment("n0"))
			c.change(r)
			r.pass()
			r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, c.words...)
			r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput)
			if len(r.deployment().Status.Runs) != 0 {
				t.Error("a run is decided all the same")
			}
			r.Writes()
			r.pass()
			if w := r.Writes(); len(w) > 0 {
				t.Errorf("another pass writes %v", w)
			}
		})
	}
}

func TestAllNodesMeansDeployedOnes(t *testing.T) {
	r := site(t, newDeployment())
	for i := range 2 {
		edit(r, nodeOf(i), func(n *v1alpha1.DataPlaneNode) { n.Status.Conditions = nil })
	}
	r.pass()
	if got := rollout.Runs(r.deployment())[0].Nodes; !slices.Equal(got, []string{"n2"}) || !slices.Equal(r.deployment().Status.Nodes, got) {
		t.Errorf("runs on %v of %v, want the deployed node", got, r.deployment().Status.Nodes)
	}
	r = site(t, newDeployment())
	for i := range 3 {
		edit(r, nodeOf(i), func(n *v1alpha1.DataPlaneNode) { n.Status.Conditions = nil })
	}
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWaitingForHost)
}

func TestLoginKeyGoesMissing(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.pass()
	r.drop(steptest.LoginSecret(t))
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidInput, "rack-ssh")
	fresh := steptest.LoginSecret(t)
	if err := r.Plain.Create(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

func TestNodesThatLeave(t *testing.T) {
	r := site(t, newDeployment("n0", "n1", "n2"))
	r.pass()
	r.drop(nodeOf(1))
	edit(r, nodeOf(2), func(n *v1alpha1.DataPlaneNode) { n.Finalizers = []string{"x/y"} })
	r.drop(nodeOf(2))
	again := nodeOf(1)
	again.UID = "another"
	if err := r.Plain.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	r.run()
	if runs := r.runner.Started(); !slices.Equal(runs[1].Nodes, []string{"n0"}) {
		t.Errorf("the second service ran on %v, want n0 alone", runs[1].Nodes)
	}
	if got := r.results(1); got != "" {
		t.Errorf("a node made anew got results of the one before it: %s", got)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

func TestAllNodesLeave(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.pass()
	r.drop(nodeOf(0))
	r.run()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

func TestBusyAndLostRuns(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.runner.Limit(1)
	other := ansible.Run{Key: "other", Role: "x", Nodes: []string{"x"}}
	if err := r.runner.Start(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if result := r.pass(); result.RequeueAfter == 0 || result.RequeueAfter > 10*time.Second {
		t.Errorf("another try after %s", result.RequeueAfter)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing, "runs bootstrap")
	r.Clock.Step(10 * time.Second) // no news until then
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBusy, "no slot")
	if err := r.runner.Cancel(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if lost := r.runner.Lose(); lost != 1 {
		t.Fatalf("%d runs under way, want 1", lost)
	}
	r.run()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
	if started := r.runner.Started(); started[1].Key != started[2].Key {
		t.Errorf("a lost run is started again as %s, was %s", started[2].Key, started[1].Key)
	}
}

// broken is a runner whose calls fail.
type broken struct {
	ansible.Runner
	start, status error
}

func (b broken) Start(context.Context, ansible.Run) error { return b.start }

func (b broken) Status(ctx context.Context, key string) (ansible.Status, error) {
	if b.status != nil {
		return ansible.Status{}, b.status
	}
	return b.Runner.Status(ctx, key)
}

func TestRunnerErrors(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.controller.Runner = broken{Runner: r.runner, start: fault.New(fault.Rejected, "no such role")}
	r.run()
	if got := r.results(0); got != "bootstrap:Failed:1" {
		t.Errorf("results %s, want the refused run as a failure", got)
	}
	r = site(t, newDeployment("n0"))
	r.controller.Runner = broken{Runner: r.runner, status: errors.New("disk on fire")}
	r.pass()
	if _, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKeyFromObject(newDeployment())); err == nil {
		t.Error("no error, want the runner's, for the queue to back off")
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTransient, "disk on fire")
}

func TestResultsAreRecordedOnce(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.runner.Inject(ansibletest.Failure{Result: v1alpha1.ServiceFailed, Message: "no"})
	died := errors.New("died")
	r.Inject = func(verb string, obj client.Object) error {
		if d, ok := obj.(*v1alpha1.DataPlaneDeployment); ok && len(d.Status.Runs) > 0 && d.Status.Runs[0].State != v1alpha1.RunRunning {
			return died
		}
		return nil
	}
	for range 6 {
		_, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKeyFromObject(newDeployment()))
		if err != nil && !errors.Is(err, died) {
			t.Fatal(err)
		}
		r.Clock.Step(time.Second)
	}
	r.Inject = nil
	r.run()
	if got := r.results(0); got != "bootstrap:Failed:1" {
		t.Errorf("results %s, want one failure for one run", got)
	}
}

func TestResultsYieldToTheNodeController(t *testing.T) {
	r := site(t, newDeployment("n0"))
	conflicts := 0
	r.Inject = func(_ string, obj client.Object) error {
		if _, ok := obj.(*v1alpha1.DataPlaneNode); ok {
			if conflicts++; conflicts%3 != 0 {
				return apierrors.NewConflict(schema.GroupResource{}, "n0", errors.New("changed"))
			}
		}
		return nil
	}
	r.run()
	if got := r.results(0); got != "bootstrap:Succeeded:0 network:Succeeded:0 known:Succeeded:0" {
		t.Errorf("results %s", got)
	}
	if !meta.IsStatusConditionTrue(r.node(0).Status.Conditions, v1alpha1.ConditionProvisioned) {
		t.Error("the node's conditions were touched")
	}
}

func TestResultsHaveRoom(t *testing.T) {
	r := site(t, newDeployment("n0"))
	edit(r, nodeOf(0), func(n *v1alpha1.DataPlaneNode) {
		for i := range 64 {
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: fmt.Sprintf("s%02d", i), FinishedAt: metav1.NewTime(r.Clock.Now().Add(time.Duration(i) * time.Second))})
		}
	})
	edit(r, nodeOf(0), func(n *v1alpha1.DataPlaneNode) { n.Status.Services[0].Name = "known" }) // as old as can be, and wanted
	r.run()
	services := r.node(0).Status.Services
	if len(services) != 64 || services[0].Name != "known" || services[1].Name != "s03" || services[63].Name != "network" {
		t.Errorf("%d results from %s, %s to %s; want the oldest that nobody wants to have made room", len(services), services[0].Name, services[1].Name, services[len(services)-1].Name)
	}
}

func TestDelete(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.pass()
	r.pass()
	if r.runner.Running() != 1 {
		t.Fatal("no run under way")
	}
	r.drop(newDeployment())
	r.pass()
	if r.runner.Running() != 0 {
		t.Error("the run goes on")
	}
	for _, obj := range []client.Object{newDeployment(), &corev1.Secret{ObjectMeta: steptest.Meta("d-inputs")}} {
		if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); !apierrors.IsNotFound(err) {
			t.Errorf("%T %s: %v, want it gone", obj, obj.GetName(), err)
		}
	}
	r.pass() // over nothing
}

// large is a site with so many deployed nodes, and a deployment on some of them by a collection.
func large(t *testing.T, size int32, collection rollout.Collection, nodes ...string) *rig {
	t.Helper()
	objects := append(steptest.Site(t, 0), steptest.NodeSet(size), newDeployment(nodes...))
	for i := range size {
		n := nodeOf(0)
		n.Name = fmt.Sprintf("n%d", i)
		n.Spec.HostName = n.Name
		n.Spec.Networks[0].Address = fmt.Sprintf("192.168.%d.%d", i/200, 10+i%200)
		n.Spec.Networks[1].Address = fmt.Sprintf("172.17.%d.%d", i/200, 10+i%200)
		host := steptest.Host(fmt.Sprintf("h%d", i))
		n.Spec.Host = &v1alpha1.HostReference{Namespace: steptest.Namespace, Name: host.Name, UID: types.UID("uid-of-site-" + host.Name)}
		objects = append(objects, n, host)
	}
	api := steptest.New(t, objects...)
	r := &rig{T: t, API: api, runner: ansibletest.New(0)}
	r.controller = deployment.Reconciler{Client: api, Reader: api.Reader, Live: api.Reader, Runner: r.runner, Leases: leasesOf(api, r.runner), Clock: api.Clock, Events: &events.FakeRecorder{}, Collection: collection, Memory: deployment.NewMemory(0)}
	return r
}

// inputs is the size of the snapshot.
func (r *rig) inputs() (total int) {
	r.Helper()
	secret := &corev1.Secret{}
	if err := r.Plain.Get(r.Context(), client.ObjectKey{Namespace: steptest.Namespace, Name: "d-inputs"}, secret); err != nil {
		r.Fatal(err)
	}
	for _, data := range secret.Data {
		total += len(data)
	}
	return total
}

func TestLargeSnapshotFits(t *testing.T) {
	const size = 1000
	r := large(t, size, rollout.Collection{Version: "1"})
	r.pass()
	total := r.inputs()
	t.Logf("the snapshot of %d nodes is %d KiB", size, total>>10)
	if total > corev1.MaxSecretSize {
		t.Errorf("%d bytes, a Secret takes %d", total, corev1.MaxSecretSize)
	}
}

// TestSnapshotHoldsTheNodesItRunsOn: what a deployment takes of a set is what it is about, however large the set is; unless a
// playbook of which nothing is known may ask for more.
func TestSnapshotHoldsTheNodesItRunsOn(t *testing.T) {
	known := rollout.Collection{Version: "1", Playbooks: map[string]rollout.Playbook{}}
	for _, object := range steptest.Site(t, 0) {
		if s, ok := object.(*v1alpha1.DataPlaneService); ok {
			known.Playbooks[s.Spec.Playbook] = rollout.Playbook{Version: "1", Reads: rollout.Reads{Names: []string{"ctlplane_ip"}}}
		}
	}
	hosts := func(size int32, collection rollout.Collection) (seen, keys, reached, bytes int) {
		r := large(t, size, collection, "n1", "n2")
		for range 5 {
			r.pass()
		}
		started := r.runner.Started()
		if len(started) == 0 || !slices.Equal(started[0].Nodes, []string{"n1", "n2"}) {
			t.Fatalf("runs %+v, want one on n1 and n2", started)
		}
		run := started[0]
		return strings.Count(string(run.Inventory), "ansible_host:"), strings.Count(string(run.KnownHosts), "\n"), len(run.Targets), r.inputs()
	}
	seen, keys, reached, few := hosts(10, known)
	if seen != 2 || keys != 2 || reached != 2 {
		t.Errorf("the run sees %d nodes, has keys of %d and reaches %d, want 2", seen, keys, reached)
	}
	if _, _, _, many := hosts(200, known); many > few*11/10 {
		t.Errorf("%d bytes for 2 of 200 nodes, %d for 2 of 10", many, few)
	}
	if seen, _, reached, _ = hosts(10, rollout.Collection{Version: "1"}); seen != 10 || reached != 10 {
		t.Errorf("a playbook of which nothing is known sees %d nodes and reaches %d, want all 10 of its set", seen, reached)
	}
}

// TestRunsOnWhatWasDecided: while a node is to have another input, or another network, than follows from what there is,
// nothing is taken down to be run, and once the two agree the results carry the decided hash.
func TestRunsOnWhatWasDecided(t *testing.T) {
	for what, change := range map[string]func(*v1alpha1.DataPlaneNode){
		"input":   func(n *v1alpha1.DataPlaneNode) { n.Spec.Services[0].InputHash = "0" },
		"network": func(n *v1alpha1.DataPlaneNode) { n.Spec.NetworkHash = "0" },
	} {
		t.Run(what, func(t *testing.T) {
			r := site(t, newDeployment("n0", "n1"))
			r.DecideInputs(r.controller.Collection)
			edit(r, nodeOf(1), change)
			if _, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKeyFromObject(newDeployment())); err != nil {
				t.Fatal(err)
			}
			r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonWaitingForPlan, "n1", "NodeSet rack")
			if name := r.deployment().Status.InputsSecret; name != "" {
				t.Errorf("inputs are taken into %s", name)
			}
			r.run()
			n := r.node(1)
			for i, want := range n.Spec.Services {
				if got := n.Status.Services[i]; got.Name != want.Name || got.InputHash != want.InputHash {
					t.Errorf("result of %s is for %s, want %s for %s", got.Name, got.InputHash, want.Name, want.InputHash)
				}
			}
		})
	}
}
