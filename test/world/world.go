package world

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/crypto/ssh"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/secret"
)

// Namespace is where everything is.
const Namespace = "site"

// World is everything that outlives the engine. Make one with New, or of parts for a real API server.
type World struct {
	// API is the API server as users see it, Store what is behind it; nil when it is a real one.
	API    client.Client
	Store  *Store
	Clock  *clocktesting.FakeClock
	Runner *ansibletest.Runner
	Ironic *provisionertest.Simulator
	Cloud  *openstacktest.Simulator
	// Nodes answer logins; those of New answer as servers that Ironic images.
	Nodes Logins
	// Acts are what the engine did beyond itself, in order, looks left out.
	Acts []Act

	lag     *Lag                  // what the engine reads through; nil when it reads what there is
	cloud   openstack.Cloud       // what the engine sees of the cloud; nil is the world itself
	order   *rand.Rand            // the order in which objects are looked at; nil is a fixed one
	passed  map[string]*passed    // what became of each node of a fleet
	told    record                // events and log
	awaited []func() bool         // tell whether something is still to come, without which rest is not the end
	laws    []func(tb testing.TB) // hold after every round, beside those of every world
	news    *news                 // which objects a write concerns
}

// Logins is what logging in to nodes shows.
type Logins interface {
	remote.Prober
	remote.Examiner
}

func (w *World) awaits() bool {
	return slices.ContainsFunc(w.awaited, func(still func() bool) bool { return still() })
}

func newClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

// Scheme has every kind the engine handles.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, coordinationv1.AddToScheme, v1alpha1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // a type is registered twice
		}
	}
	return scheme
}

// New returns a world with nothing in it.
func New() *World {
	clock := newClock()
	s := newStore(Scheme(), clock.Now)
	w := &World{
		API: s, Store: s, Clock: clock, Runner: ansibletest.New(1), Ironic: provisionertest.New(clock.Now, time.Second),
		Cloud: openstacktest.New(AuthURL, secret.Value(CloudPassword())),
	}
	w.Nodes, w.news = w, newNews(s)
	s.changed = w.news.note
	return w
}

// loginKey is some private key.
func loginKey(tb testing.TB) []byte {
	tb.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "test")
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// populate makes everything the user applies, with four hosts.
func (w *World) populate(tb testing.TB) {
	tb.Helper()
	w.supply(tb)
	w.apply(tb)
}

// apply makes the NodeSet.
func (w *World) apply(tb testing.TB) {
	tb.Helper()
	if err := w.API.Create(tb.Context(), nodeSet()); err != nil {
		tb.Fatal(err)
	}
}

// supply makes everything but the NodeSet.
func (w *World) supply(tb testing.TB) {
	tb.Helper()
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: meta("rack-ssh"), Data: map[string][]byte{corev1.SSHAuthPrivateKey: loginKey(tb)}},
		&corev1.Secret{ObjectMeta: meta("bmc"), Data: map[string][]byte{"username": []byte("admin"), "password": []byte(bmcPassword())}},
		&corev1.Secret{ObjectMeta: meta("clouds"), Data: map[string][]byte{"clouds.yaml": fmt.Appendf(nil, clouds, CloudPassword())}},
		discovery(),
		&v1alpha1.NetConfig{ObjectMeta: meta("site"), Spec: networks()},
	}
	for i := range 4 {
		host := &metal3v1alpha1.BareMetalHost{ObjectMeta: meta(fmt.Sprintf("h%d", i))}
		host.Spec.BMC = metal3v1alpha1.BMCDetails{Address: fmt.Sprintf("redfish-virtualmedia+http://192.0.2.%d/redfish/v1/Systems/1", i+1), CredentialsName: "bmc"}
		host.Spec.BootMACAddress = fmt.Sprintf("52:54:00:00:00:%02x", i)
		objects = append(objects, host)
	}
	for _, name := range services() {
		s := &v1alpha1.DataPlaneService{ObjectMeta: meta(name), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: "osp.edpm." + name}}
		s.Spec.DeployOnAllNodeSets = name == "known"
		objects = append(objects, s)
	}
	for _, obj := range objects {
		if err := w.API.Create(tb.Context(), obj); err != nil {
			tb.Fatal(err)
		}
	}
}

// discovery is what the user gives to have new computes mapped into their cell.
func discovery() *batchv1.CronJob {
	suspended := true
	consent := meta("discover")
	consent.Annotations = map[string]string{v1alpha1.DiscoveryAnnotation: "true"}
	return &batchv1.CronJob{ObjectMeta: consent, Spec: batchv1.CronJobSpec{
		Schedule: "@yearly", Suspend: &suspended,
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "discover", Image: "nova", Command: []string{"nova-manage", "cell_v2", "discover_hosts"}}},
		}}}},
	}}
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: Namespace, Name: name} }

func services() []string { return []string{"bootstrap", "network", "known"} }

func networks() v1alpha1.NetConfigSpec {
	vlan := int32(20)
	return v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
		{Name: "ctlplane", DNSDomain: "example.com", Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: "192.168.1.0/24", Gateway: "192.168.1.1",
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "192.168.1.10", End: "192.168.1.19"}},
		}}},
		{Name: "internalapi", Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: "172.17.0.0/24", VLAN: &vlan,
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "172.17.0.10", End: "172.17.0.19"}},
		}}},
	}}
}

func nodeSet() *v1alpha1.NodeSet {
	replicas := int32(3)
	return &v1alpha1.NodeSet{ObjectMeta: meta("rack"), Spec: v1alpha1.NodeSetSpec{
		Replicas: &replicas, HostNameTemplate: "n%d",
		Image: &v1alpha1.Image{URL: "http://192.0.2.100/image.qcow2", Checksum: "0123456789abcdef"},
		NodeTemplate: v1alpha1.NodeTemplate{
			AnsibleSSHPrivateKeySecret: "rack-ssh",
			Networks:                   []v1alpha1.NodeNetwork{{Name: "ctlplane", DefaultRoute: true}, {Name: "internalapi"}},
		},
		Services: services(),
		OpenStack: &v1alpha1.OpenStackJoin{
			CloudsSecret: "clouds", Southbound: &v1alpha1.OVNSouthbound{Endpoints: []string{"tcp:192.0.2.200:6642"}},
			Discovery: v1alpha1.CellDiscovery{CronJob: "discover"}, AvailabilityZone: "rack", Aggregates: []string{"all"}, Traits: []string{"CUSTOM_RACK"},
		},
	}}
}

const (
	// AuthURL is where the world's Keystone is.
	AuthURL = "https://keystone.example.com/v3"
	clouds  = `{clouds: {default: {auth: {auth_url: "https://keystone.example.com/v3", username: admin, password: %s,
  user_domain_name: Default, project_name: admin, project_domain_name: Default}}}}`
)

// See implements openstack.Cloud: nova-compute runs on a node once the last service has run on it, and a Job that was
// made to discover computes does so.
func (w *World) See(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	var nodes v1alpha1.DataPlaneNodeList
	var hosts metal3v1alpha1.BareMetalHostList
	var deployments v1alpha1.DataPlaneDeploymentList
	if err := errors.Join(w.API.List(ctx, &nodes), w.API.List(ctx, &hosts), w.API.List(ctx, &deployments)); err != nil {
		return openstack.Compute{}, err
	}
	for _, n := range nodes.Items {
		if w.served(&n, deployments.Items) && runs(hosts.Items, n.UID) {
			w.Cloud.Edit(func(c *openstacktest.World) { c.Start(n.Spec.HostName+".example.com", n.Spec.Networks[0].Address) })
		}
	}
	if err := w.discover(ctx); err != nil {
		return openstack.Compute{}, err
	}
	return w.Cloud.See(ctx, access, host)
}

// discover runs the Jobs that are to map computes.
func (w *World) discover(ctx context.Context) error {
	var jobs batchv1.JobList
	if err := w.API.List(ctx, &jobs); err != nil {
		return err
	}
	for i := range jobs.Items {
		job := &jobs.Items[i]
		if len(job.Status.Conditions) > 0 {
			continue
		}
		w.Cloud.Edit((*openstacktest.World).Discover)
		if w.Store == nil {
			continue // a real API server takes a Job's end from the Job controller only
		}
		job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(w.Clock.Now())}}
		if err := w.API.Status().Update(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// served reports whether the last service has run on the node, whatever of that was written down yet.
func (w *World) served(n *v1alpha1.DataPlaneNode, deployments []v1alpha1.DataPlaneDeployment) bool {
	last := services()[len(services())-1]
	for i := range deployments {
		for _, run := range deployments[i].Status.Runs {
			if run.Service == last && !run.StartedAt.Before(&n.CreationTimestamp) && w.Runner.Succeeded(run.Key, n.Name) {
				return true
			}
		}
	}
	return slices.ContainsFunc(n.Status.Services, func(r v1alpha1.ServiceResult) bool { return r.Name == last })
}

// Servers implements openstack.Cloud.
func (w *World) Servers(ctx context.Context, access openstack.Access, host string) ([]string, error) {
	return w.Cloud.Servers(ctx, access, host)
}

// Do implements openstack.Cloud.
func (w *World) Do(ctx context.Context, access openstack.Access, action openstack.Action) error {
	return w.Cloud.Do(ctx, access, action)
}

// Probe implements remote.Prober: a node answers once the host that carries its claim is provisioned and on, and
// reports the network it should have once the service network has run on it.
func (w *World) Probe(ctx context.Context, target remote.Target) (remote.Seen, error) {
	var nodes v1alpha1.DataPlaneNodeList
	var hosts metal3v1alpha1.BareMetalHostList
	if err := errors.Join(w.API.List(ctx, &nodes), w.API.List(ctx, &hosts)); err != nil {
		return remote.Seen{}, err
	}
	for _, n := range nodes.Items {
		if !runs(hosts.Items, n.UID) || len(n.Spec.Networks) == 0 || n.Spec.Networks[0].Address != target.Address {
			continue
		}
		for _, r := range n.Status.Services {
			if r.Name == "network" && r.Result == v1alpha1.ServiceSucceeded {
				return remote.Seen{NetworkHash: n.Spec.NetworkHash}, nil
			}
		}
		return remote.Seen{}, nil
	}
	return remote.Seen{}, fault.New(fault.Transient, "no answer")
}

// Examine implements remote.Examiner: nothing here runs before it is deployed.
func (w *World) Examine(_ context.Context, target remote.Target, _ adoption.Question) (adoption.Facts, error) {
	return adoption.Facts{}, fault.New(fault.Transient, "no answer from %s", target.Address)
}

// runs reports whether the host that carries the node's claim is provisioned and on.
func runs(hosts []metal3v1alpha1.BareMetalHost, node types.UID) bool {
	return slices.ContainsFunc(hosts, func(h metal3v1alpha1.BareMetalHost) bool {
		return h.Spec.ConsumerRef != nil && h.Spec.ConsumerRef.UID == node && h.Status.PoweredOn && h.Status.Provisioning.State == metal3v1alpha1.StateProvisioned
	})
}
