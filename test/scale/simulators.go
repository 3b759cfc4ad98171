package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
	"github.com/rackplane/rackplane/remote"
)

const (
	// stepTime is what each step of an action on a server takes.
	stepTime = time.Second
	// looks is how often a run is seen under way.
	looks = 1
	// applies is the service that makes a node report its network, starts the one that starts its nova-compute.
	applies, starts = "configure-network", "nova"
)

// servers are the simulated servers: what Ironic has imaged answers SSH at the address of its config drive.
type servers struct {
	*provisionertest.Simulator
	cloud *openstacktest.Simulator

	mu       sync.Mutex
	at       map[string]provisioner.HostID // by address
	networks map[string]string             // hash of the network that was applied, by address
	dead     manner                        // of nodes that never answer; all but the first are such
}

func newServers(cloud *openstacktest.Simulator) *servers {
	return &servers{
		Simulator: provisionertest.New(time.Now, stepTime), cloud: cloud,
		at: map[string]provisioner.HostID{}, networks: map[string]string{},
	}
}

// Do implements provisioner.Provisioner.
func (s *servers) Do(ctx context.Context, want provisioner.Want, action provisioner.Action) error {
	if action == provisioner.Deploy {
		var data struct {
			Networks []struct {
				Address string `json:"ip_address"`
			} `json:"networks"`
		}
		if err := json.Unmarshal([]byte(want.Drive.NetworkData), &data); err != nil {
			return fault.Wrap(fault.Rejected, err, "network data of %s", want.Host)
		}
		s.mu.Lock()
		for _, n := range data.Networks {
			s.at[n.Address] = want.Host
			delete(s.networks, n.Address)
		}
		s.mu.Unlock()
	}
	return s.Simulator.Do(ctx, want, action)
}

// Inventory implements provisioner.Provisioner: what a real server of two sockets tells, 19 KB, most of it flags of its processor.
func (s *servers) Inventory(ctx context.Context, host provisioner.HostID) (metal3v1alpha1.HardwareDetails, error) {
	found, err := s.Simulator.Inventory(ctx, host)
	for i := range 400 {
		found.CPU.Flags = append(found.CPU.Flags, fmt.Sprintf("flag_of_processor_number_%03d", i))
	}
	for i := range 12 {
		found.Storage = append(found.Storage, metal3v1alpha1.Storage{
			Name: fmt.Sprintf("/dev/disk/by-path/pci-0000:3b:00.0-scsi-0:2:%d:0", i), SizeBytes: 1920 * metal3v1alpha1.GigaByte, Type: metal3v1alpha1.SSD,
			Model: "Simulated Drive", SerialNumber: fmt.Sprintf("S5G0NE0R%06d", i), WWN: fmt.Sprintf("0x5002538e%08x", i),
			AlternateNames: []string{fmt.Sprintf("/dev/sd%c", 'b'+i), fmt.Sprintf("/dev/disk/by-id/wwn-0x5002538e%08x", i)},
		})
	}
	return found, err
}

// Probe implements remote.Prober.
func (s *servers) Probe(ctx context.Context, target remote.Target) (remote.Seen, error) {
	s.mu.Lock()
	dead := s.dead
	host, ok := s.at[target.Address]
	seen := remote.Seen{NetworkHash: s.networks[target.Address]}
	s.mu.Unlock()
	if dead != "" {
		return dead.probe(ctx, target)
	}
	if ok {
		if n, ok := s.Node(host); ok && n.State == provisioner.StateActive && n.Power == provisioner.PowerOn {
			return seen, nil
		}
	}
	return remote.Seen{}, fault.New(fault.Transient, "no answer from %s", target.Address)
}

// Examine implements remote.Examiner: nothing here ran before it was deployed.
func (s *servers) Examine(_ context.Context, target remote.Target, _ adoption.Question) (adoption.Facts, error) {
	return adoption.Facts{}, fault.New(fault.Transient, "no answer from %s", target.Address)
}

// runner runs nothing; what a service would have done to the servers is done when its run has been seen to end.
type runner struct {
	*ansibletest.Runner
	servers *servers

	mu    sync.Mutex
	ended map[string]func() // by key
}

func newRunner(s *servers) *runner {
	return &runner{Runner: ansibletest.New(looks), servers: s, ended: map[string]func(){}}
}

// Start implements ansible.Runner.
func (r *runner) Start(ctx context.Context, run ansible.Run) error {
	if err := r.Runner.Start(ctx, run); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case run.Playbook == playbook(applies):
		found := variables(run.Inventory)
		r.ended[run.Key] = func() { r.servers.apply(run.Nodes, found) }
	case run.Playbook == playbook(starts):
		found := variables(run.Inventory)
		r.ended[run.Key] = func() { r.servers.join(run.Nodes, found) }
	}
	return nil
}

// Status implements ansible.Runner.
func (r *runner) Status(ctx context.Context, key string) (ansible.Status, error) {
	status, err := r.Runner.Status(ctx, key)
	if err == nil && status.State == ansible.Finished {
		r.mu.Lock()
		act := r.ended[key]
		delete(r.ended, key)
		r.mu.Unlock()
		if act != nil {
			act()
		}
	}
	return status, err
}

func (s *servers) apply(nodes []string, of map[string]facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range nodes {
		s.networks[of[name].address] = of[name].network
	}
}

func (s *servers) join(nodes []string, of map[string]facts) {
	s.cloud.Edit(func(w *openstacktest.World) {
		for _, name := range nodes {
			w.Start(name+"."+domain, of[name].tunnels)
		}
		w.Discover()
	})
}

// facts are what an inventory says of a node: where it is reached, where its tunnels end, and the hash of its network.
type facts struct{ address, tunnels, network string }

// variables reads the facts of all nodes from an inventory, line by line: a parser of YAML would cost more than the engine.
func variables(inventory []byte) map[string]facts {
	found := map[string]facts{}
	var name string
	for l := range bytes.Lines(inventory) {
		text := strings.TrimRight(string(l), "\n")
		key, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
		f := found[name]
		switch {
		case strings.HasPrefix(text, "    ") && text[4] != ' ' && strings.HasSuffix(text, ":"):
			name = strings.Trim(strings.TrimSuffix(key, ":"), `"`)
			continue
		case key == "ctlplane_ip":
			f.address = strings.Trim(value, `"`)
		case key == "tenant_ip":
			f.tunnels = strings.Trim(value, `"`)
		case key == "edpm_network_config_hash":
			f.network = strings.Trim(value, `"`)
		default:
			continue
		}
		found[name] = f
	}
	return found
}
