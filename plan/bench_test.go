package plan_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// BenchmarkDecide plans as many nodes as hosts, on five networks: all of them from scratch, and one more when the others are
// planned.
func BenchmarkDecide(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		set, world, site := many(size)
		b.Run(fmt.Sprintf("scratch/%d", size), func(b *testing.B) { decide(b, world, set, site) })
		d, err := plan.Decide(world, set, site)
		if err != nil {
			b.Fatal(err)
		}
		for i := range world.Nodes[1:] {
			world.Nodes[1+i].Spec = d.Nodes[world.Nodes[1+i].Name]
		}
		b.Run(fmt.Sprintf("one/%d", size), func(b *testing.B) { decide(b, world, set, site) })
	}
}

func decide(b *testing.B, world plan.World, set *v1alpha1.NodeSet, site network.Site) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		d, err := plan.Decide(world, set, site)
		if err != nil || d.Reason() != "" || len(d.Nodes) != len(world.Nodes) {
			b.Fatal(err, d.Message())
		}
	}
}

// many are a set of so many nodes, which have nothing yet, and the hosts and networks for them.
func many(size int) (*v1alpha1.NodeSet, plan.World, network.Site) {
	var config v1alpha1.NetConfigSpec
	set := steptest.NodeSet(int32(size))
	set.Spec.NodeTemplate.Networks = nil
	for i, name := range []string{"ctlplane", "internalapi", "storage", "storagemgmt", "tenant"} {
		prefix := fmt.Sprintf("172.%d.", 16+i)
		config.Networks = append(config.Networks, v1alpha1.Network{Name: name, Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: prefix + "0.0/16", AllocationRanges: []v1alpha1.AllocationRange{{Start: prefix + "0.10", End: prefix + "255.250"}},
		}}})
		set.Spec.NodeTemplate.Networks = append(set.Spec.NodeTemplate.Networks, v1alpha1.NodeNetwork{Name: name})
	}
	site, problems := network.NewSite(config)
	if len(problems) > 0 {
		panic(problems[0]) // the benchmark's own
	}
	nodes := plan.Desired(set)
	hosts := make([]claim.Host, 0, size)
	for i := range nodes {
		nodes[i].UID = types.UID(fmt.Sprintf("node-%d", i))
		bmh := steptest.Host(fmt.Sprintf("h%04d", i))
		bmh.UID = types.UID("host-" + bmh.Name)
		hosts = append(hosts, claim.FromBareMetalHost(*bmh))
	}
	return set, plan.NewWorld([]v1alpha1.NodeSet{*set}, nodes, hosts), site
}
