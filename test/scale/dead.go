package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/ssh"
)

// Dead is what explicit pre-provisioned nodes cost of which all but one never answer.
type Dead struct {
	// Made is from the NodeSet made until all nodes are told not to answer, First a minute from then on, Late one after they
	// have been told to be late.
	Made  Cost `json:"made"`
	First Cost `json:"first"`
	Late  Cost `json:"late"`
	// Seen is seconds from a change of the node that answers, its pinned host key, until the API tells what came of it, beside
	// the others at First and at Late.
	Seen [2]float64 `json:"seen"`
}

// manner is how nodes do not answer.
type manner string

const (
	refused manner = "refused"
	mute    manner = "silent"
	// lateAfter is when nodes that never answered are late, and tried as seldom as ever.
	lateAfter = 16 * time.Minute
	// muteFor is how long a login is tried.
	muteFor = 15 * time.Second
	// healthy answers at that name with that host key.
	healthy = "compute-0000"
	// pinned and other are host keys.
	pinned = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
	other  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPPmtlzS0uzmmnmMCVxqRe9ltxYhg5KzvBLJ5BQrOxSO"
)

func (m manner) check() error {
	if m != "" && m != refused && m != mute {
		return fmt.Errorf("-dead %s: use %s or %s", m, refused, mute)
	}
	return nil
}

// probe is a login: a real one, at a port where nobody listens, for those that refuse.
func (m manner) probe(ctx context.Context, target remote.Target) (remote.Seen, error) {
	switch {
	case target.Address == healthy && target.HostKeys[0] == pinned:
		return remote.Seen{}, nil
	case target.Address == healthy:
		return remote.Seen{}, fault.New(fault.Rejected, "another host key")
	case m == refused:
		target.Address, target.Port = "127.0.0.1", 1
		return ssh.Prober{}.Probe(ctx, target)
	}
	select {
	case <-ctx.Done():
	case <-time.After(muteFor):
	}
	return remote.Seen{}, fault.New(fault.Transient, "no answer in time")
}

// mourn measures nodes that never answer.
func (m *measurement) mourn(ctx context.Context) error {
	m.servers.mu.Lock()
	m.servers.dead = m.dead
	m.servers.mu.Unlock()
	m.result.Dead = &Dead{}
	from := m.meter.read()
	began := time.Now()
	if err := m.user.Create(ctx, explicit(m.nodes)); err != nil {
		return err
	}
	if err := m.await(ctx, "nodes told not to answer", m.mourned(ctx)); err != nil {
		return err
	}
	m.result.Dead.Made = m.meter.since(from)
	for i, part := range []struct {
		cost *Cost
		from time.Duration
	}{{&m.result.Dead.First, 0}, {&m.result.Dead.Late, lateAfter}} {
		if err := sleep(ctx, part.from-time.Since(began)); err != nil {
			return err
		}
		from := m.meter.read()
		if err := sleep(ctx, resting); err != nil {
			return err
		}
		*part.cost = m.meter.since(from)
		var err error
		if m.result.Dead.Seen[i], err = m.repin(ctx, []string{other, pinned}[i]); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// mourned reports whether all nodes tell whether they answer.
func (m *measurement) mourned(ctx context.Context) func() (bool, error) {
	return func() (bool, error) {
		var nodes v1alpha1.DataPlaneNodeList
		if err := m.user.List(ctx, &nodes); err != nil {
			return false, err
		}
		var told int32
		for i := range nodes.Items {
			if apimeta.FindStatusCondition(nodes.Items[i].Status.Conditions, v1alpha1.ConditionProvisioned) != nil {
				told++
			}
		}
		m.tell(told, m.nodes)
		return told == m.nodes, nil
	}
}

// repin pins another host key of the node that answers, and returns how long it takes until it is told to answer with it, or not to.
func (m *measurement) repin(ctx context.Context, key string) (float64, error) {
	began := time.Now()
	patch := fmt.Appendf(nil, `{"spec":{"nodes":{%q:{"sshHostKeys":[%q]}}}}`, healthy, key)
	if err := m.user.Patch(ctx, explicit(0), client.RawPatch(types.MergePatchType, patch)); err != nil {
		return 0, err
	}
	for {
		var node v1alpha1.DataPlaneNode
		if err := m.user.Get(ctx, client.ObjectKey{Namespace: namespace, Name: healthy}, &node); err != nil {
			return 0, err
		}
		if apimeta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionProvisioned) == (key == pinned) {
			return time.Since(began).Seconds(), nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return 0, errors.Join(err, errors.New("the change was not seen"))
		}
	}
}

// explicit is a set of nodes that run already, each with what its owner says of it.
func explicit(nodes int32) *v1alpha1.NodeSet {
	set := nodeSet(0)
	set.Spec.Replicas, set.Spec.HostNameTemplate, set.Spec.Image, set.Spec.OpenStack = nil, "", nil, nil
	set.Spec.PreProvisioned, set.Spec.Nodes = true, map[string]v1alpha1.NodeSection{}
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{
		Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi", "storage", "storagemgmt", "tenant"},
	}}}
	for i := range nodes {
		name := fmt.Sprintf("compute-%04d", i)
		set.Spec.Nodes[name] = v1alpha1.NodeSection{Ansible: v1alpha1.AnsibleOptions{AnsibleHost: name}, SSHHostKeys: []string{pinned}}
	}
	return set
}
