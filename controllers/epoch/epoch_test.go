package epoch_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/epoch"
)

type memory []byte

func (m *memory) Load() ([]byte, error)  { return *m, nil }
func (m *memory) Save(data []byte) error { *m = bytes.Clone(data); return nil }

func newAPI(t *testing.T, cluster string) client.WithWatch {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}
	system.UID = "cluster-" + "a"
	if cluster != "" {
		system.UID = "cluster-b"
	}
	host := &metal3v1alpha1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{
		Namespace: "metal", Name: "h1", Annotations: map[string]string{v1alpha1.DeploymentAnnotation: "known"},
	}}
	return fake.NewClientBuilder().WithScheme(s).WithObjects(system, host).Build()
}

func keeper(api client.Client, m *memory) *epoch.Keeper {
	return &epoch.Keeper{
		Client: api, Live: api, Namespace: "rackplane-system", Store: m,
		Clock: clocktesting.NewFakeClock(time.Unix(0, 0)), Random: strings.NewReader(strings.Repeat("x", 1<<10)),
	}
}

// look looks n times and returns why the engine is paused.
func look(t *testing.T, k *epoch.Keeper, n int) string {
	t.Helper()
	for range n {
		if err := k.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return k.Paused()
}

func kept(t *testing.T, api client.Client) *corev1.ConfigMap {
	t.Helper()
	c := &corev1.ConfigMap{}
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "rackplane-system", Name: epoch.Name}, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRestoredBackupPauses: an API that is behind pauses the engine, over restarts, until a person says go; then it counts on.
func TestRestoredBackupPauses(t *testing.T) {
	t.Parallel()
	api, file := newAPI(t, ""), &memory{}
	k := keeper(api, file)
	if k.Paused() == "" {
		t.Error("acts before the first look")
	}
	if why := look(t, k, 3); why != "" {
		t.Errorf("a new site is paused: %s", why)
	}
	backup := kept(t, api).Data
	look(t, k, 1)
	c := kept(t, api)
	c.Data = backup
	if err := api.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, k := range []*epoch.Keeper{k, keeper(api, file), keeper(api, file)} { // the running engine, and two restarts
		if why := look(t, k, 2); !strings.Contains(why, "count 3, was 4") {
			t.Errorf("paused: %q", why)
		}
	}
	if why := look(t, keeper(api, &memory{}), 2); why == "" {
		t.Error("another engine acts although the API says that all are paused")
	}
	if why, err := epoch.Resume(t.Context(), api, "rackplane-system"); err != nil || !strings.Contains(why, "a backup was restored") {
		t.Errorf("resume: %q, %v", why, err)
	}
	if why := look(t, keeper(api, file), 3); why != "" {
		t.Errorf("paused after resume: %s", why)
	}
	if why, err := epoch.Resume(t.Context(), api, "rackplane-system"); err != nil || why != "" {
		t.Errorf("resume again: %q, %v", why, err)
	}
}

func TestOtherAPIs(t *testing.T) {
	t.Parallel()
	old, file := newAPI(t, ""), &memory{}
	look(t, keeper(old, file), 2)
	moved := newAPI(t, "b")
	c := kept(t, old)
	c.ResourceVersion = ""
	if err := moved.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	other := newAPI(t, "")
	look(t, keeper(other, &memory{}), 5)
	for name, x := range map[string]struct {
		api  client.Client
		file memory
		want string
	}{
		"a new API":             {newAPI(t, ""), *file, "the API is new"},
		"another cluster":       {moved, nil, "restored from another cluster"},
		"a lost state dir":      {old, nil, ""},
		"all new":               {newAPI(t, ""), nil, ""},
		"a broken file":         {old, memory("{"), "not known yet"},
		"another site's engine": {other, memory(`{"site":"elsewhere","cluster":"cluster-a","count":1}`), "another site's API"},
	} {
		k := keeper(x.api, &x.file)
		err := k.Look(t.Context())
		if why := k.Paused(); (why == "") != (x.want == "") || !strings.Contains(why, x.want) || (err != nil) != (name == "a broken file") {
			t.Errorf("%s: %q, %v", name, why, err)
		}
	}
}

// TestNewAPIMeetsOldServers: Ironic has deployments that no object knows. As long as it does not answer, nothing is acted on.
func TestNewAPIMeetsOldServers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		held map[string]string
		err  error
		want string
	}{
		{map[string]string{"metal~h1": "known"}, nil, ""},
		{map[string]string{"metal~h1": "known", "metal~h2": "x"}, nil, "1 servers with deployments that no BareMetalHost knows (metal~h2)"},
		{nil, errors.New("no answer"), "not known yet"},
	} {
		k := keeper(newAPI(t, ""), &memory{})
		k.Deployments = func(context.Context) (map[string]string, error) { return c.held, c.err }
		if err := k.Look(t.Context()); !errors.Is(err, c.err) {
			t.Error(err)
		}
		if why := k.Paused(); (why == "") != (c.want == "") || !strings.Contains(why, c.want) {
			t.Errorf("%v: %q", c.held, why)
		}
	}
}

// TestWholeStateDirectoryIsRestored: API and file are equally old; only the servers know more. What was left on purpose
// while the engine ran is no stranger.
func TestWholeStateDirectoryIsRestored(t *testing.T) {
	t.Parallel()
	api, file := newAPI(t, ""), &memory{}
	held := map[string]string{"metal~h1": "known"}
	start := func() *epoch.Keeper {
		k := keeper(api, file)
		k.Deployments = func(context.Context) (map[string]string, error) { return held, nil }
		return k
	}
	k := start()
	look(t, k, 1)
	held["metal~left"] = "retained" // its host goes, while the engine runs
	if why := look(t, k, 1) + look(t, start(), 1); why != "" {
		t.Errorf("paused: %s", why)
	}
	held["metal~h3"] = "deployed after the backup"
	if why := look(t, start(), 2); !strings.Contains(why, "1 servers with deployments that no BareMetalHost knows (metal~h3)") {
		t.Errorf("paused: %q", why)
	}
	if _, err := epoch.Resume(t.Context(), api, "rackplane-system"); err != nil {
		t.Fatal(err)
	}
	if why := look(t, start(), 2); why != "" {
		t.Errorf("paused after resume: %s", why)
	}
}

// TestServersThatAnswerLate: what they hold is looked at when they first answer, however long after the engine's start, and
// again after a look that could not be written down.
func TestServersThatAnswerLate(t *testing.T) {
	t.Parallel()
	api, file := newAPI(t, ""), &memory{}
	look(t, keeper(api, file), 1)
	var silent error
	writes := interceptor.NewClient(api, interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			if silent == nil {
				silent = errors.New("no answer")
				return errors.New("the API server is busy")
			}
			return c.Update(ctx, obj, opts...)
		},
	})
	k := keeper(writes, file)
	k.Live = api
	k.Deployments = func(context.Context) (map[string]string, error) {
		return map[string]string{"metal~h3": "deployed after the backup"}, silent
	}
	if err := k.Look(t.Context()); err == nil {
		t.Error("the write did not fail")
	}
	if why := look(t, k, 3); why != "" {
		t.Errorf("paused while the servers do not answer: %s", why)
	}
	silent = nil
	k.Client = api
	if why := look(t, k, 2); !strings.Contains(why, "no BareMetalHost knows (metal~h3)") {
		t.Errorf("paused: %q", why)
	}
}
