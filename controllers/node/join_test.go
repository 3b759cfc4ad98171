package node_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/openstacktest"
)

const cloudsYAML = `clouds:
  default:
    auth:
      auth_url: https://keystone.example.com:5000/v3
      username: rackplane
      password: "hunter2"
      user_domain_name: Default
      project_name: service
      project_domain_name: Default
    region_name: RegionOne
`

// cloudRig is a site whose node n0 is configured and joins a cloud.
type cloudRig struct {
	*rig
	cloud *openstacktest.Simulator
}

func joining(t *testing.T, change func(*v1alpha1.NodeSet)) *cloudRig {
	t.Helper()
	r := &cloudRig{rig: site(t), cloud: openstacktest.New("https://keystone.example.com:5000/v3", "hunter2")}
	r.controller.Cloud = r.cloud
	if err := r.Plain.Create(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta("clouds"), Data: map[string][]byte{"clouds.yaml": []byte(cloudsYAML)}}); err != nil {
		t.Fatal(err)
	}
	edit(r.rig, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) {
		s.Spec.Services = []string{"ovn", "neutron-metadata", "nova"}
		s.Spec.OpenStack = &v1alpha1.OpenStackJoin{CloudsSecret: "clouds", Southbound: &v1alpha1.OVNSouthbound{Endpoints: []string{"tcp:192.0.2.9:6642"}}}
		s.Spec.NodeTemplate.Ansible.AnsibleVars = map[string]apiextensionsv1.JSON{"edpm_ovn_bridge_mappings": {Raw: []byte(`["datacentre:br-ex"]`)}}
		if change != nil {
			change(s)
		}
	})
	r.pass()
	edit(r.rig, r.host(), provisioned)
	n := r.node()
	r.prober.seen.NetworkHash = n.Spec.NetworkHash
	edit(r.rig, n, func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services, n.Status.Services = nil, nil
		for _, name := range []string{"ovn", "neutron-metadata", "nova"} {
			n.Spec.Services = append(n.Spec.Services, v1alpha1.ServiceInput{Name: name, InputHash: "1"})
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{
				Name: name, InputHash: "1", Result: v1alpha1.ServiceSucceeded, FinishedAt: metav1.NewTime(r.Clock.Now()),
			})
		}
	})
	return r
}

const configured = "+Claimed +Addressed +Provisioned +Networked +Configured "

const hostName = "n0.example.com"

func TestJoins(t *testing.T) {
	r := joining(t, nil)
	if result := r.pass(); result.RequeueAfter != 10*time.Second {
		t.Errorf("asks again after %s, want 10s", result.RequeueAfter)
	}
	r.expect(configured+"-Joined:WaitingForCompute", hostName, "nova-compute")
	r.settled()

	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex", "other:br-other") })
	r.pass()
	r.expect(configured+"-Joined:WaitingForMapping", "discover_hosts_in_cells_interval", "spec.openstack.discovery.cronJob")
	r.settled()

	r.cloud.Edit((*openstacktest.World).Discover)
	if result := r.pass(); result.RequeueAfter != 30*time.Second {
		t.Errorf("looks again after %s, want 30s", result.RequeueAfter)
	}
	r.expect(configured + "+Joined")
	want := &v1alpha1.ComputeStatus{Host: hostName, ServiceID: "service-" + hostName, HypervisorID: "hypervisor-" + hostName, Chassis: "chassis-" + hostName}
	if diff := cmp.Diff(want, r.node().Status.OpenStack); diff != "" {
		t.Errorf("status.openstack (-want +got):\n%s", diff)
	}
	r.settled()
}

func TestServiceDownComesBackByItself(t *testing.T) {
	r := joining(t, nil)
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex"); w.Discover() })
	r.pass()
	r.expect(configured + "+Joined")
	r.cloud.Edit(func(w *openstacktest.World) { w.Report(hostName, false) })
	r.pass()
	r.expect(configured+"-Joined:ServiceDown", "nova-compute", hostName)
	r.settled()
	r.cloud.Edit(func(w *openstacktest.World) { w.Report(hostName, true) })
	r.pass()
	r.expect(configured + "+Joined")
}

func TestSilentCloudTakesNothingBack(t *testing.T) {
	r := joining(t, nil)
	silent := fault.New(fault.Transient, "OpenStack at https://keystone.example.com:5000 does not answer: connection refused")
	r.cloud.Fail(silent)
	r.pass()
	r.expect(configured+"-Joined:Transient", "keystone.example.com:5000")
	r.settled()

	r.cloud.Fail(nil)
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex"); w.Discover() })
	r.pass()
	r.expect(configured + "+Joined")
	r.cloud.Fail(silent)
	for range 2 {
		r.pass()
		r.expect(configured+"?Joined:Transient", "had joined", "keystone.example.com:5000")
	}
	r.settled()
	r.cloud.Fail(nil)
	r.cloud.Edit(func(w *openstacktest.World) { w.Report(hostName, false) })
	r.pass()
	r.expect(configured + "-Joined:ServiceDown")
	r.cloud.Fail(silent)
	r.pass()
	r.expect(configured + "-Joined:Transient")
}

// patchy is a cloud of which some calls in a row fail.
type patchy struct {
	openstack.Cloud
	lose int
	with fault.Kind
}

func (p *patchy) lost() error {
	if p.lose == 0 {
		return nil
	}
	p.lose--
	return fault.New(p.with, "lost")
}

func (p *patchy) See(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	if err := p.lost(); p.with == fault.Transient && err != nil {
		return openstack.Compute{}, err
	}
	return p.Cloud.See(ctx, access, host)
}

func (p *patchy) Servers(ctx context.Context, access openstack.Access, host string) ([]string, error) {
	if err := p.lost(); p.with == fault.Transient && err != nil {
		return nil, err
	}
	return p.Cloud.Servers(ctx, access, host)
}

func (p *patchy) Do(ctx context.Context, access openstack.Access, action openstack.Action) error {
	if err := p.lost(); err != nil {
		return err
	}
	return p.Cloud.Do(ctx, access, action)
}

// TestOneSilenceOfTheCloudIsNoNews: a cloud that does not answer once, or that somebody else changes meanwhile, is asked
// again before anything is told, and only then.
func TestOneSilenceOfTheCloudIsNoNews(t *testing.T) {
	r := joining(t, nil)
	cloud := &patchy{Cloud: r.cloud, with: fault.Transient}
	r.controller.Cloud = cloud
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex"); w.Discover() })
	cloud.lose = 1
	r.pass()
	r.expect(configured + "+Joined")
	cloud.lose = 1
	r.settled()
	cloud.lose = 3
	r.pass()
	r.expect(configured+"?Joined:Transient", "lost")
	r.settled() // that took the third
	r.pass()
	r.expect(configured + "+Joined")

	edit(r.rig, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) { s.Spec.OpenStack.Traits = []string{"CUSTOM_RACK7"} })
	cloud.lose, cloud.with = 1, fault.Busy
	r.pass()
	r.pass()
	r.expect(configured + "+Joined")

	cloud.lose, cloud.with = 1, fault.Transient
	r.cloud.Edit(func(w *openstacktest.World) { w.Servers = map[string][]string{hostName: {"web-1"}} })
	r.released()
	r.expect(configured+"+Joined", "web-1")
}

func TestPlacesTheCompute(t *testing.T) {
	r := joining(t, func(s *v1alpha1.NodeSet) {
		s.Spec.OpenStack.AvailabilityZone = "rack7"
		s.Spec.OpenStack.Aggregates, s.Spec.OpenStack.Traits = []string{"gpu"}, []string{"CUSTOM_RACK7"}
	})
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex"); w.Discover() })
	r.pass()
	r.expect(configured + "+Joined") // by one pass, with one write
	want := []openstack.Action{
		{Verb: openstack.MakeAggregate, Aggregate: "rack7", Zone: "rack7"},
		{Verb: openstack.JoinAggregate, Aggregate: "rack7", Host: hostName},
		{Verb: openstack.MakeAggregate, Aggregate: "gpu"},
		{Verb: openstack.JoinAggregate, Aggregate: "gpu", Host: hostName},
		{Verb: openstack.SetTrait, Provider: "hypervisor-" + hostName, Trait: "CUSTOM_RACK7"},
	}
	if diff := cmp.Diff(want, r.cloud.Effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

func TestCloudInputProblems(t *testing.T) {
	for name, c := range map[string]struct {
		data  map[string]string
		words []string
	}{
		"no Secret":      {nil, []string{"Secret site/clouds", "does not exist", "clouds.yaml"}},
		"no key":         {map[string]string{"other": "x"}, []string{"has no key clouds.yaml"}},
		"no YAML":        {map[string]string{"clouds.yaml": "a: [hunter2"}, []string{"not a clouds.yaml"}},
		"no such cloud":  {map[string]string{"clouds.yaml": strings.ReplaceAll(cloudsYAML, "default:", "site7:")}, []string{"no cloud default", "site7", "spec.openstack.cloud"}},
		"wrong password": {map[string]string{"clouds.yaml": strings.ReplaceAll(cloudsYAML, "hunter2", "hunter3")}, []string{"refuses the credentials", "Secret site/clouds"}},
		"not verified":   {map[string]string{"clouds.yaml": cloudsYAML + "    verify: false\n"}, []string{"verify: false", "ca.crt"}},
		"no certificate": {map[string]string{"clouds.yaml": cloudsYAML, "ca.crt": "x"}, []string{"key ca.crt holds no PEM"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := joining(t, nil)
			if err := r.Plain.Delete(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta("clouds")}); err != nil {
				t.Fatal(err)
			}
			secret := &corev1.Secret{ObjectMeta: steptest.Meta("clouds"), Data: map[string][]byte{}}
			for key, text := range c.data {
				secret.Data[key] = []byte(text)
			}
			if c.data != nil {
				if err := r.Plain.Create(t.Context(), secret); err != nil {
					t.Fatal(err)
				}
			}
			if result := r.pass(); result.RequeueAfter != 10*time.Second {
				t.Errorf("tried again after %s, want 10s", result.RequeueAfter)
			}
			reason := "InvalidInput"
			if name == "wrong password" {
				reason = "Denied"
			}
			r.expect(configured+"-Joined:"+reason, c.words...)
			for _, condition := range r.node().Status.Conditions {
				if strings.Contains(condition.Message, "hunter") {
					t.Errorf("a password is told: %s", condition.Message)
				}
			}
			r.settled()
		})
	}
}

func discovering(t *testing.T) *cloudRig {
	t.Helper()
	r := joining(t, func(s *v1alpha1.NodeSet) { s.Spec.OpenStack.Discovery.CronJob = "discover" })
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex") })
	cron := &batchv1.CronJob{ObjectMeta: steptest.Meta("discover")}
	cron.UID, cron.Annotations = "uid-of-cron", map[string]string{v1alpha1.DiscoveryAnnotation: "true"}
	cron.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "discover", Image: "nova-conductor"}}
	if err := r.Plain.Create(t.Context(), cron); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *cloudRig) jobs() []batchv1.Job {
	r.Helper()
	var list batchv1.JobList
	if err := r.Plain.List(r.Context(), &list); err != nil {
		r.Fatal(err)
	}
	return list.Items
}

// end ends the youngest Job.
func (r *cloudRig) end(kind batchv1.JobConditionType, reason string) {
	r.Helper()
	jobs := r.jobs()
	job := slices.MaxFunc(jobs, func(a, b batchv1.Job) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	job.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.NewTime(r.Clock.Now())}}
	if err := r.Plain.Status().Update(r.Context(), &job); err != nil {
		r.Fatal(err)
	}
}

func TestDiscoveryJob(t *testing.T) {
	r := discovering(t)
	for range 3 {
		r.pass()
	}
	jobs := r.jobs()
	if len(jobs) != 1 || jobs[0].Spec.Template.Spec.Containers[0].Image != "nova-conductor" || jobs[0].OwnerReferences[0].Name != "discover" {
		t.Fatalf("jobs %+v, want one made from the CronJob", jobs)
	}
	r.expect(configured+"-Joined:WaitingForMapping", "Job "+jobs[0].Name, "under way")
	r.settled()

	r.end(batchv1.JobFailed, "BackoffLimitExceeded")
	r.pass()
	r.expect(configured+"-Joined:WaitingForMapping", "failed", "BackoffLimitExceeded")
	r.Clock.Step(time.Minute)
	r.pass()
	if jobs = r.jobs(); len(jobs) != 2 {
		t.Fatalf("%d jobs after a failed one, want another", len(jobs))
	}
	r.end(batchv1.JobComplete, "")
	r.pass()
	r.expect(configured+"-Joined:WaitingForMapping", "did not find it")
	r.cloud.Edit((*openstacktest.World).Discover)
	r.pass()
	r.expect(configured + "+Joined")
}

// TestCronJobWithoutConsent is never started: whoever may write NodeSets could start any CronJob of the namespace.
func TestCronJobWithoutConsent(t *testing.T) {
	r := discovering(t)
	edit(r.rig, &batchv1.CronJob{ObjectMeta: steptest.Meta("discover")}, func(c *batchv1.CronJob) { c.Annotations = nil })
	r.pass()
	r.expect(configured+"-Joined:WaitingForMapping", "CronJob site/discover", "dataplane.rackplane.dev/discovery", "true")
	if jobs := r.jobs(); len(jobs) != 0 {
		t.Errorf("jobs %+v", jobs)
	}
}

// TestDiscoveryThatMayNotRun names the role that is missing.
func TestDiscoveryThatMayNotRun(t *testing.T) {
	r := discovering(t)
	r.Inject = func(verb string, obj client.Object) error {
		if _, is := obj.(*batchv1.Job); is {
			return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, obj.GetName(), nil)
		}
		return nil
	}
	r.pass()
	r.expect(configured+"-Joined:WaitingForMapping", "rackplane-cell-discovery", "kubectl -n site create rolebinding")
}

// TestDiscoveryThatFailsIsTriedLessOften: 30 s after the first, doubling.
func TestDiscoveryThatFailsIsTriedLessOften(t *testing.T) {
	r := discovering(t)
	r.pass()
	for _, rest := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		before := len(r.jobs())
		r.end(batchv1.JobFailed, "BackoffLimitExceeded")
		r.Clock.Step(rest - time.Second)
		r.pass()
		if got := len(r.jobs()); got != before {
			t.Fatalf("%d jobs before %s have passed, want %d", got, rest, before)
		}
		r.Clock.Step(2 * time.Second)
		r.pass()
		if got := len(r.jobs()); got != before+1 {
			t.Fatalf("%d jobs after %s, want %d", got, rest, before+1)
		}
	}
}

func TestDiscoveryIsNeverMadeTwice(t *testing.T) {
	r := discovering(t)
	r.Inject = func(verb string, obj client.Object) error {
		job, is := obj.(*batchv1.Job)
		if !is || verb != "create" {
			return nil
		}
		return r.Plain.Create(t.Context(), job.DeepCopy()) // another node's pass was a moment faster
	}
	r.pass()
	r.Inject = nil
	r.pass()
	if jobs := r.jobs(); len(jobs) != 1 {
		t.Errorf("%d jobs, want 1", len(jobs))
	}
}

func TestCronJobMissing(t *testing.T) {
	r := joining(t, func(s *v1alpha1.NodeSet) { s.Spec.OpenStack.Discovery.CronJob = "discover" })
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex") })
	r.pass()
	r.expect(configured+"-Joined:WaitingForMapping", "CronJob site/discover", "create it")
}

func TestRefusedPlacementIsTold(t *testing.T) {
	r := joining(t, func(s *v1alpha1.NodeSet) { s.Spec.OpenStack.Traits = []string{"HW_NO_SUCH"} })
	r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex"); w.Discover() })
	r.pass()
	r.expect(configured+"-Joined:Rejected", "HW_NO_SUCH")
	r.settled()
}

// released deletes the node and passes until it rests.
func (r *cloudRig) released() {
	r.Helper()
	if err := r.Plain.Delete(r.Context(), r.node()); err != nil {
		r.Fatal(err)
	}
	r.pass()
	r.pass()
}

// off is what the host controller does once the image is gone from the spec.
func off(h *metal3Host) {
	h.Status.Provisioning.State, h.Status.PoweredOn = metal3v1alpha1.StateAvailable, false
	h.Status.Provisioning.Image = metal3v1alpha1.Image{}
}

func (r *cloudRig) gone() bool {
	r.Helper()
	err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(planned()), planned())
	if client.IgnoreNotFound(err) != nil {
		r.Fatal(err)
	}
	return err != nil
}

func joinedNode(t *testing.T) *cloudRig {
	t.Helper()
	r := joining(t, nil)
	r.cloud.Edit(func(w *openstacktest.World) {
		w.Start(hostName, "192.168.0.10", "datacentre:br-ex")
		w.Discover()
		w.Servers = map[string][]string{hostName: {"web-2", "web-1"}}
	})
	r.pass()
	r.expect(configured + "+Joined")
	return r
}

func TestServersOnTheHostHoldItsRelease(t *testing.T) {
	r := joinedNode(t)
	r.released()
	r.expect(configured+"+Joined", "web-1, web-2", "--host "+hostName)
	if h := r.host(); h.Spec.Image == nil || !h.Spec.Online {
		t.Fatalf("host %+v: switched off under its servers", h.Spec)
	}
	want := []openstack.Action{{Verb: openstack.DisableService, Service: "service-" + hostName, Host: hostName}}
	if diff := cmp.Diff(want, r.cloud.Effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	r.settled()

	r.cloud.Fail(fault.New(fault.Transient, "OpenStack at https://keystone.example.com:5000 does not answer: connection refused"))
	r.pass()
	r.expect(configured+"+Joined", "cannot be asked", "connection refused", "take spec.openstack out of NodeSet rack")
	r.cloud.Fail(nil)

	r.cloud.Edit(func(w *openstacktest.World) { w.Servers = nil })
	r.pass()
	if h := r.host(); h.Spec.Image != nil || h.Spec.Online {
		t.Fatalf("host %+v, want it switched off", h.Spec)
	}
	edit(r.rig, r.host(), off)
	r.pass()
	if !r.gone() {
		t.Errorf("the node is still there: %+v", r.node().Status.Conditions)
	}
	r.cloud.Edit(func(w *openstacktest.World) {
		if len(w.Services)+len(w.Hypervisors)+len(w.Providers)+len(w.Agents)+len(w.Chassis) > 0 {
			t.Errorf("%+v is left in the cloud", w)
		}
	})
}

// halfDeaf is a cloud that shows its services and fails whatever is asked about one of them.
type halfDeaf struct{ openstack.Cloud }

func (halfDeaf) Servers(context.Context, openstack.Access, string) ([]string, error) {
	return nil, fault.New(fault.Transient, "Nova at https://nova.example.com answers 503")
}

func TestALostStatusDoesNotReleaseAHostThatTheCloudShows(t *testing.T) {
	r := joinedNode(t)
	edit(r.rig, r.node(), func(n *v1alpha1.DataPlaneNode) { n.Status.OpenStack = nil })
	r.controller.Cloud = halfDeaf{r.cloud}
	r.released()
	r.expect(configured+"+Joined", "cannot be asked", "answers 503")
	if h := r.host(); h.Spec.Image == nil || !h.Spec.Online {
		t.Errorf("host %+v: switched off while nobody knows what is on it", h.Spec)
	}
	r.settled()
}

func TestReleaseWithoutTheNetConfigFindsTheCompute(t *testing.T) {
	r := joinedNode(t)
	if err := r.Plain.Delete(t.Context(), steptest.NetConfig()); err != nil {
		t.Fatal(err)
	}
	r.released()
	r.expect(configured+"+Joined", "web-1, web-2")
}

func TestReleaseWithoutTheCloudsSecret(t *testing.T) {
	remove := func(r *cloudRig) {
		if err := r.Plain.Delete(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta("clouds")}); err != nil {
			t.Fatal(err)
		}
	}
	r := joinedNode(t)
	remove(r)
	r.released()
	r.expect(configured+"+Joined", "Secret site/clouds", "take spec.openstack out of NodeSet rack")
	edit(r.rig, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) { s.Spec.OpenStack = nil })
	r.pass()
	if r.host().Spec.Online {
		t.Error("the host is still on although the set has no cloud")
	}

	never := joining(t, nil) // its compute was never seen
	remove(never)
	never.released()
	if never.host().Spec.Online {
		t.Error("a node that the cloud never saw is held")
	}
}

// TestDiscoveryRestsByTheServersClock: Jobs' times are of the cluster's clock. A rest neither is skipped when that one is
// behind nor lasts as long as it is ahead, and a time that is far ahead of every clock keeps nobody waiting.
func TestDiscoveryRestsByTheServersClock(t *testing.T) {
	for name, c := range map[string]struct{ server, ended, rest time.Duration }{
		"ahead":          {time.Hour, time.Hour, time.Minute},
		"behind":         {-time.Hour, -time.Hour, time.Minute},
		"a clock jumped": {0, 24 * 365 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := discovering(t)
			server := clocktesting.NewFakePassiveClock(r.Clock.Now().Add(c.server))
			r.controller.ServerClock = server
			r.pass()
			job := r.jobs()[0]
			job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "x", LastTransitionTime: metav1.NewTime(r.Clock.Now().Add(c.ended))}}
			if err := r.Plain.Status().Update(t.Context(), &job); err != nil {
				t.Fatal(err)
			}
			for passed := time.Duration(0); passed < c.rest; passed += 20 * time.Second {
				if r.pass(); len(r.jobs()) != 1 {
					t.Fatalf("another Job after %s", passed)
				}
				r.Clock.Step(20 * time.Second)
				server.SetTime(server.Now().Add(20 * time.Second))
			}
			if r.pass(); len(r.jobs()) != 2 {
				t.Errorf("%d Jobs after the rest, want 2", len(r.jobs()))
			}
		})
	}
}
