package node_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

// examiner tells of a server as change leaves it, and counts how often it is asked.
type examiner struct {
	change   func(*adoption.Facts)
	err      error
	lose     int // how many looks are lost
	clock    clock.PassiveClock
	looks    int
	question adoption.Question
}

func (e *examiner) Examine(_ context.Context, _ remote.Target, q adoption.Question) (adoption.Facts, error) {
	e.looks++
	e.question = q
	if e.lose > 0 {
		e.lose--
		return adoption.Facts{}, fault.New(fault.Transient, "lost")
	}
	facts := adoption.Facts{
		OS:     adoption.OS{ID: "debian", Version: "13", Name: "Debian GNU/Linux 13"},
		Kernel: adoption.Kernel{Running: "6.12", Architecture: "x86_64", KVM: true},
		Disks:  []adoption.Disk{{Path: "/", FreeBytes: 100 << 30}}, Addresses: []string{"192.168.0.10", "172.17.0.10"},
		Identity:  adoption.Identity{HostName: "n0", FQDN: "n0", MachineID: strings.Repeat("0", 32)},
		Endpoints: map[string]string{},
	}
	for _, address := range q.Connect {
		facts.Endpoints[address] = ""
	}
	facts.Clock.Unix = steptest.Start().UnixMilli()
	if e.clock != nil {
		facts.Clock.Unix = e.clock.Now().UnixMilli()
	}
	if e.change != nil {
		e.change(&facts)
	}
	return facts, e.err
}

// running is a site with a server that already runs as node n0.
func running(t *testing.T, change ...func(*v1alpha1.NodeSet)) *rig {
	t.Helper()
	set := steptest.NodeSet(0)
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.Image = true, nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"n0": {
		Ansible: v1alpha1.AnsibleOptions{AnsibleHost: "192.0.2.50"}, SSHHostKeys: []string{steptest.HostKey},
	}}
	for _, c := range change {
		c(set)
	}
	n := planned()
	n.Spec.Host = nil
	r := newRig(t, append(steptest.Site(t, 0), set, n)...)
	r.examiner.clock = r.Clock
	return r
}

func (r *rig) condition(name string) metav1.Condition {
	r.Helper()
	c := meta.FindStatusCondition(r.node().Status.Conditions, name)
	if c == nil {
		r.Fatalf("no condition %s", name)
	}
	return *c
}

const fit = "+Claimed +Addressed +Provisioned +Adoptable -Networked:WaitingForNetwork -Configured:WaitingForServices"

func smallDisk(f *adoption.Facts) { f.Disks[0].FreeBytes = 1 << 29 }

func TestAdoptable(t *testing.T) {
	r := running(t)
	r.pass()
	r.expect(fit)
	r.settled()
}

// TestOneLookLostIsNoNews: a server whose look is lost once is looked at again at once, one that is silent is told of and
// then looked at once a time.
func TestOneLookLostIsNoNews(t *testing.T) {
	r := running(t)
	r.examiner.lose = 1
	r.pass()
	r.expect(fit)
	r.examiner.lose = 1
	r.settled()
	r.examiner.lose = 3
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Adoptable:WaitingForSSH -Networked:WaitingForNetwork -Configured:WaitingForServices", "lost")
	r.settled()
	r.pass()
	r.expect(fit)
}

func TestUnfitUntilPutRight(t *testing.T) {
	r := running(t)
	r.examiner.change = smallDisk
	result := r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable", "Disk: found 0.5 GiB free on /, wanted 1 GiB: free space")
	if result.RequeueAfter != time.Minute {
		t.Errorf("looked at again after %s", result.RequeueAfter)
	}
	r.settled()
	r.examiner.change = nil
	r.pass()
	r.expect(fit)
	if c := r.condition(v1alpha1.ConditionAdoptable); c.Reason != v1alpha1.ReasonDone || c.Message != "" {
		t.Errorf("%+v", c)
	}
	r.examiner.change = smallDisk
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable -Networked:WaitingForNetwork -Configured:WaitingForServices")
}

func TestAcceptedFindings(t *testing.T) {
	r := running(t, func(s *v1alpha1.NodeSet) { s.Spec.Adoption.Accept = []v1alpha1.AdoptionFinding{v1alpha1.FindingDisk} })
	r.examiner.change = smallDisk
	r.pass()
	r.expect(fit)
	if c := r.condition(v1alpha1.ConditionAdoptable); !strings.Contains(c.Message, "0.5 GiB free on /") {
		t.Errorf("what was accepted is not told: %+v", c)
	}
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { s.Spec.Adoption = v1alpha1.AdoptionSpec{MinFreeGiB: 200} })
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable -Networked:WaitingForNetwork -Configured:WaitingForServices", "wanted 200 GiB")
}

// TestWhatWeDidOurselves: from the first run on a node is not judged by what is found on it, whatever part of our memory is lost.
func TestWhatWeDidOurselves(t *testing.T) {
	result := v1alpha1.ServiceResult{Name: "bootstrap", InputHash: "1", Result: v1alpha1.ServiceFailed, Message: "task x: no"}
	cases := []struct {
		name  string
		do    func(*rig)
		looks int
		want  string
	}{
		{"a service failed", func(r *rig) {
			edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.Status.Services = []v1alpha1.ServiceResult{result} })
		}, 0, fit},
		{"a run is under way", func(r *rig) { r.run("n0", v1alpha1.RunRunning) }, 0, fit},
		{"all is lost but the record on the node", func(r *rig) {
			r.examiner.change = func(f *adoption.Facts) { smallDisk(f); f.Record = []string{"n0", "n0.example.com"} }
		}, 1, fit},
		{"a run elsewhere", func(r *rig) { r.run("n1", v1alpha1.RunRunning) }, 1, "+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable"},
		{"an old run of which nothing is left", func(r *rig) { r.run("n0", v1alpha1.RunFailed) }, 1, "+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := running(t)
			r.examiner.change = smallDisk
			c.do(r)
			r.pass()
			r.expect(c.want)
			if r.examiner.looks != c.looks {
				t.Errorf("%d looks, want %d", r.examiner.looks, c.looks)
			}
			r.settled()
		})
	}
}

// run makes a deployment with a run on the node, which has left another.
func (r *rig) run(node string, state v1alpha1.RunState) {
	r.Helper()
	d := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta("d")}
	if err := r.Plain.Create(r.Context(), d); err != nil {
		r.Fatal(err)
	}
	edit(r, d, func(d *v1alpha1.DataPlaneDeployment) {
		d.Status.Nodes = []string{"late", node}
		d.Status.Runs = []v1alpha1.RunStatus{
			{Service: "earlier", Key: "1", NodeIndexes: "0-1", LeftIndexes: "1", State: v1alpha1.RunRunning},
			{Service: "bootstrap", Key: "2", NodeIndexes: "1", State: state},
		}
	})
}

func TestLookThatFails(t *testing.T) {
	for kind, reason := range map[fault.Kind]string{
		fault.Transient: "WaitingForSSH", fault.Denied: "Denied", fault.Rejected: "HostKeyMismatch", fault.Unsupported: "Unsupported",
	} {
		r := running(t)
		r.examiner.err = fault.New(kind, "that is why")
		if result := r.pass(); result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
			t.Errorf("%s: another look after %s", kind, result.RequeueAfter)
		}
		r.expect("+Claimed +Addressed +Provisioned -Adoptable:"+reason, "node n0", "192.0.2.50", "that is why")
		r.settled()
	}
}

func TestBareMetalIsNotLookedAt(t *testing.T) {
	r := site(t)
	r.deployed()
	if c := r.condition(v1alpha1.ConditionAdoptable); c.Reason != v1alpha1.ReasonNotNeeded || c.Status != metav1.ConditionTrue || r.examiner.looks != 0 {
		t.Errorf("%+v after %d looks", c, r.examiner.looks)
	}
}

func TestQuestionOfANode(t *testing.T) {
	r := running(t, func(s *v1alpha1.NodeSet) {
		s.Spec.NodeTemplate.Ansible.AnsibleVars = steptest.Vars(`{"edpm_bootstrap_repos": [{"name": "main", "url": "https://mirror.example.com/debian"}]}`)
	})
	r.examiner.change = func(f *adoption.Facts) { f.Endpoints["mirror.example.com:443"] = "no answer" }
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable", "package repository main at mirror.example.com:443: no answer")
	if !slices.Equal(r.examiner.question.Connect, []string{"mirror.example.com:443"}) {
		t.Errorf("asked to connect to %v", r.examiner.question.Connect)
	}
}

func TestClockOfTheEngine(t *testing.T) {
	r := running(t)
	r.examiner.clock = nil
	r.Clock.Step(time.Hour)
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Adoptable:NotAdoptable", "Time: found a clock about 60 min behind")
	var zero step.Result
	if r.pass() == zero {
		t.Error("never looked at again")
	}
}
