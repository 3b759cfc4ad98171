package claim

import (
	"fmt"
	"strconv"
	"testing"
)

func rackOf(n int) (needs []Need, hosts []Host) {
	for i := range n {
		needs = append(needs, need(fmt.Sprintf("n%05d", i), inRack("r7"), func(n *Need) { n.Requirements.Memory.MinGiB = 256 }))
		hosts = append(hosts, idle(fmt.Sprintf("h%05d", i)))
	}
	return needs, hosts
}

func plan(b *testing.B, needs []Need, hosts []Host, taken int) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		p, err := Make(needs, hosts)
		if err != nil {
			b.Fatal(err)
		}
		if len(p.Take) != taken {
			b.Fatalf("%d of %d taken", len(p.Take), taken)
		}
	}
}

// BenchmarkEqual: as many equal needs as hosts.
func BenchmarkEqual(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			needs, hosts := rackOf(n)
			plan(b, needs, hosts, n)
		})
	}
}

// BenchmarkDistinct: every need is a class of its own. The easiest needs come first and would take the hosts that only
// suit the hardest, so that half of the hosts must change hands.
func BenchmarkDistinct(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			needs, hosts := rackOf(n)
			for i := range needs {
				needs[i].Requirements.Memory.MinGiB = int32(i + 1)
				hosts[i].Hardware.MemoryMiB = (n - i) * 1024
			}
			plan(b, needs, hosts, n)
		})
	}
}

// BenchmarkInfeasible12For11 is the case on which backtracking explodes: 12 needs, 11 hosts that fit, spare ones that do not.
func BenchmarkInfeasible12For11(b *testing.B) {
	needs, hosts := rackOf(12)
	hosts = hosts[:11]
	for i := range 20 {
		hosts = append(hosts, idle(fmt.Sprintf("spare%02d", i), func(h *Host) { h.Hardware.MemoryMiB = 64 * 1024 }))
	}
	plan(b, needs, hosts, 11)
}

// BenchmarkInfeasible: half of 2,000 needs find all but 1,000 of 10,000 hosts claimed, each by somebody else.
func BenchmarkInfeasible(b *testing.B) {
	needs, _ := rackOf(2000)
	_, hosts := rackOf(10000)
	for i := range hosts[1000:] {
		claimed(owner(fmt.Sprintf("x%05d", i)))(&hosts[1000+i])
	}
	plan(b, needs, hosts, 1000)
}

// BenchmarkAtRest: everything is held, as in every pass of a settled site.
func BenchmarkAtRest(b *testing.B) {
	needs, hosts := rackOf(10000)
	for i := range needs {
		needs[i].Held = &hosts[i].Ref
		claimed(needs[i].Node)(&hosts[i])
	}
	plan(b, needs, hosts, 0)
}
