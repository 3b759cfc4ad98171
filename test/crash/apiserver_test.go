package crash

import (
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/test/cluster"
	"github.com/rackplane/rackplane/test/world"
)

// TestMain collects garbage seldom: worlds are small and live for a second, and collecting took an eighth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	ctrl.SetLogger(logr.Discard())
	os.Exit(cluster.Main(m))
}

const (
	// patience is how long one part of the journey may take on a loaded machine.
	patience = 3 * time.Minute
	// rest is how long nothing may be written once a part has ended: longer than every short poll.
	rest = 8 * time.Second
)

// TestJourneyOnAPIServer makes the journey on a real API server with real watches: what the other tests drive by hand
// must also happen by itself, and end. The engine has the rights of config/rbac there, with those for cell discovery where
// they are bound, and no more.
func TestJourneyOnAPIServer(t *testing.T) {
	config := cluster.Config(t)
	api, err := client.New(config, client.Options{Scheme: world.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: world.Namespace}}); err != nil {
		t.Fatal(err)
	}
	w := traveller{&world.World{
		API: api, Runner: ansibletest.New(1), Ironic: provisionertest.New(time.Now, 10*time.Millisecond), Cloud: openstacktest.New(world.AuthURL, secret.Value(world.CloudPassword())),
	}}
	limited, err := controlplane.InstallRBAC(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(config, client.Options{})
	if err == nil {
		err = admin.Create(t.Context(), mayDiscover())
	}
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(limited, ctrl.Options{
		Scheme: world.Scheme(), Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cached.Options(), Client: cached.ClientOptions(),
	})
	if err != nil {
		t.Fatal(err)
	}
	wall, recorder := clock.RealClock{}, mgr.GetEventRecorder("rackplane")
	live := mgr.GetAPIReader()
	writer, cachedWorld := cached.New(mgr.GetClient(), live)
	held := &leases.Leases{Client: writer, Live: live, Runner: w.Runner, Store: "world", Duration: time.Minute, Clock: wall}
	for _, setup := range []func(ctrl.Manager) error{
		(&host.Reconciler{Client: writer, Reader: cachedWorld, Live: live, Provisioner: w.Ironic, Clock: wall, Events: recorder}).Setup,
		(&nodeset.Reconciler{Client: writer, Reader: cachedWorld, Live: live, Clock: wall, Events: recorder, Collection: rollout.Collection{Version: "1"}}).Setup,
		(&node.Reconciler{Client: writer, Reader: cachedWorld, Live: live, Prober: w, Cloud: w, Leases: held, Clock: wall, Events: recorder}).Setup,
		(&deployment.Reconciler{Client: writer, Reader: cachedWorld, Live: live, Runner: w.Runner, Leases: held, Clock: wall, Events: recorder, Collection: rollout.Collection{Version: "1"}}).Setup,
	} {
		if err := setup(mgr); err != nil {
			t.Fatal(err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(t.Context()) }()

	for _, part := range world.Rack().Parts {
		begin := time.Now()
		part.Do(t, w.World)
		w.await(t, part.Nodes)
		t.Logf("%s: %s", part.Name, time.Since(begin).Round(time.Millisecond))
		w.checkRest(t)
		w.await(t, part.Nodes)
	}
	w.CheckEmpty(t)
	for host, n := range w.Deploys() {
		if n > 1 {
			t.Errorf("%s was deployed %d times, want once", host, n)
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("the manager stopped: %v", err)
	default:
	}
}

// mayDiscover lets the engine run Jobs where the journey is made, as its users have to.
func mayDiscover() *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: world.Namespace, Name: "rackplane-cell-discovery"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "rackplane-cell-discovery"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "rackplane-system", Name: "rackplane-manager"}},
	}
}

// traveller waits for what is driven by watches.
type traveller struct{ *world.World }

// await waits until the set has so many nodes, all ready and none more; 0 is until it is gone.
func (w traveller) await(t *testing.T, nodes int32) {
	t.Helper()
	set := &v1alpha1.NodeSet{}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		w.Check(t)
		set = &v1alpha1.NodeSet{}
		err := w.API.Get(t.Context(), world.SetKey(), set)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		s := &set.Status
		if (err != nil && nodes == 0) || (err == nil && nodes > 0 && s.ReadyReplicas == nodes && s.Replicas == nodes && s.UpdatedReplicas == nodes) {
			return
		}
	}
	for _, obj := range w.Objects(t, &v1alpha1.DataPlaneNodeList{}) {
		if n, ok := obj.(*v1alpha1.DataPlaneNode); ok {
			t.Logf("%s: %+v", n.Name, n.Status.Conditions)
		}
	}
	t.Fatalf("not at %d nodes after %s: %+v", nodes, patience, set.Status)
}

// checkRest waits until nothing has been written for a while: what is done stays done, and no poll writes.
func (w traveller) checkRest(t *testing.T) {
	t.Helper()
	before := w.versions(t)
	still := time.Now()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		now := w.versions(t)
		if !maps.Equal(before, now) {
			before, still = now, time.Now()
		}
		if time.Since(still) > rest {
			return
		}
	}
	t.Errorf("objects are still being written after %s: %v", patience, before)
}

func (w traveller) versions(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, list := range []client.ObjectList{
		&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneDeploymentList{}, &metal3v1alpha1.BareMetalHostList{}, &corev1.SecretList{},
	} {
		for _, obj := range w.Objects(t, list) {
			versions[fmt.Sprintf("%T %s", obj, obj.GetName())] = obj.GetResourceVersion()
		}
	}
	return versions
}
