package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/ssh"
)

// Dead is what explicit pre-provisioned nodes cost of which all but one never answer.
type Dead struct {
	// Made is from the NodeSet made until all nodes are told not to answer. Early is a minute once nothing of that is left to be
	// told, while they are still asked often, Late one when they have been told to be late.
	Made  PerNode `json:"made"`
	Early PerNode `json:"early"`
	Late  PerNode `json:"late"`
	// Seen is seconds from a result of a service on the node that answers until it tells what that means: it is logged in to in
	// between. Once at Early, once at Late.
	Seen [2]float64 `json:"seen"`
}

// manner is how nodes do not answer.
type manner string

const (
	refused manner = "refused"
	mute    manner = "silent"
	// earlyAfter is when all that was new of them is told, lateAfter when they are late, and tried as seldom as ever.
	earlyAfter, lateAfter = 5 * time.Minute, 18 * time.Minute
	// muteFor is how long a login is tried.
	muteFor = 15 * time.Second
	// healthy is the one that answers.
	healthy = "compute-0000"
	// pinned is the host key of all.
	pinned = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
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
	case target.Address == healthy:
		return remote.Seen{}, nil
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
	dead := &Dead{}
	m.result.Dead = dead
	from := m.meter.begin("dead")
	if err := m.user.Create(ctx, explicit(m.nodes)); err != nil {
		return err
	}
	if err := m.await(ctx, "nodes told not to answer", m.mourned(ctx)); err != nil {
		return err
	}
	dead.Made = m.per(from, m.nodes)
	told := time.Now()
	for i, part := range []struct {
		cost   *PerNode
		after  time.Duration
		result v1alpha1.ServiceResultState
	}{{&dead.Early, earlyAfter, v1alpha1.ServiceFailed}, {&dead.Late, lateAfter, v1alpha1.ServiceSucceeded}} {
		if err := sleep(ctx, part.after-time.Since(told)); err != nil {
			return err
		}
		from := m.meter.begin("dead-" + part.after.String())
		if err := sleep(ctx, resting); err != nil {
			return err
		}
		*part.cost = m.per(from, m.nodes)
		fmt.Fprintf(os.Stderr, "%s after all were told: %+v\n", part.after, *part.cost)
		var err error
		if dead.Seen[i], err = m.serve(ctx, part.result); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "seen after %.2f s\n", dead.Seen[i])
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

// serve writes a result of the first service on the node that answers, as a deployment does, and returns how long it takes until
// the node tells that the service failed, or no longer does.
func (m *measurement) serve(ctx context.Context, result v1alpha1.ServiceResultState) (float64, error) {
	node := &v1alpha1.DataPlaneNode{}
	key := client.ObjectKey{Namespace: namespace, Name: healthy}
	if err := m.user.Get(ctx, key, node); err != nil {
		return 0, err
	}
	if len(node.Spec.Services) == 0 {
		return 0, fmt.Errorf("DataPlaneNode %s: no input is decided", key)
	}
	old := node.DeepCopy()
	first := node.Spec.Services[0]
	node.Status.Services = []v1alpha1.ServiceResult{{Name: first.Name, InputHash: first.InputHash, Result: result, Message: "simulated", FinishedAt: metav1.Now()}}
	began := time.Now()
	if err := m.user.Status().Patch(ctx, node, client.MergeFrom(old)); err != nil {
		return 0, err
	}
	for {
		if err := m.user.Get(ctx, key, node); err != nil {
			return 0, err
		}
		c := apimeta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionConfigured)
		if failed := c != nil && c.Reason == v1alpha1.ReasonServiceFailed; failed == (result == v1alpha1.ServiceFailed) {
			return time.Since(began).Seconds(), nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return 0, errors.Join(err, errors.New("the result was not seen"))
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
