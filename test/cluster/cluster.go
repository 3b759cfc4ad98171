// Package cluster gives tests a real API: one etcd and kube-apiserver per test
// binary with all CRDs installed, started at the first use.
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
//	cfg := cluster.Config(t)
//
// Tests share it, so each works in a Namespace of its own. Namespaces are never
// finished deleting and nothing collects garbage: there is no controller
// manager, just as under `rackplane standalone`. The programs come from the
// cache; a test fails, and says what to run, when they are not there.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controlplane"
)

const startTimeout = 2 * time.Minute

// instance is the one control plane of a test binary.
type instance struct {
	mu     sync.Mutex
	config *rest.Config
	err    error
	stop   func() error
}

//nolint:gochecknoglobals // one API server per test binary is what this package is for
var shared instance

// Main runs the tests and stops the API server that they started, if any. It returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.stop != nil {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}

// Config returns a configuration with full rights, starting the API server when this is the first call.
// The package's TestMain must call Main, which stops it.
func Config(tb testing.TB) *rest.Config {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.config == nil && shared.err == nil {
		shared.start(tb.Context())
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return rest.CopyConfig(shared.config)
}

// Namespace creates a namespace and returns its name.
func Namespace(tb testing.TB, c client.Client) string {
	tb.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(tb.Context(), ns); err != nil {
		tb.Fatalf("create a namespace: %v", err)
	}
	return ns.Name
}

func (i *instance) start(ctx context.Context) {
	dir, err := os.MkdirTemp("", "rackplane-cluster-")
	if err != nil {
		i.err = err
		return
	}
	i.stop = func() error { return os.RemoveAll(dir) }
	bounded, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Nobody reads the data after a crash of the test, so it need not survive one.
	p, err := controlplane.Start(bounded, controlplane.Config{Dir: dir, EtcdArgs: []string{"--unsafe-no-fsync"}})
	if err != nil {
		i.err = err
		return
	}
	life := context.WithoutCancel(ctx)
	i.stop = func() error { return errors.Join(p.Stop(life), os.RemoveAll(dir)) }
	if i.err = controlplane.InstallCRDs(bounded, p.RESTConfig()); i.err == nil {
		i.config = p.RESTConfig()
	}
}
