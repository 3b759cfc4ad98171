package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// runPoll is when to look again whether a run has ended.
const runPoll = 5 * time.Second

// release is what ends a node: its place in its cloud, its server, and the claim on it.
type release struct {
	cloud
	kept  bool                           // by meant: the server outlives the node
	hosts []metal3v1alpha1.BareMetalHost // by undeployed: those that carry the claim
}

// release hands back everything the node holds, the claim last. It asks for nothing but hosts that carry the claim:
// NodeSet, Secrets and the planned host may be gone already. Only a node that its cloud has seen is not switched off before
// the cloud says that nothing is on it.
func (p *release) steps() []step.Step {
	return []step.Step{
		{Run: p.unused},
		{Run: p.meant},
		{Run: p.unlessKept(p.drained)},
		{Run: p.unlessKept(p.undeployed)},
		{Run: p.unlessKept(p.departed)},
		{Run: p.unlessKept(p.dataDropped)},
		{Run: p.unlessKept(p.unclaimed)},
		{Run: p.letGo},
	}
}

// unlessKept leaves a step of the release out when the server is kept.
func (p *release) unlessKept(run func(context.Context) (step.Outcome, error)) func(context.Context) (step.Outcome, error) {
	return func(ctx context.Context) (step.Outcome, error) {
		if p.kept {
			return step.Outcome{}, nil
		}
		return run(ctx)
	}
}

// unused waits until no Ansible run uses the node, on whatever machine. No new run begins on a node that is being deleted.
func (p *release) unused(ctx context.Context) (step.Outcome, error) {
	run, left, err := p.running(ctx, p.Live)
	if err != nil {
		return step.Outcome{}, err
	}
	if run != "" {
		return step.Waiting(v1alpha1.ReasonReleasing, "waits for the run of "+run+" to end", runPoll), nil
	}
	waits, err := p.Leases.User(ctx, client.ObjectKeyFromObject(p.node), left)
	if err != nil || waits == "" {
		return step.Outcome{}, err
	}
	return step.Waiting(v1alpha1.ReasonReleasing, waits, runPoll), nil
}

// undeployed takes the node's image off every host that carries the claim, and waits until it is clean and off. A host that
// was not handed over yet is left as it is: what runs there is somebody else's. The user data stays named until the claim
// goes: it is the record of whose image was there, which no lost status takes along.
func (p *release) undeployed(ctx context.Context) (step.Outcome, error) {
	var err error
	if p.hosts, err = p.ourHosts(ctx); err != nil {
		return step.Outcome{}, err
	}
	for i := range p.hosts {
		host := &p.hosts[i]
		if !p.handedOver(host) {
			continue
		}
		online := host.Spec.Online && host.Spec.DisablePowerOff // Metal3's webhook refuses to switch such a host off
		if host.Spec.Image != nil || host.Spec.NetworkData != nil || host.Spec.Online != online {
			err := p.swap(ctx, host, func() { host.Spec.Image, host.Spec.NetworkData, host.Spec.Online = nil, nil, online })
			if client.IgnoreNotFound(err) != nil {
				return step.Outcome{}, err
			}
		}
		if why := unclean(host); why != "" {
			return step.Waiting(v1alpha1.ReasonReleasing, why, hostPoll), nil
		}
	}
	return step.Outcome{}, nil
}

// unclean says what a host still has to do before anyone else may have it; "" when it is clean and off, or on where its
// spec forbids to switch it off. One that is being deleted is nobody's any more: nothing is planned on it, and its own controller cleans it.
func unclean(host *metal3v1alpha1.BareMetalHost) string {
	status := &host.Status
	clean := status.Provisioning.State == metal3v1alpha1.StateAvailable || status.Provisioning.State == metal3v1alpha1.StateReady
	if !host.DeletionTimestamp.IsZero() || (clean && (!status.PoweredOn || host.Spec.DisablePowerOff)) {
		return ""
	}
	text := fmt.Sprintf("BareMetalHost %s is %s", client.ObjectKeyFromObject(host), status.Provisioning.State)
	if clean {
		text += " and still on"
	}
	if status.ErrorMessage != "" {
		text += ": " + status.ErrorMessage + ": repair it, or delete the BareMetalHost if the server is gone"
	}
	return text
}

// dataDropped deletes what the hosts were given.
func (p *release) dataDropped(ctx context.Context) (step.Outcome, error) {
	var namespaces []string
	for i := range p.hosts {
		namespaces = append(namespaces, p.hosts[i].Namespace)
	}
	if p.node.Spec.Host != nil {
		namespaces = append(namespaces, p.node.Spec.Host.Namespace)
	}
	slices.Sort(namespaces)
	for _, namespace := range slices.Compact(namespaces) {
		for _, what := range []string{claim.UserData, ownNetworkData} {
			if err := p.dropSecret(ctx, p.dataName(namespace, what)); err != nil {
				return step.Outcome{}, err
			}
		}
	}
	return step.Outcome{}, nil
}

// unclaimed gives up the claim by compare-and-swap.
func (p *release) unclaimed(ctx context.Context) (step.Outcome, error) {
	for i := range p.hosts {
		host := &p.hosts[i]
		ours := p.handedOver(host)
		err := p.swap(ctx, host, func() {
			host.Spec.ConsumerRef = nil
			if ours {
				host.Spec.UserData = nil
			}
		})
		if client.IgnoreNotFound(err) != nil {
			return step.Outcome{}, err
		}
	}
	return step.Outcome{}, nil
}

// letGo lets the node go; with it its addresses are free.
func (p *release) letGo(ctx context.Context) (step.Outcome, error) {
	if err := p.dropOrKeepHostKey(ctx); err != nil {
		return step.Outcome{}, err
	}
	if err := p.Leases.Forget(ctx, client.ObjectKeyFromObject(p.node)); err != nil {
		return step.Outcome{}, err
	}
	if err := step.RemoveFinalizer(ctx, p.Client, p.node); err != nil {
		return step.Outcome{}, err
	}
	return step.Gone(), nil
}

// ourHosts are the hosts that carry the node's claim, by name: usually the planned one, none once it is given up.
func (p *release) ourHosts(ctx context.Context) ([]metal3v1alpha1.BareMetalHost, error) {
	var list metal3v1alpha1.BareMetalHostList
	if err := p.Live.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list BareMetalHosts: %w", err)
	}
	ours := slices.DeleteFunc(list.Items, func(h metal3v1alpha1.BareMetalHost) bool { return !p.isUs(h.Spec.ConsumerRef) })
	slices.SortFunc(ours, func(a, b metal3v1alpha1.BareMetalHost) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return ours, nil
}
