// Package report turns the engine's objects into what a person reads: one line
// per node, and a tree per NodeSet. It is pure: the same objects at the same
// time give the same text. Phases exist only here; the objects hold conditions.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// View is what was read, at one moment.
type View struct {
	NodeSets    []v1alpha1.NodeSet
	Nodes       []v1alpha1.DataPlaneNode
	Deployments []v1alpha1.DataPlaneDeployment
	Hosts       []metal3v1alpha1.BareMetalHost
	// Paused says why the engine acts on nothing; empty when it acts.
	Paused string
	// Now is when the view was taken; ages are counted from it.
	Now time.Time
}

// Line is one node as a person follows it.
type Line struct {
	Namespace, NodeSet, Node string
	// Host is the BareMetalHost's name; empty while none is planned or for pre-provisioned nodes.
	Host string
	// Address on the control-plane network; empty while none is held.
	Address string
	// Phase is what the node is going through: Planning, Claiming, Addressing, Deploying, Adopting, Networking, Configuring, Joining, Ready, Releasing.
	Phase string
	// Step is the smaller step inside the phase, for example the host's state or the running service.
	Step string
	// Since is when the step began; zero when unknown.
	Since time.Time
	// Cause says what is waited for or wrong; empty on a Ready node.
	Cause string
	// Notice is what services had to tell that keeps the node from nothing, for example that a reboot is due; usually empty.
	Notice string
	// Trouble is true when waiting alone will not help or something failed.
	Trouble bool
}

// phases in the order a node passes them; each names the condition that ends it.
func phases() []struct{ condition, phase string } {
	return []struct{ condition, phase string }{
		{v1alpha1.ConditionClaimed, "Claiming"},
		{v1alpha1.ConditionAddressed, "Addressing"},
		{v1alpha1.ConditionProvisioned, "Deploying"},
		{v1alpha1.ConditionAdoptable, "Adopting"},
		{v1alpha1.ConditionNetworked, "Networking"},
		{v1alpha1.ConditionConfigured, "Configuring"},
		{v1alpha1.ConditionJoined, "Joining"},
		{v1alpha1.ConditionReady, "Finishing"},
	}
}

// waiting are the reasons that time alone resolves.
func waiting(reason string) bool {
	return reason == "" || strings.HasPrefix(reason, "Waiting") || reason == v1alpha1.ReasonProgressing || reason == v1alpha1.ReasonQueued || reason == v1alpha1.ReasonReleasing
}

// Lines returns one line per node, sorted by namespace, NodeSet and node.
func Lines(v View) []Line {
	hosts := hostsByName(v.Hosts)
	lines := make([]Line, 0, len(v.Nodes))
	for i := range v.Nodes {
		lines = append(lines, nodeLine(&v.Nodes[i], hosts, v.Deployments).shown())
	}
	slices.SortFunc(lines, func(a, b Line) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), line.Natural(a.NodeSet, b.NodeSet), line.Natural(a.Node, b.Node))
	})
	return lines
}

// shown is the line with every text as a terminal may get it: some were said by nodes and services, and whoever may write
// an object may have written others.
func (l Line) shown() Line {
	for _, text := range []*string{&l.Namespace, &l.NodeSet, &l.Node, &l.Host, &l.Address, &l.Step, &l.Cause, &l.Notice} {
		*text = line.Of(*text)
	}
	return l
}

func hostsByName(hosts []metal3v1alpha1.BareMetalHost) map[string]*metal3v1alpha1.BareMetalHost {
	m := make(map[string]*metal3v1alpha1.BareMetalHost, len(hosts))
	for i := range hosts {
		m[hosts[i].Namespace+"/"+hosts[i].Name] = &hosts[i]
	}
	return m
}

func nodeLine(n *v1alpha1.DataPlaneNode, hosts map[string]*metal3v1alpha1.BareMetalHost, deps []v1alpha1.DataPlaneDeployment) Line {
	l := Line{Namespace: n.Namespace, NodeSet: n.Labels[v1alpha1.NodeSetLabel], Node: n.Name, Phase: "Ready", Since: n.CreationTimestamp.Time}
	if l.Address = n.Status.Address; l.Address == "" && len(n.Spec.Networks) > 0 {
		l.Address = n.Spec.Networks[0].Address // of a node that nobody has looked at yet
	}
	var host *metal3v1alpha1.BareMetalHost
	if n.Spec.Host != nil {
		l.Host = n.Spec.Host.Name
		host = hosts[n.Spec.Host.Namespace+"/"+n.Spec.Host.Name]
	}
	switch {
	case !n.DeletionTimestamp.IsZero():
		l.Phase, l.Since = "Releasing", n.DeletionTimestamp.Time
		if c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Status != metav1.ConditionTrue {
			l.Cause = c.Message
		}
		l.Step = hostStep(host)
	default:
		l.Notice = strings.Join(rollout.Notices(n.Spec.Services, n.Status.Services), "; ")
		fillPhase(&l, n, host, deps)
	}
	return l
}

// fillPhase finds the first condition that is not True and says what holds it.
func fillPhase(l *Line, n *v1alpha1.DataPlaneNode, host *metal3v1alpha1.BareMetalHost, deps []v1alpha1.DataPlaneDeployment) {
	for _, p := range phases() {
		c := meta.FindStatusCondition(n.Status.Conditions, p.condition)
		if c != nil && c.Status == metav1.ConditionTrue {
			if c.LastTransitionTime.After(l.Since) {
				l.Since = c.LastTransitionTime.Time
			}
			continue
		}
		l.Phase = p.phase
		if c != nil {
			l.Cause, l.Trouble = c.Message, !waiting(c.Reason)
			l.Since = c.LastTransitionTime.Time
		}
		switch p.condition {
		case v1alpha1.ConditionProvisioned:
			l.Step = hostStep(host)
		case v1alpha1.ConditionNetworked, v1alpha1.ConditionConfigured:
			// A node gets its network from a service too, so a running one says more than the condition does.
			fillService(l, n, deps)
		case v1alpha1.ConditionJoined:
			good, all := services(n)
			l.Step = fmt.Sprintf("%d/%d services", good, all)
		}
		return
	}
	good, all := services(n)
	l.Step = fmt.Sprintf("%d/%d services", good, all)
}

func hostStep(h *metal3v1alpha1.BareMetalHost) string {
	if h == nil {
		return ""
	}
	state := string(h.Status.Provisioning.State)
	if state == "" {
		state = "new"
	}
	if h.Status.ErrorMessage != "" {
		return "host " + state + ", error"
	}
	return "host " + state
}

// services counts the node's services with a good result for the wanted input.
func services(n *v1alpha1.DataPlaneNode) (good, all int) {
	results := map[string]v1alpha1.ServiceResult{}
	for _, r := range n.Status.Services {
		results[r.Name] = r
	}
	for _, s := range n.Spec.Services {
		if r, ok := results[s.Name]; ok && r.InputHash == s.InputHash && r.Result == v1alpha1.ServiceSucceeded {
			good++
		}
	}
	return good, len(n.Spec.Services)
}

func fillService(l *Line, n *v1alpha1.DataPlaneNode, deps []v1alpha1.DataPlaneDeployment) {
	good, all := services(n)
	l.Step = fmt.Sprintf("%d/%d services", good, all)
	for i := range deps {
		if deps[i].Namespace != n.Namespace {
			continue
		}
		if r := deps[i].RunOn(n.Name); r != nil {
			l.Step = fmt.Sprintf("%s (%d/%d)", r.Service, min(good+1, all), all)
			l.Phase, l.Since, l.Trouble = "Configuring", r.StartedAt.Time, false
			return
		}
	}
}
