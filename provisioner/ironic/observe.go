package ironic

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/provisioner"
)

// What we keep in a node.
const (
	extraHostUID      = "rackplane_host_uid"
	extraRegistration = "rackplane_registration"
	extraServer       = "rackplane_server"
	extraDeployment   = "rackplane_deployment"
	extraNotOurs      = "rackplane_not_ours"
	infoImage         = "rackplane_image"

	extraRamdiskNetwork = "rackplane_ramdisk_network"
)

// Observe implements provisioner.Provisioner.
func (c *Client) Observe(ctx context.Context, host provisioner.HostID) (provisioner.Observation, error) {
	api, err := c.api(ctx)
	if err != nil {
		return provisioner.Observation{}, err
	}
	answer := nodes.Get(ctx, api, nodeName(host))
	n, err := answer.Extract()
	if err != nil {
		return provisioner.Observation{}, c.classify(err)
	}
	o := observation(n)
	if now, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		o.Now = now
	}
	if o.LastError == "" && failed(o.State) {
		o.LastError, err = c.lastEvent(ctx, api, n.UUID)
	}
	return o, err
}

// failed states have a cause, but Ironic wipes last_error when it powers the host off while it cleans up after a failed
// deployment (ironic 39.0.0, ironic/conductor/utils.py: node_power_action before the state is a FAILURE_STATE).
func failed(s provisioner.NodeState) bool {
	return slices.Contains([]provisioner.NodeState{
		provisioner.StateDeployFail, provisioner.StateCleanFail, provisioner.StateInspectFail, provisioner.StateAdoptFail,
		provisioner.StateError,
	}, s)
}

// lastEvent is the newest error in the node's history (microversion 1.78), empty when it keeps none.
func (c *Client) lastEvent(ctx context.Context, api *gophercloud.ServiceClient, uuid string) (string, error) {
	var answer struct {
		History []struct {
			Severity  string `json:"severity"`
			Event     string `json:"event"`
			CreatedAt string `json:"created_at"` // ISO 8601, so it sorts as text
		} `json:"history"`
	}
	if err := read(ctx, api, api.ServiceURL("nodes", uuid, "history"), &answer); err != nil {
		return "", c.classify(err)
	}
	var text, newest string
	for _, e := range answer.History {
		if e.Severity == "ERROR" && e.CreatedAt >= newest {
			text, newest = e.Event, e.CreatedAt
		}
	}
	return oneLine(text), nil
}

func observation(n *nodes.Node) provisioner.Observation {
	o := provisioner.Observation{
		ID:                n.UUID,
		HostUID:           types.UID(text(n.Extra, extraHostUID)),
		State:             provisioner.NodeState(n.ProvisionState),
		Since:             n.ProvisionUpdatedAt,
		Power:             provisioner.Power(n.PowerState),
		PowerTarget:       provisioner.Power(n.TargetPowerState),
		LastError:         oneLine(n.LastError),
		Maintenance:       n.Maintenance,
		Fault:             n.Fault,
		MaintenanceReason: oneLine(n.MaintenanceReason),
		Image:             imageOf(n.InstanceInfo),
		Registration:      text(n.Extra, extraRegistration),
		Server:            text(n.Extra, extraServer),
		Deployment:        text(n.Extra, extraDeployment),
		NotOurs:           text(n.Extra, extraNotOurs) != "",
	}
	if n.InspectionFinishedAt != nil {
		o.Inspected = *n.InspectionFinishedAt
	}
	return o
}

// imageOf reads the image as the host asked for it. On a node that someone else deployed it is what Ironic holds.
func imageOf(info map[string]any) *provisioner.Image {
	var image provisioner.Image
	if json.Unmarshal([]byte(text(info, infoImage)), &image) == nil && image.URL != "" {
		return &image
	}
	image = provisioner.Image{URL: text(info, "image_source"), Format: text(info, "image_disk_format")}
	if image.URL == "" {
		return nil
	}
	image.Checksum = text(info, "image_checksum")
	if image.Checksum == "" {
		image.Checksum, image.ChecksumType = text(info, "image_os_hash_value"), text(info, "image_os_hash_algo")
	}
	return &image
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}
