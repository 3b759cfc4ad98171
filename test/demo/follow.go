package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
)

// viewer reads the cluster and shows it while something is waited for.
type viewer struct {
	client   client.Client
	out      io.Writer
	terminal bool
	changes  *report.Changes
	screen   *report.Screen
	engine   *engine
	// every, if set, is how often the engine is killed with SIGKILL and started again while waiting.
	every    time.Duration
	nextKill time.Time
	kills    int
}

func (v *viewer) read(ctx context.Context) (report.View, error) {
	view := report.View{Now: time.Now()}
	var sets v1alpha1.NodeSetList
	var nodes v1alpha1.DataPlaneNodeList
	var deps v1alpha1.DataPlaneDeploymentList
	var hosts metal3v1alpha1.BareMetalHostList
	for _, list := range []client.ObjectList{&sets, &nodes, &deps, &hosts} {
		if err := v.client.List(ctx, list); err != nil {
			return view, err
		}
	}
	view.NodeSets, view.Nodes, view.Deployments, view.Hosts = sets.Items, nodes.Items, deps.Items, hosts.Items
	return view, nil
}

// until shows the view each half second until done says so. An engine that was killed on purpose is not an error;
// any other end of it is.
func (v *viewer) until(ctx context.Context, what string, done func(report.View) bool) (report.View, error) {
	v.nextKill = time.Now().Add(v.every)
	var last report.View
	for {
		view, err := v.read(ctx)
		if err == nil {
			last = view
			v.show(view)
			if done(view) {
				return view, nil
			}
		}
		if !v.engine.alive() {
			return last, fmt.Errorf("%s: the engine ended; the end of its log:\n%s", what, tail(v.engine.log(), 15))
		}
		if err := v.disturb(ctx); err != nil {
			return last, err
		}
		if pause(ctx, 500*time.Millisecond) != nil {
			return last, fmt.Errorf("%s did not happen in time%s", what, causes(last))
		}
	}
}

func (v *viewer) disturb(ctx context.Context) error {
	if v.every == 0 || time.Now().Before(v.nextKill) {
		return nil
	}
	v.kills++
	fmt.Fprintf(v.out, "-- engine killed with SIGKILL (%d) and started again\n", v.kills)
	v.engine.kill()
	v.nextKill = time.Now().Add(v.every)
	return v.engine.start(ctx)
}

func (v *viewer) show(view report.View) {
	if v.terminal {
		_ = v.screen.Draw(view) // a closed terminal must not stop the rack from being cleaned up
		return
	}
	_ = v.changes.Write(view) // as above
}

// causes names every node that is not ready, its step and the cause; or the hosts in trouble while there are no nodes.
func causes(view report.View) string {
	var b strings.Builder
	for _, l := range report.Lines(view) {
		if l.Phase != "Ready" {
			fmt.Fprintf(&b, "\n  node %s, %s", l.Node, report.Plain(l, view.Now))
		}
	}
	for i := range view.Hosts {
		h := &view.Hosts[i]
		if h.Status.ErrorMessage != "" || len(view.Nodes) == 0 {
			fmt.Fprintf(&b, "\n  host %s: %s %s", h.Name, h.Status.Provisioning.State, h.Status.ErrorMessage)
		}
	}
	return b.String()
}

func hostsAvailable(n int) func(report.View) bool {
	return func(v report.View) bool {
		return countHosts(v, metal3v1alpha1.StateAvailable) == n
	}
}

func countHosts(v report.View, state metal3v1alpha1.ProvisioningState) int {
	n := 0
	for i := range v.Hosts {
		if v.Hosts[i].Status.Provisioning.State == state {
			n++
		}
	}
	return n
}

// nodesReady is true when there are that many nodes, all ready and up to date, and their sets say so themselves.
func nodesReady(nodes int) func(report.View) bool {
	return func(v report.View) bool {
		if len(v.Nodes) != nodes {
			return false
		}
		ready, updated := 0, 0
		for i := range v.NodeSets {
			set := &v.NodeSets[i]
			if set.Status.ObservedGeneration != set.Generation || !meta.IsStatusConditionTrue(set.Status.Conditions, v1alpha1.ConditionReady) {
				return false
			}
			ready, updated = ready+int(set.Status.ReadyReplicas), updated+int(set.Status.UpdatedReplicas)
		}
		return ready == nodes && updated == nodes &&
			!slices.ContainsFunc(report.Lines(v), func(l report.Line) bool { return l.Phase != "Ready" })
	}
}

// deployed is true when n nodes have their image on and answer SSH.
func deployed(v report.View, n int) bool {
	count := 0
	for i := range v.Nodes {
		if meta.IsStatusConditionTrue(v.Nodes[i].Status.Conditions, v1alpha1.ConditionProvisioned) {
			count++
		}
	}
	return count >= n
}
