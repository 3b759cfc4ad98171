package redfishtest

import (
	"maps"
	"slices"
)

type resource = map[string]any

const (
	root     = "/redfish/v1"
	tasks    = root + "/TaskService/Tasks"
	resetFor = "/Actions/ComputerSystem.Reset"
)

func (p Profile) system() string  { return root + "/Systems/" + p.System }
func (p Profile) manager() string { return root + "/Managers/" + p.Manager }
func (p Profile) chassis() string { return root + "/Chassis/" + p.Chassis }

// media is the path of the virtual CD.
func (p Profile) media() string {
	if p.MediaOfSystem {
		return p.system() + "/VirtualMedia/" + p.Media
	}
	return p.manager() + "/VirtualMedia/" + p.Media
}

func link(to string) resource { return resource{"@odata.id": to} }

func health() resource { return resource{"State": "Enabled", "Health": "OK"} }

// tree builds a profile's resources by their paths.
func (p Profile) tree() resources {
	t := resources{}
	t[root] = resource{
		"@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot", "Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.11.0",
		"Vendor": p.Manufacturer, "UUID": "00000000-0000-0000-0000-" + "b07b25001001", "Links": resource{},
		"Systems": link(root + "/Systems"), "Managers": link(root + "/Managers"), "Chassis": link(root + "/Chassis"),
	}
	if p.Sessions != "" {
		t[root]["Links"] = resource{"Sessions": link(p.Sessions)}
		t[root]["SessionService"] = link(root + "/SessionService")
		t[root+"/SessionService"] = resource{"Id": "SessionService", "ServiceEnabled": true, "Sessions": link(p.Sessions)}
	}
	if p.TaskReads > 0 {
		t[root]["Tasks"] = link(root + "/TaskService")
		t[root+"/TaskService"] = resource{"Id": "TaskService", "Tasks": link(tasks)}
		collection(t, tasks)
	}
	t[root]["ProtocolFeaturesSupported"] = resource{"ExpandQuery": resource{"NoLinks": p.Expand, "Levels": p.Expand, "MaxLevels": 1}}
	collection(t, root+"/Systems", p.System)
	collection(t, root+"/Managers", p.Manager)
	collection(t, root+"/Chassis", p.Chassis)
	t[p.chassis()] = resource{"Id": p.Chassis, "Name": "Chassis", "ChassisType": "RackMount", "Manufacturer": p.Manufacturer, "Status": health()}
	p.putSystem(t)
	p.putManager(t)
	p.putParts(t)
	p.putStorage(t)
	for path, fields := range p.Overlay {
		p.overlay(t, path, fields)
	}
	for path, r := range t {
		r["@odata.id"] = path
	}
	return t
}

type resources = map[string]resource

func (p Profile) overlay(t resources, path string, fields resource) {
	if t[path] == nil {
		t[path] = resource{}
	}
	for name, value := range fields {
		if value == nil {
			delete(t[path], name)
			continue
		}
		t[path][name] = value
	}
}

func collection(t resources, path string, members ...string) {
	links := make([]any, 0, len(members))
	for _, m := range members {
		links = append(links, link(path+"/"+m))
	}
	t[path] = resource{"Name": "Collection", "Members": links, "Members@odata.count": len(links)}
}

func (p Profile) putSystem(t resources) {
	total := 0
	for _, d := range p.DIMMs {
		total += d.MiB
	}
	allowed := resource{"target": p.system() + resetFor, "ResetType@Redfish.AllowableValues": p.ResetTypes}
	if p.ActionInfo {
		info := p.system() + "/ResetActionInfo"
		allowed = resource{"target": p.system() + resetFor, "@Redfish.ActionInfo": info}
		t[info] = resource{"Id": "ResetActionInfo", "Parameters": []any{
			resource{"Name": "ResetType", "DataType": "String", "Required": true, "AllowableValues": p.ResetTypes},
		}}
	}
	s := resource{
		"@odata.type": "#ComputerSystem.v1_16_0.ComputerSystem", "Id": p.System, "Name": "System", "SystemType": "Physical",
		"Manufacturer": p.Manufacturer, "Model": p.Model, "SerialNumber": p.Serial, "SKU": p.SKU, "BiosVersion": p.BIOS,
		"PowerState": "Off", "Status": resource{"State": "Enabled", "Health": "OK", "HealthRollup": "OK"},
		"UUID": "4c4c4544-0058-4b10-8032-b7c04f423334",
		"Boot": resource{
			"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None", "BootSourceOverrideMode": "UEFI",
			"BootSourceOverrideTarget@Redfish.AllowableValues": p.BootTargets,
		},
		"Links":   resource{"Chassis": []any{link(p.chassis())}, "ManagedBy": []any{link(p.manager())}},
		"Actions": resource{"#ComputerSystem.Reset": allowed},
	}
	for _, part := range []string{"Processors", "Memory", "EthernetInterfaces", "Storage"} {
		s[part] = link(p.system() + "/" + part)
	}
	if total > 0 {
		s["MemorySummary"] = resource{"TotalSystemMemoryGiB": total / 1024, "Status": health()}
	}
	if len(p.Processors) > 0 {
		s["ProcessorSummary"] = resource{"Count": len(p.Processors), "Model": p.Processors[0].Model, "Status": health()}
	}
	t[p.system()] = s
}

func (p Profile) putManager(t resources) {
	t[p.manager()] = resource{
		"Id": p.Manager, "Name": "Manager", "ManagerType": "BMC", "FirmwareVersion": p.Firmware, "DateTime": "2026-11-28T12:00:00+00:00",
		"Status": health(), "Links": resource{"ManagerForServers": []any{link(p.system())}},
	}
	owner := p.manager()
	if p.MediaOfSystem {
		owner = p.system()
	}
	t[owner]["VirtualMedia"] = link(owner + "/VirtualMedia")
	collection(t, owner+"/VirtualMedia", "Floppy0", p.Media)
	t[owner+"/VirtualMedia/Floppy0"] = resource{"Id": "Floppy0", "Name": "Floppy", "MediaTypes": []any{"Floppy", "USBStick"}, "Inserted": false, "Image": nil}
	cd := resource{
		"Id": p.Media, "Name": "Virtual CD", "MediaTypes": []any{"CD", "DVD"}, "Inserted": false, "Image": nil,
		"ConnectedVia": "NotConnected", "WriteProtected": true,
	}
	if !p.MediaByPatch {
		cd["Actions"] = resource{
			"#VirtualMedia.InsertMedia": resource{"target": p.media() + "/Actions/VirtualMedia.InsertMedia"},
			"#VirtualMedia.EjectMedia":  resource{"target": p.media() + "/Actions/VirtualMedia.EjectMedia"},
		}
	}
	t[p.media()] = cd
}

func (p Profile) putParts(t resources) {
	var cpus, dimms, nics []string
	for _, c := range p.Processors {
		cpus = append(cpus, c.ID)
		t[p.system()+"/Processors/"+c.ID] = resource{
			"Id": c.ID, "Name": c.ID, "Socket": c.ID, "ProcessorType": c.Type, "ProcessorArchitecture": c.Architecture, "Model": c.Model,
			"TotalCores": c.Cores, "TotalThreads": c.Threads, "MaxSpeedMHz": c.MHz, "Status": health(),
		}
	}
	for _, d := range p.DIMMs {
		dimms = append(dimms, d.ID)
		r := resource{"Id": d.ID, "Name": d.ID, "DeviceLocator": d.ID, "CapacityMiB": d.MiB, "Status": health()}
		if d.MiB == 0 {
			r["CapacityMiB"], r["Status"] = nil, resource{"State": "Absent"}
		} else {
			maps.Copy(r, resource{"SerialNumber": d.Serial, "PartNumber": d.Part, "OperatingSpeedMhz": d.MHz, "MemoryDeviceType": "DDR4"})
		}
		t[p.system()+"/Memory/"+d.ID] = r
	}
	for _, n := range p.NICs {
		nics = append(nics, n.ID)
		r := resource{"Id": n.ID, "Name": "Ethernet Interface", "MACAddress": n.MAC, "PermanentMACAddress": n.MAC, "SpeedMbps": n.Mbps, "Status": health()}
		if n.Link != "" {
			r["LinkStatus"] = n.Link
		}
		t[p.system()+"/EthernetInterfaces/"+n.ID] = r
	}
	collection(t, p.system()+"/Processors", cpus...)
	collection(t, p.system()+"/Memory", dimms...)
	collection(t, p.system()+"/EthernetInterfaces", nics...)
}

func (p Profile) putStorage(t resources) {
	base := p.system() + "/Storage"
	var ids []string
	for _, s := range p.Storage {
		ids = append(ids, s.ID)
		var drives []any
		for _, d := range s.Drives {
			path := base + "/" + s.ID + "/Drives/" + d.ID
			drives = append(drives, link(path))
			r := resource{
				"Id": d.ID, "Name": "Drive " + d.ID, "Manufacturer": d.Manufacturer, "Model": d.Model, "SerialNumber": d.Serial,
				"MediaType": d.Media, "Protocol": d.Protocol, "CapacityBytes": d.Bytes, "Status": health(),
			}
			if d.WWN != "" {
				r["Identifiers"] = []any{resource{"DurableName": d.WWN, "DurableNameFormat": "NAA"}}
			}
			t[path] = r
		}
		t[base+"/"+s.ID] = resource{
			"Id": s.ID, "Name": s.Controller, "Drives": drives, "Drives@odata.count": len(drives), "Status": health(),
			"StorageControllers": []any{resource{"MemberId": "0", "Name": s.Controller, "Model": s.Controller, "Status": health()}},
		}
	}
	collection(t, base, slices.Clone(ids)...)
}
