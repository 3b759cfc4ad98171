package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
	"github.com/rackplane/rackplane/test/openstack"
)

// openstackProfile is the node image with a compute's packages.
const openstackProfile = "compute"

// computes is how many nodes the cloud gets: two from the rack, one that already runs; or a virtual machine only.
func (d *demo) computes() int {
	if d.mode == guestMode {
		return 1
	}
	return 3
}

// allJoined is true when every compute of every set is ready.
func (d *demo) allJoined(v report.View) bool { return nodesReady(d.computes())(v) }

// computeServices are RHOSO's default services; redhat, the registration of hosts with Red Hat, is not for Debian.
func computeServices() []string {
	return []string{
		"download-cache", "bootstrap", "configure-network", "validate-network", "install-os", "configure-os",
		"ssh-known-hosts", "run-os", "reboot-os", "install-certs", "ovn", "neutron-metadata", "libvirt", "nova", "telemetry",
	}
}

// openStack makes servers computes of a real cloud and proves it by what the cloud does with them.
func (d *demo) openStack(ctx context.Context) error {
	acts := []func(context.Context) error{d.joinCloud, d.runServers, d.deployAgain, d.killCompute}
	if d.faulty {
		acts = append(acts, d.cloudFaults)
	}
	acts = append(acts, d.tables, d.retire)
	switch {
	case d.mode == guestMode:
		acts = []func(context.Context) error{d.joinGuest, d.runServers, d.kernelDatapath, d.deployAgain, d.tables}
	case d.firstOnly:
		acts = []func(context.Context) error{d.joinCloud, d.tables}
	}
	for _, act := range acts {
		limit, cancel := context.WithTimeout(ctx, d.limit)
		err := act(limit)
		cancel()
		if err != nil {
			return err
		}
	}
	d.say("")
	d.watch.print(d.out)
	d.say("demo: done after %.0fs", d.watch.seconds())
	return nil
}

// joinCloud orders the nodes and waits until Rackplane calls them computes; then it asks the cloud.
func (d *demo) joinCloud(ctx context.Context) error {
	d.say("\n== two servers of the rack and one that already runs become computes")
	if err := d.handOver(ctx); err != nil {
		return err
	}
	if d.faulty {
		if err := d.takeName(ctx); err != nil {
			return err
		}
	}
	if err := d.applyTemplate(ctx, lab, "running"); err != nil {
		return err
	}
	if err := d.enrol(ctx); err != nil {
		return err
	}
	if _, err := d.view.until(ctx, "registering and inspecting 2 hosts", hostsAvailable(2)); err != nil {
		return err
	}
	d.watch.lap("2 hosts registered and inspected by Ironic")
	if err := d.order(ctx, "computes"); err != nil {
		return err
	}
	if d.faulty {
		if err := d.giveName(ctx); err != nil {
			return err
		}
	}
	return d.awaitComputes(ctx, "hosts deployed, 15 services run on 3 nodes, joined")
}

// awaitComputes waits until Rackplane calls the nodes computes, shows it, and asks the cloud.
func (d *demo) awaitComputes(ctx context.Context, lap string) error {
	v, err := d.view.until(ctx, fmt.Sprintf("%d computes ready", d.computes()), d.allJoined)
	if err != nil {
		return err
	}
	d.watch.lap(lap)
	d.watch.print(d.out)
	services(d.out, v, "")
	d.tasks(v)
	d.say("")
	if err := d.status(ctx); err != nil {
		return err
	}
	return d.checkComputes(ctx, v)
}

// tasks prints how many tasks changed each node, service by service.
func (d *demo) tasks(v report.View) {
	for i := range v.Nodes {
		var parts []string
		for _, r := range v.Nodes[i].Status.Services {
			parts = append(parts, fmt.Sprintf("%s %d", r.Name, r.Changed))
		}
		d.say("  %s changed: %s", v.Nodes[i].Name, strings.Join(parts, ", "))
	}
}

// checkComputes compares every node with what Nova, Placement and OVN say of it.
func (d *demo) checkComputes(ctx context.Context, v report.View) error {
	d.say("seen by the cloud:")
	known, err := d.cloud.Computes(ctx)
	if err != nil {
		return err
	}
	if len(known) != len(v.Nodes) {
		return fmt.Errorf("the cloud has %d computes, want %d: %+v", len(known), len(v.Nodes), known)
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		c, err := computeOf(n, known)
		if err != nil {
			return err
		}
		for _, class := range []string{"VCPU", "MEMORY_MB", "DISK_GB"} {
			if c.Inventory[class] == 0 {
				return fmt.Errorf("node %s: its resource provider has no %s", n.Name, class)
			}
		}
		got := fmt.Sprintf("service %s, hypervisor %s, tunnels at %s, mappings %s, chassis %s", c.Service, c.Hypervisor, c.EncapIP, c.BridgeMappings, c.Chassis)
		want := fmt.Sprintf("service up, hypervisor up, tunnels at %s, mappings datacentre:br-ex, chassis %s", addressOn(n, "tenant"), n.Status.OpenStack.Chassis)
		if got != want {
			return fmt.Errorf("node %s: %s; want %s", n.Name, got, want)
		}
		if n.Name == patient {
			d.patientHost = c.Host
		}
		d.say("  %s: %s; %d processors, %d MB, %d GB", n.Name, got, c.Inventory["VCPU"], c.Inventory["MEMORY_MB"], c.Inventory["DISK_GB"])
	}
	return nil
}

// computeOf finds a node among the cloud's computes by its host name, with or without domain.
func computeOf(n *v1alpha1.DataPlaneNode, known []openstack.Compute) (openstack.Compute, error) {
	for _, c := range known {
		short, _, _ := strings.Cut(c.Host, ".")
		if own, _, _ := strings.Cut(n.Spec.HostName, "."); short == own {
			return c, nil
		}
	}
	return openstack.Compute{}, fmt.Errorf("node %s is none of the cloud's computes", n.Name)
}

// runServers boots a server on each compute and waits until it has its address from OVN.
func (d *demo) runServers(ctx context.Context) error {
	d.say("\n== a server on each compute")
	tenant, err := d.cloud.NewTenant(ctx)
	if err != nil {
		return err
	}
	known, err := d.cloud.Computes(ctx)
	if err != nil {
		return err
	}
	d.tenant = tenant
	for i, c := range known {
		server, err := tenant.Boot(ctx, fmt.Sprintf("guest-%d", i), c.Host)
		if err != nil {
			return err
		}
		d.booted = append(d.booted, server)
	}
	for i := range d.booted {
		server := &d.booted[i]
		if err := tenant.Await(ctx, server); err != nil {
			return err
		}
		d.say("  %s on %s is ACTIVE; its console says OVN gave it %s, as Neutron does", server.Name, server.Host, server.Address)
	}
	d.watch.lap("a server on each compute with its address")
	return nil
}

// deployAgain runs every service on every node once more and checks that nothing changed and nothing restarted.
func (d *demo) deployAgain(ctx context.Context) error {
	d.say("\n== the same inputs once more")
	before, err := d.daemons(ctx)
	if err != nil {
		return err
	}
	const name = "again"
	v, err := d.view.read(ctx)
	if err != nil {
		return err
	}
	sets := len(v.NodeSets)
	for i := range v.NodeSets {
		set := &v.NodeSets[i]
		deployment := &v1alpha1.DataPlaneDeployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: name + "-" + set.Name},
			Spec:       v1alpha1.DataPlaneDeploymentSpec{NodeSet: set.Name},
		}
		if err := d.client.Create(ctx, deployment); err != nil {
			return err
		}
	}
	v, err = d.view.until(ctx, "the deployments done", func(v report.View) bool { return ended(v, name+"-") == sets && d.allJoined(v) })
	if err != nil {
		return err
	}
	if err := unchanged(v, name); err != nil {
		return err
	}
	after, err := d.daemons(ctx)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("daemons before the second deployment:\n%safter it:\n%s", before, after)
	}
	services(d.out, v, name+"-")
	d.watch.lap("all services once more: nothing changed, no daemon restarted")
	d.say("nothing changed on any node and no daemon restarted")
	return nil
}

// daemons lists when each daemon on each node was started.
func (d *demo) daemons(ctx context.Context) (string, error) {
	v, err := d.view.read(ctx)
	if err != nil {
		return "", err
	}
	const command = "systemctl show --property=Id,ExecMainStartTimestampMonotonic nova-compute ovn-controller ovs-vswitchd neutron-ovn-metadata-agent virtlogd && pgrep --exact --list-name qemu-system-x86"
	var all strings.Builder
	for i := range v.Nodes {
		n := &v.Nodes[i]
		out, err := into(v, n, d.signer).Run(ctx, command)
		if err != nil {
			return "", fmt.Errorf("node %s: %w", n.Name, err)
		}
		fmt.Fprintf(&all, "%s: %s\n", n.Name, strings.Join(strings.Fields(out), " "))
	}
	return all.String(), nil
}

// ended counts the good deployments whose name begins so.
func ended(v report.View, prefix string) int {
	count := 0
	for i := range v.Deployments {
		if strings.HasPrefix(v.Deployments[i].Name, prefix) && meta.IsStatusConditionTrue(v.Deployments[i].Status.Conditions, v1alpha1.ConditionReady) {
			count++
		}
	}
	return count
}

// unchanged is an error when a result of these deployments is missing or says that a task changed something.
func unchanged(v report.View, deployment string) error {
	for i := range v.Nodes {
		results := v.Nodes[i].Status.Services
		if len(results) != len(computeServices()) {
			return fmt.Errorf("node %s has %d results, want %d", v.Nodes[i].Name, len(results), len(computeServices()))
		}
		for _, r := range results {
			if !strings.HasPrefix(r.Deployment, deployment+"-") || r.Changed != 0 || r.Result != v1alpha1.ServiceSucceeded {
				return fmt.Errorf("node %s, service %s, deployment %s: %s, %d tasks changed something", v.Nodes[i].Name, r.Name, r.Deployment, r.Result, r.Changed)
			}
		}
	}
	return nil
}

// killCompute ends nova-compute on one node: Ready must fall and say why, and come back by itself with the daemon.
func (d *demo) killCompute(ctx context.Context) error {
	d.say("\n== nova-compute dies on %s", victim)
	if err := d.onNode(ctx, victim, "sudo systemctl mask --runtime nova-compute && sudo systemctl kill --signal=KILL nova-compute"); err != nil {
		return err
	}
	began := time.Now()
	v, err := d.view.until(ctx, victim+" not ready, the others are", func(v report.View) bool {
		return phaseOf(v, victim) != "Ready" && strings.Contains(causeOf(v, victim), "nova-compute") && phaseOf(v, "r7-n00") == "Ready" && phaseOf(v, "server-2") == "Ready"
	})
	if err != nil {
		return err
	}
	d.say("%s after %.0fs: %s", victim, time.Since(began).Seconds(), causeOf(v, victim))
	if err := d.onNode(ctx, victim, "sudo systemctl unmask --runtime nova-compute && sudo systemctl start nova-compute"); err != nil {
		return err
	}
	began = time.Now()
	if _, err := d.view.until(ctx, victim+" ready again", d.allJoined); err != nil {
		return err
	}
	d.say("%s ready again after %.0fs", victim, time.Since(began).Seconds())
	d.watch.lap("nova-compute killed, told, started, told")
	return nil
}

// retire takes the victim's node out of its set: it must wait for the server on it, then leave nothing in the cloud.
func (d *demo) retire(ctx context.Context) error {
	d.say("\n== set rack7 shrinks to one node, while a server runs on %s", victim)
	before, err := d.view.read(ctx)
	if err != nil {
		return err
	}
	on := slices.IndexFunc(d.booted, func(s openstack.Server) bool { return strings.HasPrefix(s.Host, victim) })
	if on < 0 {
		return fmt.Errorf("no server was sent to %s", victim)
	}
	server := d.booted[on]
	if err := d.scale(ctx, 1); err != nil {
		return err
	}
	v, err := d.view.until(ctx, victim+" waits for its server", func(v report.View) bool { return strings.Contains(causeOf(v, victim), server.Name) })
	if err != nil {
		return err
	}
	d.say("%s: %s", victim, causeOf(v, victim))
	if err := d.tenant.Delete(ctx, server); err != nil {
		return err
	}
	left := d.computes() - 1
	after, err := d.view.until(ctx, victim+" gone, its host released", func(v report.View) bool { return nodesReady(left)(v) && hostsAvailable(1)(v) })
	if err != nil {
		return err
	}
	host, err := released(before, after)
	if err != nil {
		return err
	}
	known, err := d.cloud.Computes(ctx)
	if err != nil {
		return err
	}
	for _, c := range known {
		if len(known) != left || strings.HasPrefix(c.Host, victim) {
			return fmt.Errorf("after %s has left, the cloud knows %+v", victim, known)
		}
	}
	d.watch.lap("a compute waited for its server, then left the cloud, and its host was released")
	d.say("%s has left Nova, Placement and OVN; its host %s is off and free", victim, host)
	return d.table(ctx, "openstack compute service list --service nova-compute")
}

// onNode runs a command on a node.
func (d *demo) onNode(ctx context.Context, name, command string) error {
	_, err := d.nodeSays(ctx, name, command)
	return err
}

// nodeSays runs a command on a node and returns what it wrote.
func (d *demo) nodeSays(ctx context.Context, name, command string) (string, error) {
	v, err := d.view.read(ctx)
	if err != nil {
		return "", err
	}
	for i := range v.Nodes {
		if v.Nodes[i].Name == name {
			return into(v, &v.Nodes[i], d.signer).Run(ctx, command)
		}
	}
	return "", fmt.Errorf("there is no node %s", name)
}
