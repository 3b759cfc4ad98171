package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
)

// victim is the node on which a task fails.
const victim = "r7-n01"

// siteCheck is a service that fails on the node it is told to.
const siteCheck = `- name: Check the site
  hosts: all
  gather_facts: false
  tasks:
    - name: Refuse a node
      ansible.builtin.fail: {msg: "this node is not wanted here"}
      when: inventory_hostname == %q
`

// faults is the main job with trouble on the way: each fault must be told with its object and cause, must not hold up
// anybody else, and must be over by itself once its cause is gone.
func (d *demo) faults(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	for _, act := range []func(context.Context) error{d.wrongPassword, d.failingTaskAndDeadIronic, d.mendedTask, d.tooFewHosts} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	d.say("demo: 4 faults told, isolated and survived")
	return nil
}

// wrongPassword enrols one host with a wrong BMC password and corrects the Secret.
func (d *demo) wrongPassword(ctx context.Context) error {
	d.say("\n== fault 1: a wrong BMC password on server-3")
	const name = "server-3"
	i := slices.IndexFunc(d.inputs.Hosts, func(h host) bool { return h.Name == name })
	right := d.inputs.Hosts[i].BMCPassword
	d.inputs.Hosts[i].BMCPassword = "wrong"
	if err := d.enrol(ctx); err != nil {
		return err
	}
	v, err := d.view.until(ctx, "3 hosts available, and server-3 refused", func(v report.View) bool {
		return hostsAvailable(3)(v) && hostError(v, name) != ""
	})
	if err != nil {
		return err
	}
	message := hostError(v, name)
	d.say("%s: %s", name, message)
	if !strings.Contains(message, name+"-bmc") || !strings.Contains(message, "credentialsName") || strings.Contains(message, right) {
		return fmt.Errorf("host %s: the message must name the Secret and spec.bmc.credentialsName, and no password: %s", name, message)
	}
	d.inputs.Hosts[i].BMCPassword = right
	if err := d.enrol(ctx); err != nil {
		return err
	}
	_, err = d.view.until(ctx, "server-3 available after its Secret was corrected", hostsAvailable(4))
	return err
}

func hostError(v report.View, name string) string {
	for i := range v.Hosts {
		if v.Hosts[i].Name == name {
			return v.Hosts[i].Status.ErrorMessage
		}
	}
	return ""
}

// failingTaskAndDeadIronic kills Ironic while it deploys, starts it again, and lets a task fail on one of three nodes.
func (d *demo) failingTaskAndDeadIronic(ctx context.Context) error {
	d.say("\n== fault 2: Ironic dies while it deploys; fault 3: a task fails on r7-n01")
	if err := d.putSiteCheck(ctx, victim); err != nil {
		return err
	}
	d.inputs.Services = []string{"bootstrap", "site-check"}
	if err := d.order(ctx, "nodeset"); err != nil {
		return err
	}
	if _, err := d.view.until(ctx, "3 hosts provisioning", func(v report.View) bool {
		return countHosts(v, metal3v1alpha1.StateProvisioning) == 3
	}); err != nil {
		return err
	}
	d.rack.StopIronic()
	d.say("-- Ironic killed")
	if err := pause(ctx, 8*time.Second); err != nil {
		return err
	}
	if err := d.rack.StartIronic(ctx); err != nil {
		return err
	}
	d.say("-- Ironic started again")
	v, err := d.view.until(ctx, "r7-n00 and r7-n02 ready, r7-n01 failing", func(v report.View) bool {
		return phaseOf(v, "r7-n00") == "Ready" && phaseOf(v, "r7-n02") == "Ready" && strings.Contains(causeOf(v, victim), "not wanted here")
	})
	if err != nil {
		return err
	}
	d.say("r7-n01: %s", causeOf(v, victim))
	if !strings.Contains(causeOf(v, victim), "site-check") {
		return fmt.Errorf("node r7-n01: the message must name the service: %s", causeOf(v, victim))
	}
	return nil
}

// mendedTask corrects the service: the failed node goes on by itself.
func (d *demo) mendedTask(ctx context.Context) error {
	if err := d.putSiteCheck(ctx, "nobody"); err != nil {
		return err
	}
	_, err := d.view.until(ctx, "r7-n01 ready after its service was corrected", nodesReady(3))
	return err
}

// tooFewHosts asks for one node more than there are hosts: those that fit are deployed, the other says why not.
func (d *demo) tooFewHosts(ctx context.Context) error {
	d.say("\n== fault 4: five nodes for four hosts")
	if err := d.scale(ctx, 5); err != nil {
		return err
	}
	v, err := d.view.until(ctx, "4 nodes ready and the fifth told why not", func(v report.View) bool {
		ready := 0
		for _, l := range report.Lines(v) {
			if l.Phase == "Ready" {
				ready++
			}
		}
		return ready == 4 && len(v.Nodes) == 5 && strings.Contains(planned(v), "r7-n04")
	})
	if err != nil {
		return err
	}
	d.say("NodeSet rack7: %s", planned(v))
	return d.status(ctx)
}

// planned is the message of the set's Planned condition.
func planned(v report.View) string {
	for i := range v.NodeSets {
		for _, c := range v.NodeSets[i].Status.Conditions {
			if c.Type == v1alpha1.ConditionPlanned && c.Reason == v1alpha1.ReasonNoHost {
				return c.Message
			}
		}
	}
	return ""
}

func phaseOf(v report.View, node string) string {
	for _, l := range report.Lines(v) {
		if l.Node == node {
			return l.Phase
		}
	}
	return ""
}

// causeOf says what holds a node.
func causeOf(v report.View, node string) string {
	for _, l := range report.Lines(v) {
		if l.Node == node {
			return l.Cause
		}
	}
	return ""
}

// putSiteCheck writes the service so that it refuses the node.
func (d *demo) putSiteCheck(ctx context.Context, node string) error {
	s := &v1alpha1.DataPlaneService{}
	s.Namespace, s.Name = namespace, "site-check"
	err := d.client.Get(ctx, client.ObjectKeyFromObject(s), s)
	s.Spec.PlaybookContents = fmt.Sprintf(siteCheck, node)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err != nil {
		return d.client.Create(ctx, s)
	}
	return d.client.Update(ctx, s)
}
