package plan_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// BenchmarkDecide plans as many nodes as hosts, on five networks: all of them from scratch, and one more when the others are
// planned, by a memory that planned those.
func BenchmarkDecide(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		set, world, site := many(size)
		b.Run(fmt.Sprintf("scratch/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide(b, &plan.Memory{}, world, set, site)
			}
		})
		apply(decide(b, &plan.Memory{}, world, set, site), &world)
		b.Run(fmt.Sprintf("one/%d", size), func(b *testing.B) { oneMore(b, world, set, site) })
	}
}

func decide(b *testing.B, m *plan.Memory, world plan.World, set *v1alpha1.NodeSet, site network.Site) plan.Decision {
	b.Helper()
	d, err := m.Decide(world, set, site)
	if err != nil || d.Reason() != "" || len(d.Nodes) != len(world.Nodes) {
		b.Fatal(err, d.Message())
	}
	return d
}

// apply writes down what was decided.
func apply(d plan.Decision, world *plan.World) {
	for i := range world.Nodes {
		world.Nodes[i].Spec = d.Nodes[world.Nodes[i].Name]
		world.Nodes[i].ResourceVersion = "2"
	}
}

// oneMore plans the first node anew, again and again.
func oneMore(b *testing.B, planned plan.World, set *v1alpha1.NodeSet, site network.Site) {
	b.Helper()
	b.ReportAllocs()
	more := planned
	more.Nodes = slices.Clone(planned.Nodes)
	more.Nodes[0].Spec, more.Nodes[0].ResourceVersion = v1alpha1.DataPlaneNodeSpec{HostName: more.Nodes[0].Spec.HostName}, "3"
	planned.Nodes = planned.Nodes[1:]
	var carried plan.Memory
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		decide(b, &carried, planned, set, site) // once more when nothing is new: so nodes come to rest
		decide(b, &carried, planned, set, site)
		runtime.ReadMemStats(&before)
		b.StartTimer()
		decide(b, &carried, more, set, site)
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc), "B-last/op")
}

// many are a set of so many nodes, which have nothing yet, and the hosts and networks for them.
func many(size int) (*v1alpha1.NodeSet, plan.World, network.Site) {
	var config v1alpha1.NetConfigSpec
	set := steptest.NodeSet(int32(size))
	set.UID, set.Generation, set.Spec.NodeTemplate.Networks = "set", 1, nil
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
		nodes[i].UID, nodes[i].ResourceVersion = types.UID(fmt.Sprintf("node-%d", i)), "1"
		bmh := steptest.Host(fmt.Sprintf("h%04d", i))
		bmh.UID = types.UID("host-" + bmh.Name)
		host := claim.FromBareMetalHost(*bmh)
		host.Version = "1"
		hosts = append(hosts, host)
	}
	return set, plan.NewWorld([]v1alpha1.NodeSet{*set}, nodes, hosts), site
}
