package ironic

import (
	"context"
	"encoding/json"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/provisioner"
)

// What we keep in a node.
const (
	extraHostUID      = "rackplane_host_uid"
	extraRegistration = "rackplane_registration"
	infoImage         = "rackplane_image"
)

// Observe implements provisioner.Provisioner.
func (c *Client) Observe(ctx context.Context, host provisioner.HostID) (provisioner.Observation, error) {
	api, err := c.api(ctx)
	if err != nil {
		return provisioner.Observation{}, err
	}
	n, err := c.node(ctx, api, host)
	if err != nil {
		return provisioner.Observation{}, err
	}
	return observation(n), nil
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
