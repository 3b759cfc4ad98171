package plan

import (
	"fmt"
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// plenty is more than any requirement asks for.
const plenty = 1 << 30

// AssumeHardware lets hosts of which nothing is known (namespace/name) meet every requirement but the architecture asked for
// by name, which is taken from the sets. One that has a status and was not inspected stays so: the engine would refuse it.
func (w *World) AssumeHardware(unknown []string) {
	arch := ""
	for _, s := range w.NodeSets {
		if s.Spec.Hosts.Requirements.CPU.Arch != "" {
			arch = s.Spec.Hosts.Requirements.CPU.Arch
		}
	}
	for i := range w.Hosts {
		if ref := w.Hosts[i].Ref; w.Hosts[i].Hardware != nil || !slices.Contains(unknown, ref.Namespace+"/"+ref.Name) {
			continue
		}
		hw := &hardware.Details{Arch: arch, CPUs: plenty, MemoryMiB: plenty << 10, LargestDiskGiB: plenty}
		for n := range 16 {
			hw.NICs = append(hw.NICs, hardware.NIC{Name: fmt.Sprintf("nic%d", n), SpeedGbps: plenty})
		}
		w.Hosts[i].Hardware = hw
	}
}

// Others says of every host that no node gets why one node more of the set would not get it either.
func (w *World) Others(set *v1alpha1.NodeSet) ([]claim.Refusal, error) {
	served := map[v1alpha1.HostReference]bool{}
	for _, n := range w.Nodes {
		if n.Spec.Host != nil {
			served[*n.Spec.Host] = true
		}
	}
	rest := slices.DeleteFunc(slices.Clone(w.Hosts), func(h claim.Host) bool { return served[h.Ref] })
	another := v1alpha1.DataPlaneNode{}
	another.Namespace, another.Name = set.Namespace, "another"
	need := NeedOf(set, &another)
	need.Selector = set.Spec.Hosts.Selector // a malformed one, which NeedOf leaves out, is an error here
	refusals, err := claim.Explain(*need, rest)
	if err != nil {
		return nil, fmt.Errorf("NodeSet %s/%s: %w", set.Namespace, set.Name, err)
	}
	return refusals, nil
}
