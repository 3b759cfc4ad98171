package ironic

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
)

// call is one Do: the client, what is wanted and the node as it was when Do began (nil when there is none).
type call struct {
	*Client
	api  *gophercloud.ServiceClient
	want provisioner.Want
	node *nodes.Node
}

// Do implements provisioner.Provisioner.
func (c *Client) Do(ctx context.Context, want provisioner.Want, action provisioner.Action) error {
	api, err := c.api(ctx)
	if err != nil {
		return err
	}
	n, err := c.node(ctx, api, want.Host)
	if err != nil && !fault.Is(err, fault.Missing) {
		return err
	}
	state := provisioner.StateAbsent
	if n != nil {
		state = provisioner.NodeState(n.ProvisionState)
		if owner := text(n.Extra, extraHostUID); owner != "" && owner != string(want.Host.UID) && action != provisioner.TakeOver {
			return fault.New(fault.Rejected, "Ironic node %s (%s) is recorded for another BareMetalHost with UID %s: if that one is gone, "+
				"delete the node with: baremetal node delete %s", n.Name, n.UUID, owner, n.UUID)
		}
	}
	d := call{Client: c, api: api, want: want, node: n}
	switch action.In(state) {
	case provisioner.Starts:
		return d.start(ctx, action)
	case provisioner.Already:
		return d.already(action)
	case provisioner.Impossible:
	}
	switch {
	case state == provisioner.StateAbsent:
		return fault.New(fault.Missing, "Ironic has no node %s", nodeName(want.Host))
	case action == provisioner.Register:
		return fault.New(fault.Busy, "Ironic node %s cannot be changed in state %s", n.Name, state)
	default:
		return fault.New(fault.Lost, "Ironic node %s moved on to state %s, where %s is not possible", n.Name, state, action)
	}
}

// already answers for an action under way: only an image can still be another one.
func (d call) already(action provisioner.Action) error {
	if action != provisioner.Deploy || d.want.Image == nil {
		return nil
	}
	if has := imageOf(d.node.InstanceInfo); has == nil || *has != *d.want.Image {
		return fault.New(fault.Lost, "Ironic node %s is getting another image", d.node.Name)
	}
	return nil
}

func (d call) start(ctx context.Context, action provisioner.Action) error {
	switch action {
	case provisioner.Register:
		return d.register(ctx)
	case provisioner.Manage:
		return d.provision(ctx, nodes.TargetManage, nil)
	case provisioner.Inspect:
		return d.provision(ctx, nodes.TargetInspect, nil)
	case provisioner.Provide:
		return d.provision(ctx, nodes.TargetProvide, nil)
	case provisioner.TakeOver, provisioner.Mark, provisioner.Vacate:
		return d.recordHolder(ctx, action)
	case provisioner.Deploy:
		return d.deploy(ctx)
	case provisioner.Undeploy:
		return d.provision(ctx, nodes.TargetDeleted, nil)
	case provisioner.Adopt:
		return d.adopt(ctx)
	case provisioner.Abort:
		return d.abort(ctx)
	case provisioner.Repair:
		return d.repair(ctx)
	case provisioner.SwitchOn:
		return d.power(ctx, nodes.PowerOn)
	case provisioner.SwitchOff:
		return d.switchOff(ctx)
	case provisioner.CutPower:
		return d.power(ctx, nodes.PowerOff)
	case provisioner.Delete:
		return d.forget(ctx)
	default:
		return fault.New(fault.Unsupported, "action %q is not known", action)
	}
}

// recordHolder changes what the node says of who has what on the server, and nothing on the server.
func (d call) recordHolder(ctx context.Context, action provisioner.Action) error {
	if action == provisioner.TakeOver {
		return d.takeOver(ctx)
	}
	if action == provisioner.Mark {
		return d.mark(ctx)
	}
	return d.vacate(ctx)
}

func (d call) provision(ctx context.Context, target nodes.TargetProvisionState, drive any) error {
	opts := nodes.ProvisionStateOpts{Target: target, ConfigDrive: drive}
	return d.classify(nodes.ChangeProvisionState(ctx, d.api, d.node.UUID, opts).ExtractErr())
}

// abort: before 1.110 Ironic cannot abort a deployment that waits for the agent; there it is torn down.
func (d call) abort(ctx context.Context) error {
	if provisioner.NodeState(d.node.ProvisionState) == provisioner.StateDeployWait && d.minorVersion() < abortDeployIn {
		return d.provision(ctx, nodes.TargetDeleted, nil)
	}
	return d.provision(ctx, nodes.TargetAbort, nil)
}

func (c *Client) minorVersion() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.minor
}

func (d call) repair(ctx context.Context) error {
	if !d.node.Maintenance {
		return nil
	}
	return d.classify(nodes.UnsetMaintenance(ctx, d.api, d.node.UUID).ExtractErr())
}

func (d call) power(ctx context.Context, target nodes.TargetPowerState) error {
	if now := d.node; now.TargetPowerState == string(target) || (now.TargetPowerState == "" && now.PowerState == string(target)) {
		return nil
	}
	return d.classify(nodes.ChangePowerState(ctx, d.api, d.node.UUID, nodes.PowerStateOpts{Target: target}).ExtractErr())
}

// softOff is how long a system may take to shut down; Metal3 gives it as long (baremetal-operator v0.13.1,
// pkg/provisioner/ironic: softPowerOffTimeout).
const softOff = 3 * time.Minute

// switchOff asks the system that runs to shut down; Ironic tells in last_error when it does not. A server with nothing on its
// disks has no system to ask, and some BMCs cannot ask.
func (d call) switchOff(ctx context.Context) error {
	empty := []provisioner.NodeState{provisioner.StateEnroll, provisioner.StateManageable, provisioner.StateAvailable}
	if slices.Contains(empty, provisioner.NodeState(d.node.ProvisionState)) && text(d.node.Extra, extraDeployment) == "" {
		return d.power(ctx, nodes.PowerOff)
	}
	if now := d.node; now.TargetPowerState != "" || now.PowerState == string(nodes.PowerOff) {
		return nil
	}
	opts := nodes.PowerStateOpts{Target: nodes.SoftPowerOff, Timeout: int(softOff.Seconds())}
	err := d.classify(nodes.ChangePowerState(ctx, d.api, d.node.UUID, opts).ExtractErr())
	if fault.Is(err, fault.Rejected) && strings.Contains(err.Error(), "soft power off") {
		return d.power(ctx, nodes.PowerOff)
	}
	return err
}

// forget deletes the node. Maintenance lets Ironic delete it whatever its state (ironic 39.0.0,
// ironic/conductor/manager.py: destroy_node).
func (d call) forget(ctx context.Context) error {
	if !d.node.Maintenance {
		reason := nodes.MaintenanceOpts{Reason: "the BareMetalHost is deleted"}
		if err := d.classify(nodes.SetMaintenance(ctx, d.api, d.node.UUID, reason).ExtractErr()); err != nil {
			return err
		}
	}
	err := d.classify(nodes.Delete(ctx, d.api, d.node.UUID).ExtractErr())
	if fault.Is(err, fault.Missing) {
		return nil
	}
	return err
}
