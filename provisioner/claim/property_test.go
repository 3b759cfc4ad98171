package claim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"
)

// drawWorld draws up to n hosts and needs with overlapping tastes, some of them held or claimed already, rightly or not.
func drawWorld(t *rapid.T, n int) (needs []Need, hosts []Host) {
	racks := rapid.SampledFrom([]string{"r1", "r2", "r3"})
	memory := rapid.SampledFrom([]int{64, 128, 256})
	for i := range rapid.IntRange(0, n).Draw(t, "hosts") {
		h := idle(fmt.Sprintf("h%d", i), func(h *Host) {
			h.Labels["rack"] = racks.Draw(t, "rack")
			h.Hardware.MemoryMiB = memory.Draw(t, "memory") * 1024
			h.Paused = rapid.IntRange(0, 9).Draw(t, "paused") == 0
		})
		if rapid.IntRange(0, 5).Draw(t, "claimed") == 0 {
			claimed(owner(fmt.Sprintf("n%d", rapid.IntRange(0, n).Draw(t, "consumer"))))(&h)
		}
		hosts = append(hosts, h)
	}
	for i := range rapid.IntRange(0, n).Draw(t, "needs") {
		node := need(fmt.Sprintf("n%d", i), func(n *Need) { n.Requirements.Memory.MinGiB = int32(memory.Draw(t, "minGiB")) })
		if rapid.Bool().Draw(t, "selects") {
			inRack(racks.Draw(t, "wanted rack"))(&node)
		}
		if rapid.IntRange(0, 3).Draw(t, "held") == 0 {
			holding(fmt.Sprintf("h%d", rapid.IntRange(0, n).Draw(t, "held host")))(&node)
		}
		needs = append(needs, node)
	}
	return needs, hosts
}

func mustMake(t *rapid.T, needs []Need, hosts []Host) Plan {
	plan, err := Make(needs, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestSamePlanWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, hosts := drawWorld(t, 12)
		want := mustMake(t, needs, hosts)
		got := mustMake(t, rapid.Permutation(needs).Draw(t, "shuffled needs"), rapid.Permutation(hosts).Draw(t, "shuffled hosts"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestEveryNeedIsAnsweredAndNoHostTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, hosts := drawWorld(t, 12)
		plan := mustMake(t, needs, hosts)
		usedBy, answers := map[string]string{}, map[string]int{}
		for _, a := range slices.Concat(plan.Keep, plan.Take) {
			if other := usedBy[a.Host.Name]; other != "" {
				t.Fatalf("%s goes to %s and %s", a.Host.Name, other, a.Node.Name)
			}
			usedBy[a.Host.Name] = a.Node.Name
			answers[a.Node.Name]++
		}
		for _, u := range plan.Unmet {
			answers[u.Node.Name]++
		}
		for _, n := range needs {
			if answers[n.Node.Name] != 1 {
				t.Fatalf("%s is answered %d times", n.Node.Name, answers[n.Node.Name])
			}
		}
	})
}

// apply carries the plan out: decisions are written down, and some of the claims made.
func apply(t *rapid.T, plan Plan, needs []Need, hosts []Host) ([]Need, []Host) {
	needs, hosts = slices.Clone(needs), slices.Clone(hosts)
	for i := range needs {
		needs[i].Held = nil
	}
	for _, a := range slices.Concat(plan.Keep, plan.Take) {
		i := slices.IndexFunc(needs, func(n Need) bool { return n.Node == a.Node })
		needs[i].Held = &a.Host
		if rapid.Bool().Draw(t, "claim made") {
			h := slices.IndexFunc(hosts, func(h Host) bool { return h.Ref == a.Host })
			claimed(a.Node)(&hosts[h])
		}
	}
	return needs, hosts
}

func TestAppliedPlanIsAtRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, hosts := drawWorld(t, 12)
		first := mustMake(t, needs, hosts)
		needs, hosts = apply(t, first, needs, hosts)
		second := mustMake(t, needs, hosts)
		if len(second.Take)+len(second.Drop) > 0 {
			t.Fatalf("moves after the plan was applied: %s", sketch(second))
		}
		if len(second.Keep) != len(first.Keep)+len(first.Take) || len(second.Unmet) != len(first.Unmet) {
			t.Fatalf("first %s; then %s", sketch(first), sketch(second))
		}
	})
}

func TestAddedHostMovesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, hosts := drawWorld(t, 8)
		first := mustMake(t, needs, hosts)
		needs, hosts = apply(t, first, needs, hosts)
		second := mustMake(t, needs, append(hosts, idle("a-new-one")))
		if len(second.Keep) != len(first.Keep)+len(first.Take) || len(second.Drop) > 0 {
			t.Fatalf("first %s; then %s", sketch(first), sketch(second))
		}
		if len(second.Take) > 1 {
			t.Fatalf("one new host serves %d nodes", len(second.Take))
		}
	})
}

func TestMatchingIsAsLargeAsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs, hosts := drawWorld(t, 6)
		for i := range needs {
			needs[i].Held = nil
		}
		for i := range hosts {
			hosts[i].Consumer = nil
		}
		plan := mustMake(t, needs, hosts)
		if want := most(needs, hosts, map[int]bool{}); len(plan.Take) != want {
			t.Fatalf("%d of %d possible: %s", len(plan.Take), want, sketch(plan))
		}
		for _, u := range plan.Unmet {
			checkBlocking(t, u, plan, needs, hosts)
		}
	})
}

// checkBlocking proves that the group with the node is one too many: together they fit exactly the hosts it has.
func checkBlocking(t *rapid.T, u Unmet, plan Plan, needs []Need, hosts []Host) {
	fitting := map[string]bool{}
	for _, n := range needs {
		if n.Node == u.Node || slices.Contains(u.Blocking, n.Node) {
			for _, h := range hosts {
				if suits(n, h) {
					fitting[h.Ref.Name] = true
				}
			}
		}
	}
	if len(fitting) != len(u.Blocking) {
		t.Fatalf("%s: group %v of %d fits %v: %s", u.Node, u.Blocking, len(u.Blocking)+1, fitting, sketch(plan))
	}
}

// most is the largest number of needs that can be served, by trying everything.
func most(needs []Need, hosts []Host, used map[int]bool) int {
	if len(needs) == 0 {
		return 0
	}
	best := most(needs[1:], hosts, used)
	for i, h := range hosts {
		if !used[i] && suits(needs[0], h) {
			used[i] = true
			best = max(best, 1+most(needs[1:], hosts, used))
			delete(used, i)
		}
	}
	return best
}

// suits says independently of the rules whether a host of drawWorld fits.
func suits(n Need, h Host) bool {
	rack := labels.Set{}
	if n.Selector != nil {
		rack = n.Selector.MatchLabels
	}
	return !h.Paused && labels.SelectorFromSet(rack).Matches(labels.Set(h.Labels)) &&
		h.Hardware.MemoryMiB >= 1024*int(n.Requirements.Memory.MinGiB)
}
