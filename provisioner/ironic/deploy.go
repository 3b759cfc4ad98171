package ironic

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/secret"
)

// deploy records the image and the instance, then starts the deployment with the config drive.
func (d call) deploy(ctx context.Context) error {
	if d.want.Image == nil {
		return fault.New(fault.Rejected, "BareMetalHost %s: no image to deploy: set spec.image.url", d.want.Host)
	}
	drive, err := d.configDrive()
	if err != nil {
		return err
	}
	if err := d.recordInstance(ctx, *d.want.Image); err != nil {
		return err
	}
	return d.provision(ctx, nodes.TargetActive, drive)
}

// adopt tells Ironic what runs on the host already. Its validation wants an image also for a host whose disk someone
// else filled (ironic 39.0.0, doc/source/admin/adoption.rst).
func (d call) adopt(ctx context.Context) error {
	image := provisioner.Image{URL: "http://externally-provisioned.invalid/", Checksum: strings.Repeat("0", 64)}
	if onDisk := d.want.OnDisk(); onDisk != nil {
		image = *onDisk
	}
	if err := d.recordInstance(ctx, image); err != nil {
		return err
	}
	return d.provision(ctx, nodes.TargetAdopt, nil)
}

// recordInstance says in one change what the disk gets or has, and whose deployment that is: Ironic never holds the one
// without the other.
func (d call) recordInstance(ctx context.Context, image provisioner.Image) error {
	info, err := instanceInfo(image, d.want.BootMode)
	if err != nil {
		return err
	}
	patch := append(d.holding(), set("/instance_info", info))
	if d.node.InstanceUUID != string(d.want.Host.UID) {
		patch = append(patch, set("/instance_uuid", string(d.want.Host.UID)))
	}
	return d.update(ctx, patch)
}

// instanceInfo names the image in Ironic's words. A checksum that is a URL goes to image_checksum: only that is looked
// up (ironic 39.0.0, ironic/common/checksum_utils.py: get_checksum_and_algo).
func instanceInfo(image provisioner.Image, mode metal3v1alpha1.BootMode) (map[string]any, error) {
	asked, err := json.Marshal(image)
	if err != nil {
		return nil, fault.Wrap(fault.Rejected, err, "image")
	}
	info := map[string]any{infoImage: string(asked), "image_source": image.URL}
	isURL := strings.Contains(image.Checksum, "://")
	switch {
	case image.Checksum == "":
	case image.ChecksumType == "" || isURL:
		info["image_checksum"] = image.Checksum
	default:
		info["image_os_hash_algo"], info["image_os_hash_value"] = image.ChecksumType, image.Checksum
	}
	if image.Format != "" {
		info["image_disk_format"] = image.Format
	}
	if mode == metal3v1alpha1.UEFISecureBoot {
		info["capabilities"] = map[string]string{"secure_boot": "true"}
	}
	return info, nil
}

// configDrive is what Ironic builds the drive from (microversion 1.56). The keys of meta_data are those Metal3 gives
// (baremetal-operator v0.13.1, pkg/provisioner/ironic); the host's own meta data goes on top.
func (d call) configDrive() (map[string]any, error) {
	host := d.want.Host
	meta := map[string]any{
		"uuid": string(host.UID), "name": host.Name, "metal3-name": host.Name, "metal3-namespace": host.Namespace,
		"hostname": host.Name, "local-hostname": host.Name, "local_hostname": host.Name,
	}
	own, err := object("spec.metaData", d.want.Drive.MetaData)
	if err != nil {
		return nil, err
	}
	maps.Copy(meta, own)
	drive := map[string]any{"meta_data": meta}
	if d.want.Drive.UserData != "" {
		drive["user_data"] = d.want.Drive.UserData.Reveal()
	}
	network, err := object("spec.networkData", d.want.Drive.NetworkData)
	if err != nil {
		return nil, err
	}
	if network != nil {
		drive["network_data"] = network
	}
	return drive, nil
}

// object parses a Secret's YAML or JSON object; nil for an empty one. Errors never quote it.
func object(field string, s secret.Value) (map[string]any, error) {
	var o map[string]any
	if err := yaml.Unmarshal([]byte(s.Reveal()), &o); err != nil {
		return nil, fault.New(fault.Rejected, "the Secret of %s holds no YAML or JSON object", field)
	}
	return o, nil
}
