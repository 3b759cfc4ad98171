package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rackplane/rackplane/ansible/local"
	"github.com/rackplane/rackplane/controllers/brief"
	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/openstack/api"
	"github.com/rackplane/rackplane/playbooks"
	"github.com/rackplane/rackplane/provisioner/ironic"
	"github.com/rackplane/rackplane/remote/ssh"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/wire"
)

// minRunLease is the shortest lease of a run: half of it, when a run that cannot renew it begins to end, is more than its
// processes are given to do so.
const minRunLease = 30 * time.Second

// engineFlags say how the engine reaches everything but its API server.
type engineFlags struct {
	hostBackend string
	ironic      ironic.Config
	ironicCA    string
	ironicAuth  string
	ansibleVenv string
	slots       int
	share       int
	ansible     ansibleFlags
	// cloudEndpoints are the places where users' clouds may be; empty: wherever is not the engine's own.
	cloudEndpoints []string
	metrics        string
	health         string
	// lease, if set, is the namespace of the lease that lets one engine act at a time.
	lease string
	// runLease is how long an Ansible run may go without renewing its lease; 0 is for ever, where no other engine can be.
	runLease time.Duration
}

func (f *engineFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.hostBackend, "host-backend", "builtin", "who drives BareMetalHosts: builtin (Rackplane, through Ironic) or metal3 (the baremetal-operator of this cluster)")
	flags.StringVar(&f.ironic.Endpoint, "ironic-url", os.Getenv("IRONIC_ENDPOINT"), "Ironic's root URL, for example https://ironic.example.com:6385 (default: $IRONIC_ENDPOINT)")
	flags.StringVar(&f.ironicCA, "ironic-ca-file", "", "CA bundle that Ironic's certificate is verified with (default: the system's)")
	flags.StringVar(&f.ironicAuth, "ironic-auth-dir", "", "folder with the files username and password for Ironic's HTTP basic authentication (default: none)")
	flags.StringVar(&f.ironic.DeployKernel, "deploy-kernel", "", "URL of the deploy agent's kernel (default: Ironic's own configuration)")
	flags.StringVar(&f.ironic.DeployRamdisk, "deploy-ramdisk", "", "URL of the deploy agent's ramdisk (default: Ironic's own configuration)")
	flags.StringVar(&f.ironic.DeployISO, "deploy-iso", "", "URL of the deploy agent's ISO, instead of kernel and ramdisk")
	flags.StringVar(&f.ansibleVenv, "ansible-venv", "", "Python environment with ansible-playbook (default: the one `make install` put into RACKPLANE_CACHE)")
	flags.IntVar(&f.slots, "ansible-slots", 4, "Ansible runs at once")
	flags.IntVar(&f.share, "ansible-slots-per-namespace", 0, "Ansible runs at once of one namespace (default: half of --ansible-slots, rounded up)")
	flags.StringSliceVar(&f.cloudEndpoints, "cloud-endpoints", nil, "host names (*.example.com), addresses and networks (192.0.2.0/24) where the OpenStacks of NodeSets may be (default: everywhere but loopback and link-local addresses, the API server and Ironic)")
	f.ansible.add(flags)
	flags.StringVar(&f.metrics, "metrics-address", "0", "address that serves Prometheus metrics, 0 for none")
	flags.StringVar(&f.health, "health-address", "0", "address that serves /healthz and /readyz, 0 for none")
}

// check finds what a user can get wrong before anything is started.
func (f *engineFlags) check() error {
	switch {
	case f.hostBackend != "builtin" && f.hostBackend != "metal3":
		return fmt.Errorf("--host-backend=%s: use builtin or metal3", f.hostBackend)
	case f.lease != "" && f.runLease < minRunLease:
		return fmt.Errorf("--run-lease=%s: at least %s is needed for a run to end in time", f.runLease, minRunLease)
	case f.slots < 1:
		return fmt.Errorf("--ansible-slots=%d: at least 1 is needed", f.slots)
	case f.share < 0 || f.share > f.slots:
		return fmt.Errorf("--ansible-slots-per-namespace=%d: use 1 to %d, which is --ansible-slots", f.share, f.slots)
	}
	if _, err := wire.NewReach(f.cloudEndpoints, nil); err != nil {
		return fmt.Errorf("--cloud-endpoints: %w", err)
	}
	if err := f.ansible.check(); err != nil {
		return err
	}
	if err := f.readIronicFiles(); err != nil {
		return err
	}
	venv, err := findVenv(f.ansibleVenv)
	f.ansibleVenv = venv
	return err
}

// readIronicFiles reads what must not be on a command line.
func (f *engineFlags) readIronicFiles() (err error) {
	if f.ironicCA != "" {
		if f.ironic.CA, err = os.ReadFile(f.ironicCA); err != nil {
			return fmt.Errorf("--ironic-ca-file: %w", err)
		}
	}
	if f.ironicAuth == "" {
		return nil
	}
	for name, set := range map[string]func(string){
		"username": func(s string) { f.ironic.Username = s },
		"password": func(s string) { f.ironic.Password = secret.Value(s) },
	} {
		content, err := os.ReadFile(filepath.Join(f.ironicAuth, name))
		if err != nil {
			return fmt.Errorf("--ironic-auth-dir: %w", err)
		}
		set(strings.TrimSpace(string(content)))
	}
	return nil
}

// findVenv is the given environment, or the newest complete one in the cache.
func findVenv(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	cache, err := controlplane.Cache()
	if err != nil {
		return "", fmt.Errorf("%w, or give --ansible-venv", err)
	}
	complete, err := filepath.Glob(filepath.Join(cache, "venv", "ansible-*", ".complete"))
	if err != nil || len(complete) == 0 {
		return "", fmt.Errorf("no Ansible environment under %s: run `make ansible-assets`, or give --ansible-venv", cache)
	}
	newest := slices.MaxFunc(complete, func(a, b string) int { return cmp.Compare(changed(a), changed(b)) })
	return filepath.Dir(newest), nil
}

func changed(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// runEngine runs all controllers against the API server until ctx ends. Its files (runs, playbooks) are under dir.
func runEngine(ctx context.Context, cfg *rest.Config, f engineFlags, dir string, log logr.Logger) error {
	ctrl.SetLogger(log)
	cached.CollectEarly()
	options := ctrl.Options{
		Scheme: newScheme(), Logger: log,
		Metrics: server.Options{BindAddress: f.metrics}, HealthProbeBindAddress: f.health,
		GracefulShutdownTimeout: new(10 * time.Second),
		Cache:                   cached.Options(), Client: cached.ClientOptions(),
		LeaderElection: f.lease != "", LeaderElectionReleaseOnCancel: true,
	}
	var lead *leadership
	if f.lease != "" {
		var err error
		if lead, err = newLeadership(cfg, f.lease, clock.RealClock{}); err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		options.LeaderElectionResourceLockInterface = lead
	}
	l := link{lead: lead, served: &served{PassiveClock: clock.RealClock{}}}
	guarded := l.served.watch(lead.guard(cfg))
	guarded.Wrap(brief.Transport)
	mgr, err := ctrl.NewManager(guarded, options)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	for _, add := range []func(string, healthz.Checker) error{mgr.AddHealthzCheck, mgr.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return err
		}
	}
	runner, err := newRunner(ctx, cfg, f, dir)
	if err != nil {
		return err
	}
	if err := addControllers(mgr, f, dir, runner, l); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// newRunner makes the runner of the store under dir. Its runs renew their leases the way the engine reaches its API server.
func newRunner(ctx context.Context, cfg *rest.Config, f engineFlags, dir string) (*local.Runner, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	// A folder per content: runs that outlive a killed engine keep reading theirs.
	collections := filepath.Join(dir, "playbooks-"+playbooks.Hash()[:16])
	if err := playbooks.Extract(collections); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	supervisor := []string{self, "ansible-run"}
	if f.runLease > 0 {
		kubeconfig, err := filepath.Abs(filepath.Join(dir, "runs.kubeconfig"))
		if err != nil {
			return nil, fmt.Errorf("--state-dir: %w", err)
		}
		if err := writeKubeconfig(cfg, kubeconfig); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		supervisor = append(supervisor, "--kubeconfig", kubeconfig)
	}
	walls, err := f.ansible.sandbox(cfg.Host, f.ironic.Endpoint)
	if err != nil {
		return nil, err
	}
	runner, err := local.New(ctx, local.Config{
		Dir: filepath.Join(dir, "runs"), Venv: f.ansibleVenv, Collections: collections, Slots: f.slots, SlotsPerNamespace: f.share,
		Supervisor: supervisor, Sandbox: walls,
	})
	return runner, explain(err)
}

// link is what the engine knows by its way to the API server: whether it leads, and what time it is there.
type link struct {
	lead   *leadership
	served *served
}

// addControllers is the one place where decisions meet the implementations that act on them.
func addControllers(mgr ctrl.Manager, f engineFlags, dir string, runner *local.Runner, l link) error {
	reach, err := f.reach(mgr.GetConfig().Host)
	if err != nil {
		return err
	}
	realClock := clock.RealClock{}
	events := mgr.GetEventRecorder("rackplane")
	store, err := f.store(dir)
	if err != nil {
		return err
	}
	live := mgr.GetAPIReader()
	writer, world := cached.New(mgr.GetClient(), live)
	held := &leases.Leases{Client: writer, Live: live, Runner: runner, Store: store, Duration: f.runLease, Clock: realClock}
	service, err := f.service(mgr.GetLogger())
	if err != nil {
		return err
	}
	keeper := newKeeper(mgr, f, dir, service)
	if err := mgr.Add(keeper); err != nil {
		return err
	}
	collection := playbooks.Collection()
	setups := []func(ctrl.Manager) error{
		(&nodeset.Reconciler{Client: writer, Reader: world, Live: live, Clock: realClock, Events: events, Gate: keeper.Paused, Collection: collection}).Setup,
		(&node.Reconciler{Client: writer, Reader: world, Live: live, Clock: realClock, ServerClock: l.served, Events: events, Gate: keeper.Paused, Prober: ssh.Prober{Refuse: runner.Refuse}, Examiner: ssh.Examiner{Refuse: runner.Refuse}, Cloud: ledCloud{api.New(realClock, 0, reach), l.lead}, Leases: held, Random: rand.Reader}).Setup,
		(&deployment.Reconciler{Client: writer, Reader: world, Live: live, Clock: realClock, Events: events, Gate: keeper.Paused, Runner: ledRunner{runner, l.lead}, Leases: held, Collection: collection}).Setup,
	}
	if service != nil {
		setups = append(setups, (&host.Reconciler{Client: writer, Reader: world, Live: live, Clock: realClock, Provisioner: ledProvisioner{service, l.lead}, Events: events, Gate: keeper.Paused}).Setup)
	}
	var errs error
	for _, setup := range setups {
		errs = errors.Join(errs, setup(mgr))
	}
	return errs
}

// service is the Ironic that hosts are driven through; nil when this engine drives none.
func (f *engineFlags) service(log logr.Logger) (*ironic.Client, error) {
	if f.hostBackend != "builtin" {
		return nil, nil
	}
	if f.ironic.Endpoint == "" {
		log.Info("no --ironic-url: BareMetalHosts are not driven; only pre-provisioned nodes can be deployed")
		return nil, nil
	}
	if danger := f.ironic.Exposed(); danger != "" {
		log.Info("WARNING: " + danger)
	}
	return ironic.New(f.ironic)
}
