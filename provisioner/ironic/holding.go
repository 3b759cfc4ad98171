package ironic

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner/bmc"
)

// What a server holds is kept in its node's extra, which is ours alone: Ironic forgets instance_uuid and instance_info
// when it tears a deployment down and keeps extra through deploying, cleaning and rebuilding (ironic 39.0.0,
// ironic/conductor/manager.py: _do_node_tear_down).

func (d call) update(ctx context.Context, patch []nodes.Patch) error {
	return d.classify(nodes.Update(ctx, d.api, d.node.UUID, nodes.UpdateOpts(patch)).Err)
}

// holding records the host's deployment, as adopted from someone else if the host is externally provisioned.
func (d call) holding() []nodes.Patch {
	theirs := ""
	if d.want.External {
		theirs = "true"
	}
	return []nodes.Patch{set("/extra/"+extraDeployment, d.want.Deployment), set("/extra/"+extraNotOurs, theirs)}
}

// vacate records that the server holds nothing.
func (d call) vacate(ctx context.Context) error {
	return d.update(ctx, []nodes.Patch{set("/extra/"+extraDeployment, ""), set("/extra/"+extraNotOurs, "")})
}

// takeOver makes the node this host's: the settings follow with the next Register.
func (d call) takeOver(ctx context.Context) error {
	seen := observation(d.node)
	if same := seen.Deployment == "" || seen.Deployment == d.want.Deployment || seen.Holding() == d.want.GivenUp; !same || seen.Server != d.want.Server() {
		return fault.New(fault.Rejected, "Ironic node %s (%s) holds deployment %q of the server %q, which is not this BareMetalHost's",
			d.node.Name, d.node.UUID, seen.Deployment, seen.Server)
	}
	return d.update(ctx, []nodes.Patch{
		set("/extra/"+extraHostUID, string(d.want.Host.UID)), set("/extra/"+extraRegistration, ""),
	})
}

// mark records the deployment on a node that runs without one.
func (d call) mark(ctx context.Context) error {
	if has := text(d.node.Extra, extraDeployment); has != "" && has != d.want.Deployment {
		return fault.New(fault.Rejected, "Ironic node %s holds deployment %s already", d.node.Name, has)
	}
	return d.update(ctx, d.holding())
}

// alone refuses a BMC that another node drives already: under two names one server would be inspected and cleaned while
// it runs. Of two nodes that were made at once one keeps it: Ironic lists no times to tell which was first.
func (d call) alone(ctx context.Context, a access) error {
	page, err := nodes.List(d.api, nodes.ListOpts{Fields: []string{"uuid", "name", "driver_info"}}).AllPages(ctx)
	if err != nil {
		return d.classify(err)
	}
	all, err := nodes.ExtractNodes(page)
	if err != nil {
		return d.classify(err)
	}
	mine := bmcOf(a.driverInfo(bmc.Access{}))
	for i := range all {
		if other := &all[i]; bmcOf(other.DriverInfo) == mine && d.after(other) {
			return fault.New(fault.Rejected, "the BMC of spec.bmc.address is that of Ironic node %s (%s) already, and one server has one "+
				"BareMetalHost: if that one was renamed, delete this one's node if there is one and rename the other with "+
				"`baremetal node set --name %s %s`", other.Name, other.UUID, nodeName(d.want.Host), other.UUID)
		}
	}
	return nil
}

// after reports whether the host's node is not the other one and has to give way to it.
func (d call) after(other *nodes.Node) bool {
	if d.node == nil {
		return other.Name != nodeName(d.want.Host)
	}
	return other.UUID < d.node.UUID
}

// bmcOf names a BMC's system the same whatever spelling was used; the port and the path tell systems of one address apart.
func bmcOf(info map[string]any) string {
	if ipmi := text(info, "ipmi_address"); ipmi != "" {
		return strings.ToLower(ipmi) + ":" + cmp.Or(text(info, "ipmi_port"), bmc.DefaultIPMIPort)
	}
	address, system := text(info, "redfish_address"), strings.Trim(text(info, "redfish_system_id"), "/")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return strings.ToLower(address) + "/" + system
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80"}[u.Scheme])
	return strings.ToLower(u.Hostname()) + ":" + cmp.Or(port, "443") + "/" + system
}

// Deployments returns the deployment of every node that holds one of ours, by the node's name.
func (c *Client) Deployments(ctx context.Context) (map[string]string, error) {
	api, err := c.api(ctx)
	if err != nil {
		return nil, err
	}
	page, err := nodes.List(api, nodes.ListOpts{Fields: []string{"uuid", "name", "extra"}}).AllPages(ctx)
	if err != nil {
		return nil, c.classify(err)
	}
	all, err := nodes.ExtractNodes(page)
	if err != nil {
		return nil, c.classify(err)
	}
	held := map[string]string{}
	for i := range all {
		if deployment := text(all[i].Extra, extraDeployment); deployment != "" {
			held[all[i].Name] = deployment
		}
	}
	return held, nil
}
