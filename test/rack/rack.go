package rack

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rackplane/rackplane/test/assets"
)

// Config says what rack to build. The zero value of a field means its default.
type Config struct {
	// Dir keeps the rack's state: disks, databases, logs. It must exist and be empty.
	Dir string
	// Hosts are the servers, by default (nil) four; see DefaultHosts. Names must be unique and at most ten characters.
	// A rack without servers has its networks and serves its image.
	Hosts []Host
	// Cache is where images and Python environments are kept between racks (RACKPLANE_CACHE's default otherwise).
	Cache string
	// Source is the root of the project's source tree; by default the first directory with a go.mod,
	// from the current one upwards.
	Source string
	// Profile names the node image, a folder of hack/rack/image: base, the default, or compute.
	Profile string
	// PreProvisioned, when set, makes some or all hosts run already. A rack of such hosts only has no BMCs and no Ironic.
	PreProvisioned *PreProvisioned
	// NoFastTrack makes Ironic switch a host off after inspection and on again to deploy. By default, as in
	// Metal3's Ironic, the agent keeps running and is deployed to at once.
	NoFastTrack bool
	// PowerSync is how often Ironic compares its idea of power states with the BMCs; a minute by default, as Ironic's own.
	PowerSync time.Duration
	// Log receives what hosts and agents do; nothing by default. It never receives a password.
	Log *slog.Logger
}

// Image is an operating system image that the rack serves to its hosts.
type Image struct {
	URL         string
	ChecksumURL string // of a file as sha256sum writes it
	Checksum    string // SHA-256, hexadecimal
	Format      string // as Ironic and Metal3 name it
	// WrongChecksumURL is a checksum file that does not fit the image, for tests.
	WrongChecksumURL string
}

// Rack is a running rack.
type Rack struct {
	// Hosts are the servers, in the order of Config.Hosts.
	Hosts []*Host
	// IronicURL is Ironic's root, without "/v1". No authentication. Empty for a pre-provisioned rack.
	IronicURL string
	// RepoURL is the apt repository that the hosts of the base profile use. The compute profile names Debian's own,
	// which no host reaches: everything it needs is installed.
	RepoURL string
	// Image is the node image of Config.Profile.
	Image Image

	cfg     Config
	assets  products
	bmcs    *bmcs
	ironic  *ironicServer
	servers []*http.Server
	cancel  context.CancelFunc
	hosts   sync.WaitGroup
}

func (c Config) profile() string { return cmp.Or(c.Profile, "base") }

func (c Config) tree() assets.Tree { return assets.Tree{Source: c.Source, Cache: c.Cache} }

// DefaultHosts describes n equal servers: 8 CPUs, 32 GiB, one 20 GiB disk, two 25 Gbit/s cards.
func DefaultHosts(n int) []Host {
	hosts := make([]Host, n)
	for i := range hosts {
		mac := func(nic int) string { return fmt.Sprintf("52:54:00:7a:%02x:%02x", nic, i) }
		hosts[i] = Host{
			Name:      "server-" + strconv.Itoa(i),
			NICs:      []NIC{{MAC: mac(0), SpeedGbps: 25}, {MAC: mac(1), SpeedGbps: 25}},
			CPUs:      8,
			MemoryGiB: 32,
			DiskGiB:   20,
		}
	}
	return hosts
}

// Start builds the rack and returns once Ironic and the BMCs answer (or, pre-provisioned, once the hosts boot).
// It needs the namespaces of Isolate and the assets of Prepare. On error nothing of the rack is left.
func Start(ctx context.Context, cfg Config) (*Rack, error) {
	if !Isolated() {
		return nil, errors.New("rack: not isolated; call rack.Isolate first")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.PowerSync == 0 {
		cfg.PowerSync = time.Minute
	}
	if cfg.Hosts == nil {
		cfg.Hosts = DefaultHosts(4)
	}
	found, err := locate(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r := &Rack{cfg: cfg, assets: found}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Stop(ctx))
	}
	return r, nil
}

func (r *Rack) start(ctx context.Context) error {
	for _, d := range []string{"log", "tmp", "media"} {
		if err := os.MkdirAll(filepath.Join(r.cfg.Dir, d), 0o750); err != nil {
			return fmt.Errorf("rack: %w", err)
		}
	}
	if err := r.makeHosts(); err != nil {
		return err
	}
	if err := cable(ctx, r.Hosts); err != nil {
		return err
	}
	content, err := serveContent(ctx, r.assets.image)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, content)
	r.RepoURL = "http://" + Gateway + "/repo"
	r.Image = r.assets.describe()
	var life context.Context
	life, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	installed, bare := r.split()
	if err := r.bootPreProvisioned(life, installed); err != nil || len(bare) == 0 {
		return err
	}
	return r.startControl(ctx, life, bare)
}

// startControl starts sushy-tools and Ironic side by side, and then the power circuits of the hosts with a BMC.
func (r *Rack) startControl(ctx, life context.Context, hosts []*Host) error {
	media := filepath.Join(r.cfg.Dir, "media")
	server, err := serveMedia(ctx, media, r.notify)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, server)
	root := "http://" + server.Addr
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		r.bmcs, err = startBMCs(starting, r.cfg.Dir, r.assets.venv, root+"/changes", hosts)
		return err
	})
	group.Go(func() (err error) {
		r.ironic, err = newIronic(starting, r.cfg, r.assets.venv, media, root+"/media")
		if err != nil {
			return err
		}
		return r.ironic.start(starting)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	r.IronicURL = r.ironic.url
	for _, h := range hosts {
		h.bmc = r.bmcs
		h.BMCAddress = "redfish-virtualmedia+" + r.bmcs.url + "/redfish/v1/Systems/" + h.UUID
		r.hosts.Go(func() { h.live(life) })
	}
	return nil
}

// makeHosts completes the hosts' descriptions.
func (r *Rack) makeHosts() error {
	for i, spec := range r.cfg.Hosts {
		if len(spec.NICs) == 0 || len(spec.NICs) > len(networks()) {
			return fmt.Errorf("rack: host %s has %d network cards; 1 to %d are possible", spec.Name, len(spec.NICs), len(networks()))
		}
		h := spec
		h.UUID = fmt.Sprintf("7261636b-0000-4000-8000-%012d", i+1)
		h.BootMAC = h.NICs[0].MAC
		h.BMCUsername = "admin-" + h.Name
		if h.BMCPassword == "" {
			h.BMCPassword = newPassword()
		}
		h.stateDir = r.cfg.Dir
		h.dir = filepath.Join(r.cfg.Dir, "hosts", h.Name)
		h.scratch = filepath.Join(h.dir, "tmp")
		h.log = r.cfg.Log
		h.changes = make(chan change, 64)
		h.state.power = powerOff
		if err := os.MkdirAll(h.scratch, 0o750); err != nil {
			return fmt.Errorf("rack: %w", err)
		}
		r.Hosts = append(r.Hosts, &h)
	}
	return nil
}

// notify hands a BMC's report to its host, in order.
func (r *Rack) notify(c change) {
	for _, h := range r.Hosts {
		if h.UUID == c.UUID {
			h.changes <- c
		}
	}
}

// Stop powers every host off and ends the rack's processes. The state directory stays, for its logs.
// Stopping twice, or a rack that did not start completely, or after ctx has ended, is allowed.
func (r *Rack) Stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if r.ironic != nil {
		r.ironic.stop()
	}
	if r.cancel != nil {
		r.cancel()
	}
	r.hosts.Wait()
	if r.bmcs != nil {
		r.bmcs.service.stop()
	}
	for _, server := range r.servers {
		_ = server.Close()
	}
	r.servers = nil
	return uncable(ctx, r.Hosts)
}

// StopIronic kills Ironic, as a crash does. Stopping a stopped Ironic does nothing.
func (r *Rack) StopIronic() { r.ironic.stop() }

// LoseIronic replaces Ironic by one that knows nothing, as after the loss of its database. The servers notice nothing.
func (r *Rack) LoseIronic(ctx context.Context) error { return r.ironic.lose(ctx) }

// StartIronic starts Ironic again with the same address and database and waits until it answers.
func (r *Rack) StartIronic(ctx context.Context) error { return r.ironic.start(ctx) }

// SetBMCPassword changes the password that a host's BMC accepts; Host.BMCPassword keeps the first one.
func (r *Rack) SetBMCPassword(h *Host, password string) error {
	return r.bmcs.setPassword(h.BMCUsername, password)
}

// Unplug pulls the cable of a host's first network card: whatever it runs, nobody reaches it.
func (r *Rack) Unplug(ctx context.Context, h *Host) error { return r.port(ctx, h, "down") }

// Plug undoes Unplug.
func (r *Rack) Plug(ctx context.Context, h *Host) error { return r.port(ctx, h, "up") }

func (r *Rack) port(ctx context.Context, h *Host, state string) error {
	for i, candidate := range r.Hosts {
		if candidate == h {
			return run(ctx, "ip", "link", "set", portName(i, 0), state)
		}
	}
	return fmt.Errorf("rack: host %s is not in this rack", h.Name)
}

func newPassword() string { return rand.Text() }
