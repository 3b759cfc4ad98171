package local

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// BenchmarkHungServices deploys five small services, of three tasks that take 2 s each, on three nodes, by the deployment
// controller and with real logins: all healthy, one silent (it accepts connections and says nothing), and one that hangs in
// the last task of the third service. By turns, it reports until when the other two nodes have all services, at best, because
// other load on the machine only ever adds; and how long they wait between their services in all, which is what a hung node
// can add to, with the ratio that makes of a healthy deployment's time.
func BenchmarkHungServices(b *testing.B) {
	l := newLab(b)
	l.tarpit(b)
	r := l.runner(b)
	took, waited := map[string][]float64{}, map[string][]float64{}
	thirds := []third{{"healthy", "127.0.0.1", 0}, {"silent", "127.0.0.3", 0}, {"hung", "127.0.0.1", 3}}
	for i := range b.N {
		for _, third := range thirds {
			began := time.Now()
			took[third.name] = append(took[third.name], l.deploy(b, r, fmt.Sprintf("%s-%d", third.name, i), third).Seconds())
			waited[third.name] = append(waited[third.name], waits(b, r, began))
		}
	}
	healthy := slices.Min(took["healthy"])
	for _, third := range thirds {
		b.ReportMetric(slices.Min(took[third.name]), "s/"+third.name)
		b.ReportMetric(slices.Min(waited[third.name]), "s-between/"+third.name)
		b.ReportMetric(1+(slices.Min(waited[third.name])-slices.Min(waited["healthy"]))/healthy, "ratio/"+third.name)
	}
	b.ReportMetric(0, "ns/op")
}

// waits are the seconds from the end of each run on the first two nodes to the start of the next, of the runs since then.
func waits(b *testing.B, r *Runner, since time.Time) (sum float64) {
	b.Helper()
	type span struct{ start, end float64 }
	var spans []span
	folders, err := r.folders()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range folders {
		var s span
		for text := range strings.Lines(string(read(b, f.work(fileEvents)))) {
			var e event
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				b.Fatal(err)
			}
			switch {
			case e.Event == "start":
				s.start = e.Time
			case e.Event == "end" && e.Host != nodeNowhere:
				s.end = max(s.end, e.Time)
			}
		}
		if s.end > 0 && s.start*1000 >= float64(since.UnixMilli()) {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	for i := range len(spans) - 1 {
		sum += spans[i+1].start - spans[i].end
	}
	return sum
}

// third is what becomes of the third node: where it is, and the service, counted from 1, that hangs on it.
type third struct {
	name, address string
	hangs         int
}

// relay is the runner with the lab's nodes in every run. Folders of the test stand for each node's /run.
type relay struct {
	*Runner
	lab   *lab
	third third
	dir   string
}

// Start implements ansible.Runner.
func (r relay) Start(ctx context.Context, run ansible.Run) error {
	inventory := r.lab.inventory(`, rackplane_fence_dir: "` + r.dir + `/{{ inventory_hostname }}"`)
	run.Inventory = bytes.ReplaceAll(inventory, []byte("127.0.0.3"), []byte(r.third.address))
	run.Targets = r.lab.targets()
	run.Targets[nodeNowhere] = net.JoinHostPort(r.third.address, strconv.Itoa(r.lab.port))
	run.SSHPrivateKey, run.KnownHosts = r.lab.key, r.lab.knownHosts
	return r.Runner.Start(ctx, run)
}

// deploy makes a deployment of five services and returns after how long the first two nodes have them all.
func (l *lab) deploy(b *testing.B, r *Runner, name string, third third) time.Duration {
	b.Helper()
	var names []string
	objects := steptest.Site(b, 3)
	for i := range 5 {
		s := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta(fmt.Sprint("service-", i+1))}
		last := "sleep 2"
		if third.hangs == i+1 { // until the lab is gone
			last = fmt.Sprintf("sleep 2; [ {{ inventory_hostname }} != %s ] || while [ -d %s ]; do sleep 1; done", nodeNowhere, l.dir)
		}
		s.Spec.PlaybookContents = "- hosts: all\n  strategy: host_pinned\n  gather_facts: false\n  tasks:\n" +
			strings.Repeat("  - ansible.builtin.raw: sleep 2\n", 2) + "  - ansible.builtin.raw: '" + last + "'\n"
		names, objects = append(names, s.Name), append(objects, s)
	}
	d := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta("d"), Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", ServicesOverride: names}}
	d.UID = types.UID(name)
	objects = append(objects, steptest.NodeSet(3), d)
	for i, node := range []string{nodeA, nodeB, nodeNowhere} {
		objects = append(objects, deployed(node, i))
	}
	api := steptest.New(b, objects...)
	relayed := relay{Runner: r, lab: l, third: third, dir: b.TempDir()}
	controller := &deployment.Reconciler{
		Client: api, Reader: api.Reader, Live: api.Reader, Runner: relayed, Clock: clock.RealClock{}, Events: &events.FakeRecorder{}, Collection: rollout.Collection{}, Memory: deployment.NewMemory(0),
		Leases: &leases.Leases{Client: api, Live: api.Reader, Runner: relayed, Store: "here", Duration: time.Minute, Clock: clock.RealClock{}},
	}
	pass := func() {
		api.Clock.SetTime(time.Now())
		result, err := steptest.Pass(b.Context(), controller, client.ObjectKeyFromObject(d))
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(min(result.RequeueAfter, time.Second))
	}
	began := time.Now()
	for !has(b, api, len(names), nodeA, nodeB) {
		if pass(); time.Since(began) > 10*time.Minute {
			b.Fatal("the others have not come to the end in 10 minutes")
		}
	}
	took := time.Since(began)
	if err := api.Plain.Delete(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	pass() // which cancels what goes on
	return took
}

// deployed is a node on which services may run.
func deployed(name string, i int) *v1alpha1.DataPlaneNode {
	n := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta(name)}
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
	n.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: metav1.NewTime(steptest.Start())},
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Waiting", Message: "services", LastTransitionTime: metav1.NewTime(steptest.Start())},
	}
	return n
}

// has reports whether the nodes have so many good results.
func has(b *testing.B, api *steptest.API, results int, nodes ...string) bool {
	b.Helper()
	for _, name := range nodes {
		n := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta(name)}
		if err := api.Plain.Get(b.Context(), client.ObjectKeyFromObject(n), n); err != nil {
			b.Fatal(err)
		}
		for _, s := range n.Status.Services {
			if s.Result != v1alpha1.ServiceSucceeded {
				b.Fatalf("%s: %+v", name, s)
			}
		}
		if len(n.Status.Services) < results {
			return false
		}
	}
	return true
}
