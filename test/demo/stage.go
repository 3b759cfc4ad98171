package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/report"
	"github.com/rackplane/rackplane/test/guest"
	"github.com/rackplane/rackplane/test/openstack"
	"github.com/rackplane/rackplane/test/rack"
)

// namespace holds everything the demo applies.
const namespace = "openstack"

// demo is one run: a rack, an engine, and what was applied.
type demo struct {
	options
	out   io.Writer
	told  bytes.Buffer // all that was written to out
	watch *stopwatch
	rack  *rack.Rack
	cloud *openstack.Cloud // with --openstack
	// tenant is somebody who runs servers in the cloud, booted are those.
	tenant *openstack.Tenant
	booted []openstack.Server
	guest  *guest.Guest // with --mode guest
	// patientHost is what the cloud calls the node that suffers its faults.
	patientHost string
	engine      *engine
	client      client.Client
	view        *viewer
	signer      ssh.Signer
	// private is the signer's key in OpenSSH form.
	private []byte
	inputs  inputs
	temp    bool
	// planned is what `rackplane plan` printed before the NodeSet was applied.
	planned string
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// begin starts the rack and, beside it, the engine.
func (d *demo) begin(ctx context.Context) error {
	if err := d.makeDir(); err != nil {
		return err
	}
	public, err := d.makeKey()
	if err != nil {
		return err
	}
	cfg, err := d.rackConfig(public)
	if err != nil {
		return err
	}
	d.say("starting the rack (%s) and `rackplane standalone`; state and logs in %s", d.mode, d.dir)
	if d.rack, err = rack.Start(ctx, cfg); err != nil {
		return fmt.Errorf("the rack did not start: %w", err)
	}
	if d.mode == guestMode {
		if err := d.startGuest(ctx, public); err != nil {
			return err
		}
	}
	d.engine = newEngine(d.rackplane, d.dir, d.rack.IronicURL)
	if err := d.engine.start(ctx); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if d.client, err = d.engine.connect(limit); err != nil {
		return err
	}
	d.watch.lap("rack (BMCs, Ironic) and engine (etcd, API server, controllers) up")
	if d.openstack {
		if err := d.startCloud(ctx, cfg.Log); err != nil {
			return err
		}
	}
	d.view = &viewer{
		client: d.client, out: d.out, terminal: terminal(), engine: d.engine, every: d.killEvery,
		changes: report.NewChanges(d.out), screen: report.NewScreen(d.out, style()),
	}
	d.describe()
	return d.applySite(ctx)
}

func (d *demo) makeDir() error {
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "rackplane-demo-")
		if err != nil {
			return err
		}
		d.dir, d.temp = dir, true
	}
	return os.MkdirAll(filepath.Join(d.dir, "rack"), 0o700)
}

// makeKey makes the key pair that logs in to nodes.
func (d *demo) makeKey() (public string, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	if d.signer, err = ssh.NewSignerFromKey(key); err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return "", err
	}
	d.private = pem.EncodeToMemory(block)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(d.signer.PublicKey()))), nil
}

func (d *demo) rackConfig(public string) (rack.Config, error) {
	log, err := os.OpenFile(filepath.Join(d.dir, "rack.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return rack.Config{}, err
	}
	cfg := rack.Config{Dir: filepath.Join(d.dir, "rack"), Hosts: rack.DefaultHosts(4), Log: slog.New(slog.NewTextHandler(log, nil))}
	switch {
	case d.mode == guestMode:
		cfg.Hosts, cfg.Profile = []rack.Host{}, openstackProfile
	case d.openstack:
		cfg.Hosts, cfg.Profile = rack.DefaultHosts(d.computes()), openstackProfile
		cfg.PreProvisioned = &rack.PreProvisioned{AuthorizedKey: public, Hosts: []string{patient}}
	case d.mode == "preprovisioned":
		cfg.Hosts = rack.DefaultHosts(3)
		cfg.PreProvisioned = &rack.PreProvisioned{AuthorizedKey: public}
	}
	return cfg, nil
}

// describe collects what the manifests say about this rack: addresses and credentials, nothing else.
func (d *demo) describe() {
	d.inputs = inputs{
		Namespace: namespace, SecondNetwork: "internalapi", Replicas: 3, RepoURL: d.rack.RepoURL, PreProvisioned: d.mode == "preprovisioned",
		Image:         image{URL: d.rack.Image.URL, Checksum: d.rack.Image.ChecksumURL},
		Services:      []string{"bootstrap", "configure-network", "install-os", "configure-os", "ssh-known-hosts"},
		SSHPrivateKey: base64.StdEncoding.EncodeToString(d.private),
	}
	if d.openstack {
		d.inputs.SecondNetwork, d.inputs.Services, d.inputs.Southbound = "tenant", computeServices(), d.cloud.SBConnection
	}
	if d.guest != nil {
		d.inputs.Nodes = []runningHost{{Name: guestName, Address: d.guest.Address.String(), HostKey: d.guest.HostKey, Cards: d.guest.Cards}}
		d.inputs.OwnKernel = true
	}
	for _, h := range d.rack.Hosts {
		if h.Address.IsValid() {
			d.inputs.Nodes = append(d.inputs.Nodes, runningHost{h.Name, h.Address.String(), h.HostKey, []string{"eth0", "eth1"}})
			continue
		}
		d.inputs.Hosts = append(d.inputs.Hosts, host{h.Name, h.BMCUsername, h.BMCPassword, h.BMCAddress, h.BootMAC})
	}
}

func (d *demo) manifests() string { return filepath.Join(d.dir, "manifests") }

// applySite applies the services, the networks and the SSH key.
func (d *demo) applySite(ctx context.Context) error {
	namespaces := []string{namespace}
	if d.openstack {
		namespaces = append(namespaces, lab)
	}
	for _, in := range namespaces {
		if err := ensureNamespace(ctx, d.client, in); err != nil {
			return err
		}
		if err := applyServices(ctx, d.client, in); err != nil {
			return err
		}
		if err := d.applyTemplate(ctx, in, "site"); err != nil {
			return err
		}
	}
	return nil
}

// applyTemplate writes and applies the manifest of that name for a namespace.
func (d *demo) applyTemplate(ctx context.Context, namespace, name string) error {
	in := d.inputs
	in.Namespace = namespace
	path, err := in.write(filepath.Join(d.manifests(), namespace), name)
	if err != nil {
		return err
	}
	return apply(ctx, d.client, path, namespace)
}

// enrol applies the BMC Secrets and the BareMetalHosts.
func (d *demo) enrol(ctx context.Context) error { return d.applyTemplate(ctx, namespace, "hosts") }

// order shows what `rackplane plan` makes of the manifests, the named NodeSet's among them, then applies that.
func (d *demo) order(ctx context.Context, name string) error {
	manifests := filepath.Join(d.manifests(), namespace)
	path, err := d.inputs.write(manifests, name)
	if err != nil {
		return err
	}
	d.say("\n$ rackplane plan -f %s", manifests)
	cmd := exec.CommandContext(ctx, d.rackplane, "plan", "-f", manifests, "-f", "-", "--summary")
	cmd.Stdin = strings.NewReader(servicesYAML())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) {
		return fmt.Errorf("rackplane plan: %w: %s", err, out)
	}
	d.say("%s", out)
	d.planned = string(out)
	return apply(ctx, d.client, path, namespace)
}

// adopt applies the NodeSet of hosts that already run.
func (d *demo) adopt(ctx context.Context) error { return d.applyTemplate(ctx, namespace, "nodeset") }

// status prints what `rackplane status` prints.
func (d *demo) status(ctx context.Context) error {
	d.say("$ rackplane status")
	cmd := exec.CommandContext(ctx, d.rackplane, "status", "--kubeconfig", d.engine.kubeconfig(), "--all-namespaces")
	cmd.Stdout, cmd.Stderr = d.out, d.out
	return cmd.Run()
}

// end stops the engine and the rack; the namespaces take the rest. Logs stay when something failed.
func (d *demo) end(ctx context.Context, failure error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if d.engine != nil {
		d.engine.stop()
	}
	var problems []error
	if d.cloud != nil {
		problems = append(problems, d.cloud.Stop(ctx))
	}
	if d.guest != nil {
		problems = append(problems, d.guest.Stop(ctx))
	}
	if d.rack != nil {
		problems = append(problems, d.rack.Stop(ctx))
	}
	err := errors.Join(problems...)
	switch {
	case failure != nil:
		d.say("logs and state are kept in %s", d.dir)
	case d.temp:
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}
