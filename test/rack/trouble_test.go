package rack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/rackplane/rackplane/test/rack"
)

// TestTrouble takes one host through what goes wrong in racks.
func TestTrouble(t *testing.T) {
	ctx := t.Context()
	r := startRack(t, rack.Config{Hosts: rack.DefaultHosts(1)})
	j, k := newJourney(t, r, r.Hosts[0]), newKeys(t)
	const address = "192.168.122.101"
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"wrong BMC password", j.wrongPassword},
		{"Ironic crashes and returns", j.ironicCrash},
		{"image checksum does not fit", func(ctx context.Context) error { return j.wrongChecksum(ctx, k) }},
		{"deploy after the failure", func(ctx context.Context) error { return j.deploy(ctx, k, address) }},
		{"power cycle keeps the disk", func(ctx context.Context) error { return j.powerCycle(ctx, k, address) }},
		{"unplugged host is silent", func(ctx context.Context) error { return j.unplug(ctx, k, address) }},
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		j.lap(step.name)
	}
}

// wrongPassword enrolls while the BMC refuses the known password, and again once it accepts it.
func (j *journey) wrongPassword(ctx context.Context) error {
	if err := j.rack.SetBMCPassword(j.host, "changed behind our back"); err != nil {
		return err
	}
	if err := j.enroll(ctx); err != nil {
		return err
	}
	manage := nodes.ProvisionStateOpts{Target: nodes.TargetManage}
	if err := j.provision(ctx, manage, nodes.Manageable); err == nil || !strings.Contains(err.Error(), "returned code 401") {
		return fmt.Errorf("Ironic says %w; want what the BMC answered, 401", err)
	}
	if err := j.rack.SetBMCPassword(j.host, j.host.BMCPassword); err != nil {
		return err
	}
	return j.provision(ctx, manage, nodes.Manageable)
}

func (j *journey) ironicCrash(ctx context.Context) error {
	j.rack.StopIronic()
	if _, err := nodes.Get(ctx, j.client, j.node).Extract(); err == nil {
		return errors.New("a stopped Ironic answers")
	}
	if err := j.rack.StartIronic(ctx); err != nil {
		return err
	}
	if err := j.provision(ctx, nodes.ProvisionStateOpts{Target: "inspect"}, nodes.Manageable); err != nil {
		return err
	}
	return j.provision(ctx, nodes.ProvisionStateOpts{Target: "provide"}, nodes.Available)
}

func (j *journey) wrongChecksum(ctx context.Context, k keys) error {
	if err := j.setImage(ctx, j.rack.Image.WrongChecksumURL); err != nil {
		return err
	}
	err := j.provision(ctx, nodes.ProvisionStateOpts{
		Target: nodes.TargetActive, ConfigDrive: configDrive(j.host, k, "r7-n00", "192.168.122.101"),
	}, nodes.Active)
	if err == nil {
		return errors.New("an image with a wrong checksum was deployed")
	}
	// Ironic 39 loses last_error when it powers the host off after the failure; the history keeps it.
	resp, err := j.client.Get(ctx, j.client.ServiceURL("nodes", j.node, "history"), nil, &gophercloud.RequestOpts{KeepResponseBody: true})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	history, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(string(history), "Image failed to verify against checksum") {
		return fmt.Errorf("the node's history does not tell about the checksum: %s", history)
	}
	return nil
}

func (j *journey) deploy(ctx context.Context, k keys, address string) error {
	if err := j.setImage(ctx, j.rack.Image.ChecksumURL); err != nil {
		return err
	}
	err := j.provision(ctx, nodes.ProvisionStateOpts{
		Target: nodes.TargetActive, ConfigDrive: configDrive(j.host, k, "r7-n00", address),
	}, nodes.Active)
	if err != nil {
		return err
	}
	_, err = remote(ctx, address, "echo kept | sudo tee /root/mark && sync", k)
	return err
}

// powerCycle switches the host off and on through Ironic.
func (j *journey) powerCycle(ctx context.Context, k keys, address string) error {
	for _, power := range []struct {
		target nodes.TargetPowerState
		state  string
	}{{nodes.SoftPowerOff, "power off"}, {nodes.PowerOn, "power on"}} {
		if err := nodes.ChangePowerState(ctx, j.client, j.node, nodes.PowerStateOpts{Target: power.target}).ExtractErr(); err != nil {
			return err
		}
		if err := j.awaitPower(ctx, power.state); err != nil {
			return err
		}
	}
	out, err := remote(ctx, address, "sudo cat /root/mark", k)
	if err == nil && out != "kept" {
		err = fmt.Errorf("the disk holds %q", out)
	}
	return err
}

func (j *journey) awaitPower(ctx context.Context, state string) error {
	for range 120 {
		node, err := nodes.Get(ctx, j.client, j.node).Extract()
		if err != nil {
			return err
		}
		if node.PowerState == state && node.TargetPowerState == "" {
			return nil
		}
		time.Sleep(300 * time.Millisecond)
	}
	return fmt.Errorf("the host does not reach %q", state)
}

func (j *journey) unplug(ctx context.Context, k keys, address string) error {
	if err := j.rack.Unplug(ctx, j.host); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := remote(limit, address, "true", k); err == nil {
		return errors.New("an unplugged host answers")
	}
	if err := j.rack.Plug(ctx, j.host); err != nil {
		return err
	}
	_, err := remote(ctx, address, "true", k)
	return err
}
