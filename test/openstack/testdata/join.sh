#!/bin/bash
# Usage: join.sh DIRECTORY NAME ADDRESS
# Makes the machine it runs on a Nova compute and an OVN chassis, by hand and from the control plane's own files:
# DIRECTORY holds one directory per Secret or ConfigMap. It is the shortest list of what the roles have to do.
set -euo pipefail

config=$1 name=$2 address=$3

# Open vSwitch and OVN. Without the kernel's datapath, br-int has to be a userspace bridge from the start.
systemctl enable --now openvswitch-switch
settings=(hostname="$name" ovn-bridge=br-int ovn-bridge-datapath-type=netdev ovn-encap-ip="$address" ovn-monitor-all=true)
while IFS=': ' read -r key value; do
	settings+=("$key=\"$value\"")
done <"$config/ovncontroller-config/ovsdb-config"
ovs-vsctl set open_vswitch . "${settings[@]/#/external_ids:}"
# Nova plugs its taps through this.
ovs-vsctl set-manager ptcp:6640:127.0.0.1
systemctl enable --now ovn-host

systemctl enable --now libvirtd.socket virtlogd.socket

# nova.conf is blank, for it would win over the layers; so does the package's nova-compute.conf, which names the hypervisor.
install -d -o nova -g nova -m 750 /etc/nova/nova.conf.d
install -d -o nova -g nova -m 755 /var/lib/nova/tmp
install -o nova -g nova -m 600 "$config/nova-cell1-compute-config/nova-blank.conf" /etc/nova/nova.conf
install -o nova -g nova -m 600 "$config/nova-cell1-compute-config/01-nova.conf" /etc/nova/nova.conf.d/01-nova.conf
printf '[DEFAULT]\nhost = %s\nmy_ip = %s\n' "$name" "$address" |
	install -o nova -g nova -m 600 /dev/stdin /etc/nova/nova.conf.d/02-host.conf
printf '[libvirt]\nvirt_type = qemu\n' >/etc/nova/nova-compute.conf
systemctl enable --now nova-compute
