// Package openstack is a real OpenStack control plane for tests: MariaDB, RabbitMQ, Keystone, Placement, Glance,
// Nova (API, metadata, conductor, scheduler, cell0 and one cell), Neutron with ML2/OVN and OVN central, all of them
// Debian 13's packages (OpenStack 2025.1), in one systemd-nspawn container on a bridge of the caller's.
//
// Like test/rack it needs root and namespaces of its own: call rack.Isolate with Prepare (which may install and
// download), then Start. Each cloud starts from the same image, whose databases are ready, with an address and
// secrets of its own; nothing that happens in a cloud reaches the next one. README.md has the facts learnt on the way.
package openstack
