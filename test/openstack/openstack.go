package openstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rackplane/rackplane/test/rack"
)

// machineName is the name of the control plane's machine, network namespace and host name.
const machineName = "controlplane"

// Config says where a cloud runs. The zero value of an optional field means its default.
type Config struct {
	// Dir keeps the cloud's changes to its image, and its logs. It must exist and be empty.
	Dir string
	// Bridge is the bridge in the caller's network namespace that the control plane is connected to.
	Bridge string
	// Address is the control plane's, with the length of the network's prefix.
	Address netip.Prefix
	// Cache is where images are kept (RACKPLANE_CACHE's default otherwise).
	Cache string
	// Source is the root of the project's source tree; by default the first directory with a go.mod,
	// from the current one upwards.
	Source string
	// Discovery is how often Nova's scheduler maps new computes into the cell: every ten seconds by default,
	// never when negative.
	Discovery time.Duration
	// Log receives progress; nothing by default. It never receives a password.
	Log *slog.Logger
}

// Cloud is a running control plane. Its exported fields are what its computes and users need to know;
// all secrets in them are of this cloud only.
type Cloud struct {
	AuthURL string // Keystone's, with /v3
	Region  string
	// CloudsYAML is a clouds.yaml whose cloud "default" is the administrator.
	CloudsYAML []byte
	// NBConnection and SBConnection are OVN's databases, as "tcp:ADDRESS:PORT".
	NBConnection, SBConnection string
	// TransportURL is the message bus of cell1 for Nova.
	TransportURL string
	// Passwords are those of Keystone's users admin, placement, glance, nova and neutron (project service).
	Passwords map[string]string
	// MetadataSecret is shared by Nova's metadata API and the agents that sign requests to it.
	MetadataSecret string
	// ComputeConfig is what a control plane hands to its computes: the keys of each Secret and ConfigMap
	// by the names that RHOSO gives them.
	ComputeConfig map[string]map[string][]byte

	machine *machine
	guest   string // directory with the tiny guest's kernel and initrd
}

// Start boots a control plane and returns once every API answers and the scheduler and the conductor are up.
// It needs the namespaces of rack.Isolate and the image of Prepare. On error nothing is left but Config.Dir,
// which then holds the logs.
func Start(ctx context.Context, cfg Config) (*Cloud, error) {
	if !rack.Isolated() {
		return nil, errors.New("openstack: not isolated; call rack.Isolate first")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Discovery == 0 {
		cfg.Discovery = 10 * time.Second
	}
	root, err := cfg.image(ctx, "controlplane")
	if err != nil {
		return nil, err
	}
	guest, err := cfg.image(ctx, "guest")
	if err != nil {
		return nil, err
	}
	s := settings{Address: cfg.Address.Addr(), Secrets: newSecrets(), Discovery: cfg.Discovery}
	cloud, err := describe(s)
	if err != nil {
		return nil, err
	}
	cloud.guest = guest
	cloud.machine, err = startMachine(ctx, machineConfig{
		Name: machineName, Image: root, Dir: cfg.Dir, Bridge: cfg.Bridge, Address: cfg.Address, Furnish: s.furnish,
	})
	if err != nil {
		return nil, fmt.Errorf("openstack: %w", err)
	}
	if err := cloud.await(ctx, cfg.Log); err != nil {
		err = fmt.Errorf("openstack: %w; logs: %s", err, filepath.Join(cfg.Dir, "upper", "var", "log"))
		return nil, errors.Join(err, cloud.Stop(context.WithoutCancel(ctx)))
	}
	return cloud, nil
}

// Stop ends the cloud at once. What it wrote stays in Config.Dir.
func (c *Cloud) Stop(ctx context.Context) error { return c.machine.stop(ctx) }

// Output runs a command inside the control plane as root and returns its trimmed standard output; ovn-sbctl,
// nova-manage and openstack (with --os-cloud default) are there. Its error carries the standard error.
func (c *Cloud) Output(ctx context.Context, argv ...string) (string, error) {
	return c.machine.output(ctx, argv...)
}

func describe(s settings) (*Cloud, error) {
	clouds, err := s.render("clouds.yaml")
	if err != nil {
		return nil, err
	}
	compute, err := s.computeConfig()
	if err != nil {
		return nil, err
	}
	return &Cloud{
		AuthURL:        s.AuthURL(),
		Region:         s.Region(),
		CloudsYAML:     clouds,
		NBConnection:   s.NBConnection(),
		SBConnection:   s.SBConnection(),
		TransportURL:   s.TransportURL("nova"),
		Passwords:      s.Secrets.Keystone,
		MetadataSecret: s.Secrets.MetadataProxy,
		ComputeConfig:  compute,
	}, nil
}

// furnish writes what distinguishes this cloud from the image into its root file system.
func (s settings) furnish(root string) error {
	ids, err := accounts(root)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, owner string
		content     func() ([]byte, error)
	}{
		{"etc/placement/placement.conf.d/10-cloud.conf", "placement", s.from("controlplane/placement.conf")},
		{"etc/glance/glance.conf.d/10-cloud.conf", "glance", s.from("controlplane/glance.conf")},
		{"etc/nova/nova.conf.d/10-cloud.conf", "nova", s.from("controlplane/nova.conf")},
		{"etc/neutron/server.conf.d/10-cloud.conf", "neutron", s.from("controlplane/neutron.conf")},
		{"etc/mysql/rackplane.sql", "mysql", s.from("controlplane/rackplane.sql")},
		{"etc/rabbitmq/definitions.json", "rabbitmq", s.rabbitDefinitions},
		{"etc/openstack/clouds.yaml", "root", s.from("clouds.yaml")},
		{"etc/keystone/fernet-keys/0", "keystone", literal(s.Secrets.Fernet[0])},
		{"etc/keystone/fernet-keys/1", "keystone", literal(s.Secrets.Fernet[1])},
		{"var/lib/rabbitmq/.erlang.cookie", "rabbitmq", literal(s.Secrets.ErlangCookie)},
	} {
		content, err := f.content()
		if err != nil {
			return err
		}
		if err := write(filepath.Join(root, f.path), content, ids[f.owner]); err != nil {
			return err
		}
	}
	hosts := "127.0.0.1 localhost\n" + s.Address.String() + " " + machineName + "\n"
	return os.WriteFile(filepath.Join(root, "etc", "hosts"), []byte(hosts), 0o644) //nolint:gosec // for all to read
}

func (s settings) from(template string) func() ([]byte, error) {
	return func() ([]byte, error) { return s.render(template) }
}

func literal(content string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(content), nil }
}

// owner is a user of a root file system and its group.
type owner struct{ uid, gid int }

// accounts reads the users of a root file system.
func accounts(root string) (map[string]owner, error) {
	passwd, err := os.ReadFile(filepath.Join(root, "etc", "passwd"))
	if err != nil {
		return nil, err
	}
	users := map[string]owner{}
	for line := range strings.Lines(string(passwd)) {
		fields := strings.Split(line, ":")
		if len(fields) < 4 {
			continue
		}
		uid, errUID := strconv.Atoi(fields[2])
		gid, errGID := strconv.Atoi(fields[3])
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("%s/etc/passwd: %w", root, err)
		}
		users[fields[0]] = owner{uid, gid}
	}
	return users, nil
}

// write writes a file that only its owner can read.
func write(path string, content []byte, to owner) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the files themselves are closed
		return err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return os.Chown(path, to.uid, to.gid)
}
