package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/playbooks"
)

// dueRun is services that are to run on nodes for the same reasons.
type dueRun struct {
	Nodes    []string     `json:"nodes"`
	Services []serviceDue `json:"services"`
}

// serviceDue is a service that is to run.
type serviceDue struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	// Changed are what it gets other than before, where that is known. No values.
	Changed []string `json:"changed,omitempty"`
}

// earlier is what the services of a set got, on the nodes of its inventory.
type earlier struct {
	hashes plan.Hashes
	nodes  plan.Inventory
}

// inputsBefore are what services of the sets got, by namespace/name of the set.
func inputsBefore(ctx context.Context, m *manifest.Reader) (map[string]earlier, error) {
	if m == nil {
		return nil, nil
	}
	m = m.Copy()
	assumed := assumeHosts(m)
	world, err := inputs.Read(ctx, m)
	if err != nil {
		return nil, err
	}
	world.AssumeHardware(slices.Concat(assumed, unknownHardware(m, assumed)))
	before := map[string]earlier{}
	for i := range world.NodeSets {
		set := &world.NodeSets[i]
		in, err := inputs.ReadSet(ctx, m, set, set.Spec.Services)
		if err != nil {
			return nil, err
		}
		if in.Site.Empty() {
			continue
		}
		switch inv, err := in.Inventory(&world); {
		case plan.IsProblem(err): // nothing ran with it
		case err != nil:
			return nil, err
		default:
			before[set.Namespace+"/"+set.Name] = earlier{plan.NewHashes(inv.Inventory, in.Services, playbooks.Collection()), inv}
		}
	}
	return before, nil
}

// addRuns tells which services would run on the nodes that there are, and why. Nodes are told together when all of it is
// the same.
func (s *setPlan) addRuns(in plan.Set, inv plan.Inventory, world *plan.World, before past) {
	if !in.Usable() {
		return // its problem is told, and every input would look changed
	}
	why := reasons{now: plan.NewHashes(inv.Inventory, in.Services, playbooks.Collection()), coming: world.Coming(in.NodeSet.Namespace, time.Now()) > 0}
	why.before = before.inputs[in.NodeSet.Namespace+"/"+in.NodeSet.Name]
	why.global = globalServices(in)
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Change == "delete" || !inv.Has(n.Name) {
			continue
		}
		n.Services = why.now.Wanted(&n.node)
		old, existed := before.nodes[n.node.Namespace+"/"+n.Name]
		if !existed {
			continue
		}
		if services := why.due(&old, n); len(services) > 0 {
			s.run(n.Name, services)
		}
	}
}

// globalServices are the names of those that a node which comes or goes makes run on the others.
func globalServices(in plan.Set) []string {
	var names []string
	for _, service := range in.Services {
		if service.Global {
			names = append(names, service.Name)
		}
	}
	return names
}

// run adds a node with the services to run on it.
func (s *setPlan) run(node string, services []serviceDue) {
	for i := range s.Runs {
		if slices.EqualFunc(s.Runs[i].Services, services, serviceDue.equal) {
			s.Runs[i].Nodes = append(s.Runs[i].Nodes, node)
			return
		}
	}
	s.Runs = append(s.Runs, dueRun{Nodes: []string{node}, Services: services})
}

func (d serviceDue) equal(other serviceDue) bool {
	return d.Name == other.Name && d.Why == other.Why && slices.Equal(d.Changed, other.Changed)
}

// reasons tells why services run on nodes.
type reasons struct {
	now    plan.Hashes
	before earlier
	coming bool     // other nodes are
	global []string // services
}

func (r reasons) due(old *v1alpha1.DataPlaneNode, n *nodePlan) []serviceDue {
	var due []serviceDue
	for _, name := range rollout.Outdated(n.Services, old.Status.Services) {
		due = append(due, r.why(name, old, n))
	}
	return due
}

func (r reasons) why(service string, old *v1alpha1.DataPlaneNode, n *nodePlan) serviceDue {
	due := serviceDue{Name: service, Why: "what it gets is not what it ran with"}
	ran := slices.IndexFunc(old.Status.Services, func(r v1alpha1.ServiceResult) bool { return r.Name == service })
	if ran < 0 {
		due.Why = "has not run there"
		return due
	}
	result := old.Status.Services[ran]
	switch {
	case slices.Contains(n.Services, v1alpha1.ServiceInput{Name: service, InputHash: result.InputHash}):
		due.Why = fmt.Sprintf("failed %d times in a row, is tried again", max(result.Failures, 1))
		return due
	case !sameServer(old.Spec.Host, n.node.Spec.Host):
		due.Why = "another server"
		return due
	case r.before.nodes.Has(n.Name):
		due.Changed = r.now.Differences(r.before.hashes, service, n.Name)
		due.Why = "what it got before is not what it ran with"
	}
	if len(due.Changed) > 0 {
		due.Why = "changed: " + line.Few(due.Changed)
	}
	if r.coming && result.Result == v1alpha1.ServiceSucceeded && slices.Contains(r.global, service) {
		due.Why += "; runs once no more nodes come"
	}
	return due
}

func sameServer(a, b *v1alpha1.HostReference) bool {
	return (a == nil) == (b == nil) && (a == nil || a.UID == b.UID)
}

// movement tells what nodes that come or go make run on the others: their host keys are not known before they are there.
func (s setPlan) movement() string {
	moves := map[bool]int{}
	for _, n := range s.Nodes {
		moves[n.Change == "create" || n.Change == "delete"]++
	}
	global := globalServices(s.inputs)
	if moves[true] == 0 || moves[false] == 0 || len(global) == 0 {
		return ""
	}
	return fmt.Sprintf("nodes that come or go make %s run on the others, once no more of them come\n", strings.Join(global, ", "))
}

// runs tells a person what runs where. Services that run for one reason are told together.
func (s setPlan) runs(b *bytes.Buffer) error {
	b.WriteString(s.movement())
	for _, run := range s.Runs {
		fmt.Fprintf(b, "services to run on %s:\n", several(run.Nodes))
		t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		for i := 0; i < len(run.Services); {
			var names []string
			first := run.Services[i]
			for ; i < len(run.Services) && run.Services[i].Why == first.Why; i++ {
				names = append(names, run.Services[i].Name)
			}
			fmt.Fprintf(t, "    %s\t%s\n", strings.Join(names, ", "), line.Of(first.Why))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// several names the first of many nodes and counts them.
func several(nodes []string) string {
	const few = 4
	if len(nodes) <= few {
		return strings.Join(nodes, ", ")
	}
	return fmt.Sprintf("%d nodes (%s to %s)", len(nodes), nodes[0], nodes[len(nodes)-1])
}
