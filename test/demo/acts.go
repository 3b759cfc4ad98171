package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
)

// bareMetal is the main job: three nodes from four servers, then four, then three.
func (d *demo) bareMetal(ctx context.Context) error {
	first, err := d.actOne(ctx)
	if err != nil || d.firstOnly {
		return err
	}
	began := time.Now()
	if err := d.grow(ctx, first); err != nil {
		return err
	}
	if err := d.shrink(ctx); err != nil {
		return err
	}
	d.say("demo: scaled 3 -> 4 -> 3 in %.0fs", time.Since(began).Seconds())
	return nil
}

func (d *demo) actOne(ctx context.Context) (report.View, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	d.say("\n== act 1: four servers, a NodeSet of three nodes")
	if err := d.enrol(ctx); err != nil {
		return report.View{}, err
	}
	if _, err := d.view.until(ctx, "registering and inspecting 4 hosts", hostsAvailable(4)); err != nil {
		return report.View{}, err
	}
	d.watch.lap("4 hosts registered and inspected by Ironic")
	if err := d.order(ctx, "nodeset"); err != nil {
		return report.View{}, err
	}
	imaged := false
	v, err := d.view.until(ctx, "3 nodes ready", func(v report.View) bool {
		if !imaged && deployed(v, 3) {
			imaged = true
			d.watch.lap("3 hosts claimed, imaged, booted, reached over SSH")
		}
		return nodesReady(3)(v)
	})
	if err != nil {
		return v, err
	}
	d.watch.lap("services run on 3 nodes")
	return v, d.showReady(ctx, v, 3)
}

// showReady ends a first act: evidence, times, the table of `rackplane status`, the headline.
func (d *demo) showReady(ctx context.Context, v report.View, n int) error {
	d.say("")
	if err := evidence(ctx, d.out, v, d.signer); err != nil {
		return err
	}
	d.watch.print(d.out)
	services(d.out, v, "")
	d.say("")
	if err := d.status(ctx); err != nil {
		return err
	}
	if d.view.kills > 0 {
		d.say("the engine was killed %d times on the way", d.view.kills)
	}
	d.say("demo: %d/%d nodes ready in %.0fs", n, n, d.watch.seconds())
	return nil
}

// grow scales to 4 and checks that only the new node was deployed and got the node-local services.
func (d *demo) grow(ctx context.Context, before report.View) error {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	d.say("\n== act 2: replicas 3 -> 4 -> 3")
	if err := d.scale(ctx, 4); err != nil {
		return err
	}
	after, err := d.view.until(ctx, "4 nodes ready", nodesReady(4))
	if err != nil {
		return err
	}
	all := []string{"bootstrap", "configure-network", "install-os", "configure-os", "ssh-known-hosts"}
	for node, got := range ran(before, after) {
		want := []string{"ssh-known-hosts"}
		if node == "r7-n03" {
			want = all
		}
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			return fmt.Errorf("node %s, step scale-out: ran %v, want %v", node, got, want)
		}
		d.say("  %s ran %v", node, got)
	}
	d.watch.lap("a fourth node deployed and configured, the others told of it")
	return evidence(ctx, d.out, after, d.signer)
}

// shrink scales back to 3 and checks that exactly one host went back.
func (d *demo) shrink(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	before, err := d.view.read(ctx)
	if err != nil {
		return err
	}
	if err := d.scale(ctx, 3); err != nil {
		return err
	}
	after, err := d.view.until(ctx, "3 nodes ready and one host released", func(v report.View) bool {
		return nodesReady(3)(v) && hostsAvailable(1)(v)
	})
	if err != nil {
		return err
	}
	name, err := released(before, after)
	if err != nil {
		return fmt.Errorf("step scale-in: %w", err)
	}
	d.watch.lap("the fourth node released")
	d.say("\nreleased host %s: powered off, claim and addresses returned", name)
	if err := evidence(ctx, d.out, after, d.signer); err != nil {
		return err
	}
	return d.status(ctx)
}

func (d *demo) scale(ctx context.Context, replicas int32) error {
	set := &v1alpha1.NodeSet{}
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "rack7"}, set); err != nil {
		return err
	}
	old := set.DeepCopy()
	set.Spec.Replicas = &replicas
	return d.client.Patch(ctx, set, client.MergeFrom(old))
}

// preProvisioned adopts three hosts that already run.
func (d *demo) preProvisioned(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	d.say("\n== three servers that already run, reached over SSH only")
	if err := d.adopt(ctx); err != nil {
		return err
	}
	v, err := d.view.until(ctx, "3 nodes ready", nodesReady(3))
	if err != nil {
		return err
	}
	d.watch.lap("services run on 3 nodes")
	return d.showReady(ctx, v, 3)
}
