package hostile

// samples has one object of each kind in which every field that takes text is set. The walk fails on a field that is in
// the schema and not here, so a new one is added with its kind.
var samples = map[string]string{
	"NodeSet": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: rack, namespace: default}
spec:
  replicas: 1
  hostNameTemplate: n%d
  hosts:
    namespace: metal
    selector: {matchLabels: {rack: r7}, matchExpressions: [{key: a, operator: In, values: [b]}]}
    requirements: {cpu: {arch: x86_64}}
  image: {url: "https://images.example.com/a.qcow2", checksum: "https://images.example.com/a.sha256", checksumType: sha256, format: qcow2}
  nodeTemplate:
    ansibleSSHPrivateKeySecret: rack-ssh
    ansible: {ansibleUser: cloud-admin, ansibleHost: 192.168.122.10, ansibleVars: {edpm_tuned_profile: throughput-performance}}
    networks: [{name: ctlplane, subnetName: a, fixedIP: 192.168.122.10}, {name: internalapi, subnetName: a}]
    networkConfig: &config {NETWORK: CONFIG}
  nodes:
    gpu-0:
      hostName: gpu-0.example.com
      bmhLabelSelector: {gpu: a100}
      ansible: {ansibleUser: root, ansibleHost: 192.168.122.11, ansibleVars: {edpm_tuned_profile: virtual-host}}
      networks: [{name: ctlplane, subnetName: a, fixedIP: 192.168.122.11}, {name: internalapi, subnetName: a}]
      networkConfig: *config
      nics: {nic0: "52:54:00:00:00:01"}
      sshHostKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"]
  services: [bootstrap]
  openstack:
    cloudsSecret: clouds
    cloud: default
    southbound: {endpoints: ["ssl:192.0.2.1:6642"], tlsSecret: ovn}
    discovery: {cronJob: discover}
    availabilityZone: az1
    aggregates: [fast]
    traits: [CUSTOM_FAST]
  adoption: {accept: [Kernel]}
  deployment: {policy: Auto}
  deletionPolicy: Delete
`,
	"NetConfig": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NetConfig
metadata: {name: site, namespace: default}
spec:
  networks:
  - name: ctlplane
    serviceNetwork: ctlplane
    dnsDomain: ctlplane.example.com
    subnets:
    - name: a
      cidr: 192.168.122.0/24
      gateway: 192.168.122.1
      allocationRanges: [{start: 192.168.122.10, end: 192.168.122.99}]
      excludeAddresses: [192.168.122.50]
      routes: [{destination: 10.0.0.0/8, nexthop: 192.168.122.2}]
      nameservers: [192.168.122.1]
  - {name: internalapi, subnets: [{name: a, cidr: 172.17.0.0/24, vlan: 20}]}
  - {name: tenant, subnets: [{name: a, cidr: 172.18.0.0/24, vlan: 21}]}
  - {name: storage, subnets: [{name: a, cidr: 172.19.0.0/24, vlan: 22}]}
`,
	"DataPlaneNode": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneNode
metadata: {name: n0, namespace: default, labels: {dataplane.rackplane.dev/nodeset: rack}}
spec:
  hostName: n0
  host: {namespace: metal, name: h0, uid: u0}
  networks: [{network: ctlplane, subnet: a, address: 192.168.122.10}, {network: internalapi, subnet: a, address: 172.17.0.10}, {network: tenant, subnet: a, address: 172.18.0.10}, {network: storage, subnet: a, address: 172.19.0.10}]
  networkHash: "0123456789abcdef"
  services: [{name: bootstrap, inputHash: "0123"}]
`,
	"DataPlaneService": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneService
metadata: {name: bootstrap, namespace: default}
spec:
  playbook: osp.edpm.bootstrap
  playbookContents: "- hosts: all"
  role: osp.edpm.edpm_bootstrap
  edpmServiceType: bootstrap
  dataSources: [{secretRef: {name: a}}, {configMapRef: {name: b}}]
`,
	"DataPlaneDeployment": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneDeployment
metadata: {name: rack-1, namespace: default}
spec: {nodeSet: rack, nodes: [n0], servicesOverride: [bootstrap]}
`,
	"AddressBlock": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: AddressBlock
metadata: {name: 192.168.122.0-24, namespace: default}
spec: {cidr: 192.168.122.0/24, holders: [{address: 192.168.122.10, node: n0, uid: a, state: Held}]}
`,
	"HostClaimPolicy": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: HostClaimPolicy
metadata: {name: lend, namespace: default}
spec: {namespaces: [openstack], hostSelector: {matchLabels: {rack: r7}, matchExpressions: [{key: a, operator: In, values: [b]}]}}
`,
}

// networkConfigs take turns in the sample of a NodeSet: no rack has all of it at once. Each has a network that can be rendered.
var networkConfigs = []string{
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi], vlanNames: {internalapi: api0}}],
	bonds: [{name: bond0, mode: active-backup, ports: [{name: eth1, mac: nic1}], networks: [tenant], vlans: [storage], vlanNames: {storage: store0}}]}`,
	`{nicNumbering: Name,
	ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi], ip: &ip {ipv4: Static, ipv6: None, addresses: [198.51.100.1/32], prefix: Network, defaultRoute: Ignored, nameservers: Ignored},
		sriov: {totalVFs: 1, promiscuous: "Off", vfs: [{id: 0, mac: "52:54:00:00:01:01", trust: "On", spoofCheck: "Off"}]}}],
	bonds: [{name: bond0, mode: 802.3ad, ports: [{name: eth1, mac: nic1}], networks: [tenant], vlans: [storage], ip: {addresses: [198.51.100.2/32], ipv4: Static, ipv6: None, prefix: Network, defaultRoute: Ignored, nameservers: Ignored},
		options: {lacpRate: slow, lacpActive: "On", xmitHashPolicy: layer2, adSelect: stable, adActorSystem: "52:54:00:00:02:01", miimon: 100, useCarrier: "On", allSlavesActive: dropped}}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}],
	bonds: [{name: bond0, mode: active-backup, ports: [{name: eth1, mac: nic1}], networks: [tenant], vlans: [storage],
		options: {primary: eth1, primaryReselect: always, failOverMac: none, arpInterval: 100, arpIPTarget: [172.18.0.1], nsIP6Target: ["2001:db8::1"], arpValidate: none, arpAllTargets: any}}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}],
	bonds: [{name: bond0, mode: balance-tlb, ports: [{name: eth1, mac: nic1}], networks: [tenant], vlans: [storage], options: {tlbDynamicLB: "On"}}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}, {name: eth1, card: {model: Model, minGbps: 1}, networks: [tenant], vlans: [storage]}],
	dummies: [{name: dummy0, ip: {addresses: [198.51.100.1/32], ipv4: Static, ipv6: None, prefix: Network, defaultRoute: Ignored, nameservers: Ignored}}],
	vrfs: [{name: vrf0, table: 100, ports: [dummy0]}],
	routes: [{destination: 198.51.100.0/24, nexthop: 172.18.0.1, interface: eth1, source: 172.18.0.10}, {destination: 203.0.113.0/24, type: Blackhole}],
	rules: [{from: 198.51.100.0/24, to: 203.0.113.0/24, iif: eth1, family: IPv4, table: 100, priority: 100}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}],
	dummies: [{name: dummy0, networks: [tenant, storage]}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}, {name: eth2, card: {pciAddress: "0000:18:00.0"}}],
	bonds: [{name: bond0, mode: active-backup, ports: [{name: eth1, card: {model: Model}}, {name: eth3, card: {pciAddress: "0000:18:00.1"}}], networks: [tenant], vlans: [storage]}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}],
	ovsBridges: [{name: br-ex, datapath: Kernel, failMode: Standalone, networks: [tenant], vlans: [storage], vlanNames: {storage: store0},
		ip: {addresses: [198.51.100.2/32], ipv4: Static, ipv6: None, prefix: Network, defaultRoute: Ignored, nameservers: Ignored},
		ports: [{name: eth1, mac: nic1}, {name: patch0, patch: {peer: patch1}}, {name: eth2, card: {model: Model}}, {name: eth3, card: {pciAddress: "0000:18:00.0"}}]},
		{name: br-int2, ports: [{name: patch1, patch: {peer: patch0}}]}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}],
	ovsBridges: [{name: br-ex, networks: [tenant], vlans: [storage], ports: [{name: bond1, bond: {mode: active-backup, ports: [{name: eth1, mac: nic1}, {name: eth2, card: {model: Model}}, {name: eth3, card: {pciAddress: "0000:18:00.0"}}]}}]}]}`,
	`{ethernets: [{name: eth0, mac: nic0, networks: [ctlplane], vlans: [internalapi]}], ovsDPDK: {lcoreMask: "1", pmdCPUMask: "2", vhostPostcopy: "Off"},
	ovsBridges: [{name: br-dpdk, datapath: Userspace, networks: [tenant], vlans: [storage], ports: [{name: dpdk0, dpdk: {pciAddress: "0000:18:00.0"}},
		{name: bond1, bond: {mode: active-backup, ports: [{name: dpdk1, dpdk: {pciAddress: "0000:18:00.1"}}, {name: dpdk2, dpdk: {pciAddress: "0000:18:00.2"}}]}}]}]}`,
	`{nmstate: {interfaces: [{description: text, name: dummy0, type: dummy, state: up}, {name: eth0, type: ethernet, state: up, ipv4: {enabled: true, address: [
	{ip: $(ctlplane_ip), prefix-length: 24}, {ip: $(internalapi_ip), prefix-length: 24}, {ip: $(tenant_ip), prefix-length: 24}, {ip: $(storage_ip), prefix-length: 24}]}}]}}`,
}
