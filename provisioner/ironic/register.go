package ironic

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
)

// register creates the node or brings its settings up to date. The registration is recorded last: a pass that died
// half way is done again.
func (d call) register(ctx context.Context) error {
	a, err := parseAddress(d.want.BMC.Address)
	if err != nil {
		return err
	}
	fresh := d.node == nil
	if fresh {
		if err := d.alone(ctx, a); err != nil {
			return err
		}
		if d.node, err = d.create(ctx, a); err != nil {
			return err
		}
	}
	if text(d.node.Extra, extraServer) != d.want.Server() {
		if err := d.alone(ctx, a); err != nil {
			return err
		}
	}
	if err := d.ensurePort(ctx); err != nil {
		return err
	}
	ramdisk, err := d.ramdiskNetwork()
	if err != nil {
		return err
	}
	var patch []nodes.Patch
	if !fresh {
		patch = d.settings(a)
	}
	patch = append(patch, ramdisk...)
	patch = append(patch,
		set("/extra/"+extraHostUID, string(d.want.Host.UID)),
		set("/extra/"+extraRegistration, d.want.Registration()),
		set("/extra/"+extraServer, d.want.Server()),
	)
	if err := d.update(ctx, patch); err != nil {
		return err
	}
	if d.node.Maintenance && d.node.Fault == provisioner.FaultPower {
		return d.repair(ctx) // the BMC access may work now: let Ironic try at once
	}
	return nil
}

func (d call) create(ctx context.Context, a access) (*nodes.Node, error) {
	clean := !d.want.SkipCleaning
	opts := nodes.CreateOpts{
		Name: nodeName(d.want.Host), Driver: a.driver, DriverInfo: d.driverInfo(a), Properties: d.properties(),
		BootInterface: a.iface.boot, BIOSInterface: a.iface.bios, ManagementInterface: a.iface.management,
		PowerInterface: a.iface.power, RAIDInterface: a.iface.raid, VendorInterface: a.iface.vendor,
		InspectInterface: inspectInterface, AutomatedClean: &clean,
		Extra: map[string]any{extraHostUID: string(d.want.Host.UID)},
	}
	if d.minorVersion() >= disableOffIn {
		opts.DisablePowerOff = &d.want.DisablePowerOff
	}
	n, err := nodes.Create(ctx, d.api, opts).Extract()
	if err != nil {
		return nil, d.classify(err)
	}
	return n, nil
}

// inspectInterface: the deploy agent inspects, in band (ironic 39.0.0, doc/source/admin/inspection).
const inspectInterface = "agent"

// settings brings an existing node up to date.
func (d call) settings(a access) []nodes.Patch {
	patch := []nodes.Patch{
		set("/driver", a.driver), set("/automated_clean", !d.want.SkipCleaning),
		set("/inspect_interface", inspectInterface), set("/boot_interface", a.iface.boot),
	}
	for name, value := range map[string]string{
		"bios": a.iface.bios, "management": a.iface.management, "power": a.iface.power, "raid": a.iface.raid, "vendor": a.iface.vendor,
	} {
		if value != "" {
			patch = append(patch, set("/"+name+"_interface", value))
		}
	}
	if d.minorVersion() >= disableOffIn {
		patch = append(patch, set("/disable_power_off", d.want.DisablePowerOff))
	}
	patch = append(patch, d.access(a)...)
	properties := d.properties()
	if caps, ours := d.node.Properties["capabilities"].(string); ours {
		properties["capabilities"] = mergeCapabilities(caps, capabilities(d.want.BootMode))
	}
	for _, key := range []string{"capabilities", "cpu_arch", "root_device"} {
		if value, wanted := properties[key]; wanted {
			patch = append(patch, set("/properties/"+key, value))
		} else if _, has := d.node.Properties[key]; has && key == "root_device" {
			patch = append(patch, nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/properties/" + key})
		}
	}
	return patch
}

// ownKeys are those of driver_info that come of the BMC's address and login. All others are the operator's, and stay.
func ownKeys() []string {
	return []string{
		"ipmi_address", "ipmi_port", "ipmi_priv_level", "ipmi_username", "ipmi_password",
		"redfish_address", "redfish_system_id", "redfish_username", "redfish_password", "redfish_verify_ca",
	}
}

// access brings the node's driver_info up to date, key by key.
func (d call) access(a access) []nodes.Patch {
	var patch []nodes.Patch
	want := d.driverInfo(a)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		patch = append(patch, set("/driver_info/"+key, want[key]))
	}
	for _, key := range ownKeys() {
		_, wanted := want[key]
		if _, has := d.node.DriverInfo[key]; has && !wanted {
			patch = append(patch, nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/driver_info/" + key})
		}
	}
	return patch
}

// mergeCapabilities is what a node's capabilities (key:value, with commas) are with ours: the boot mode is, all others stay.
func mergeCapabilities(has, ours string) string {
	kept := slices.DeleteFunc(strings.Split(has, ","), func(c string) bool {
		key, _, _ := strings.Cut(strings.TrimSpace(c), ":")
		return key == "" || key == "boot_mode" || key == "secure_boot"
	})
	return strings.Join(append([]string{ours}, kept...), ",")
}

// ramdiskNetwork gives the deploy agent its network, or takes away what was given it: on virtual media Ironic puts it beside
// the agent (microversion 1.66).
func (d call) ramdiskNetwork() ([]nodes.Patch, error) {
	data, err := object("spec.preprovisioningNetworkDataName", d.want.RamdiskNetwork)
	switch {
	case err != nil:
		return nil, err
	case data != nil:
		return []nodes.Patch{set("/network_data", data), set("/extra/"+extraRamdiskNetwork, "true")}, nil
	case text(d.node.Extra, extraRamdiskNetwork) != "":
		return []nodes.Patch{set("/network_data", map[string]any{}), set("/extra/"+extraRamdiskNetwork, "")}, nil
	default:
		return nil, nil
	}
}

func (d call) driverInfo(a access) map[string]any {
	info := a.driverInfo(d.want.BMC)
	for key, value := range map[string]string{
		"deploy_kernel": d.config.DeployKernel, "deploy_ramdisk": d.config.DeployRamdisk, "deploy_iso": d.config.DeployISO,
	} {
		if value != "" {
			info[key] = value
		}
	}
	return info
}

func (d call) properties() map[string]any {
	p := map[string]any{"capabilities": capabilities(d.want.BootMode)}
	if d.want.Architecture != "" {
		p["cpu_arch"] = d.want.Architecture
	}
	if hints := rootDevice(d.want.RootDevice); len(hints) > 0 {
		p["root_device"] = hints
	}
	return p
}

func capabilities(mode metal3v1alpha1.BootMode) string {
	switch mode {
	case metal3v1alpha1.Legacy:
		return "boot_mode:bios"
	case metal3v1alpha1.UEFISecureBoot:
		return "boot_mode:uefi,secure_boot:true"
	case metal3v1alpha1.UEFI:
		return "boot_mode:uefi"
	default:
		return "boot_mode:uefi"
	}
}

// rootDevice writes hints in Ironic's operators (ironic 39.0.0, doc/source/install/advanced: root device hints).
func rootDevice(h *metal3v1alpha1.RootDeviceHints) map[string]any {
	if h == nil {
		return nil
	}
	hints := map[string]any{}
	name := "name"
	if strings.HasPrefix(h.DeviceName, "/dev/disk/by-path/") {
		name = "by_path"
	}
	for key, value := range map[string]string{
		name: h.DeviceName, "hctl": h.HCTL, "serial": h.SerialNumber, "wwn": h.WWN,
		"wwn_with_extension": h.WWNWithExtension, "wwn_vendor_extension": h.WWNVendorExtension,
	} {
		if value != "" {
			hints[key] = "s== " + value
		}
	}
	for key, value := range map[string]string{"model": h.Model, "vendor": h.Vendor} {
		if value != "" {
			hints[key] = "<in> " + value
		}
	}
	if h.MinSizeGigabytes > 0 {
		hints["size"] = fmt.Sprintf(">= %d", h.MinSizeGigabytes)
	}
	if h.Rotational != nil {
		hints["rotational"] = strconv.FormatBool(*h.Rotational)
	}
	return hints
}

// ensurePort makes the port the host boots from, and takes away the one of the MAC address that was wanted before: another
// host may be waiting for it. Ports that inspection found are left alone.
func (d call) ensurePort(ctx context.Context) error {
	page, err := ports.List(d.api, ports.ListOpts{NodeUUID: d.node.UUID}).AllPages(ctx)
	if err != nil {
		return d.classify(err)
	}
	known, err := ports.ExtractPorts(page)
	if err != nil {
		return d.classify(err)
	}
	_, before, _ := strings.Cut(text(d.node.Extra, extraServer), " ")
	for _, port := range known {
		if before != "" && strings.EqualFold(port.Address, before) && !strings.EqualFold(before, d.want.BootMAC) {
			if err := d.classify(ports.Delete(ctx, d.api, port.UUID).ExtractErr()); err != nil && !fault.Is(err, fault.Missing) {
				return err
			}
		}
	}
	if d.want.BootMAC == "" || slices.ContainsFunc(known, func(p ports.Port) bool { return strings.EqualFold(p.Address, d.want.BootMAC) }) {
		return nil
	}
	enabled := true
	_, err = ports.Create(ctx, d.api, ports.CreateOpts{
		NodeUUID: d.node.UUID, Address: strings.ToLower(d.want.BootMAC), PXEEnabled: &enabled,
	}).Extract()
	if gophercloud.ResponseCodeIs(err, http.StatusConflict) && !fault.Is(d.classify(err), fault.Busy) {
		return fault.New(fault.Rejected, "spec.bootMACAddress %s belongs to another Ironic node: give each host its own", d.want.BootMAC)
	}
	return d.classify(err)
}

func set(path string, value any) nodes.Patch { return operation{nodes.AddOp, path, value} }

// operation is nodes.UpdateOperation without its omitempty: false and "" are values too.
type operation struct {
	op    nodes.UpdateOp
	path  string
	value any
}

// ToNodeUpdateMap implements nodes.Patch.
func (o operation) ToNodeUpdateMap() (map[string]any, error) {
	return map[string]any{"op": o.op, "path": o.path, "value": o.value}, nil
}
