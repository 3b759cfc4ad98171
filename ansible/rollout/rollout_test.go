package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// wants reads "name@hash" words.
func wants(words ...string) []v1alpha1.ServiceInput {
	var out []v1alpha1.ServiceInput
	for _, w := range words {
		var in v1alpha1.ServiceInput
		for i, c := range w {
			if c == '@' {
				in.Name, in.InputHash = w[:i], w[i+1:]
			}
		}
		out = append(out, in)
	}
	return out
}

func good(word string) v1alpha1.ServiceResult {
	w := wants(word)[0]
	return v1alpha1.ServiceResult{Name: w.Name, InputHash: w.InputHash, Result: v1alpha1.ServiceSucceeded, FinishedAt: metav1.NewTime(epoch)}
}

func bad(word string, failures int32) v1alpha1.ServiceResult {
	r := good(word)
	r.Result, r.Failures = v1alpha1.ServiceFailed, failures
	return r
}

func node(name string, wanted []v1alpha1.ServiceInput, results ...v1alpha1.ServiceResult) NodeState {
	return NodeState{Name: name, Reachable: true, Wanted: wanted, Results: results}
}

func TestOutdated(t *testing.T) {
	wanted := wants("a@1", "b@1", "c@1", "d@1", "e@1")
	unreachable := good("e@1")
	unreachable.Result = v1alpha1.ServiceUnreachable
	got := Outdated(wanted, []v1alpha1.ServiceResult{good("b@1"), good("c@0"), bad("d@1", 1), unreachable, good("x@1")})
	if diff := cmp.Diff([]string{"a", "c", "d", "e"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestClockThatRanAhead: a failure that was written down a year ahead of the clock keeps nothing waiting, and one in a
// near future no longer than a backoff.
func TestClockThatRanAhead(t *testing.T) {
	for ahead, want := range map[time.Duration]int{365 * 24 * time.Hour: 1, 11 * time.Minute: 1, 5 * time.Minute: 0, -15 * time.Second: 1} {
		failed := bad("a@1", 1)
		failed.FinishedAt = metav1.NewTime(epoch.Add(ahead))
		due, next := DueDeployments([]NodeState{node("n", wants("a@1"), failed)}, nil, epoch)
		if len(due) != want || next.Sub(epoch) > BackoffMax {
			t.Errorf("failed %s ahead: due %v, next in %s", ahead, due, next.Sub(epoch))
		}
	}
}

func TestStands(t *testing.T) {
	global := map[string]bool{"g": true, "h": true}
	wanted := wants("a@1", "g@1", "b@1", "h@1")
	for name, c := range map[string]struct {
		wanted  []v1alpha1.ServiceInput
		results []v1alpha1.ServiceResult
		stands  bool
	}{
		"nothing is to run":               {wanted, []v1alpha1.ServiceResult{good("a@1"), good("g@1"), good("b@1"), good("h@1")}, true},
		"global ones are":                 {wanted, []v1alpha1.ServiceResult{good("h@0"), good("b@1"), good("g@0"), good("a@1")}, true},
		"one of its own is":               {wanted, []v1alpha1.ServiceResult{good("a@1"), good("g@0"), good("b@0"), good("h@1")}, false},
		"a global one never ran":          {wanted, []v1alpha1.ServiceResult{good("a@1"), good("g@0"), good("b@1")}, false},
		"a global one failed":             {wanted, []v1alpha1.ServiceResult{good("a@1"), bad("g@1", 1), good("b@1"), good("h@1")}, false},
		"it failed for an earlier input":  {wanted, []v1alpha1.ServiceResult{good("a@1"), bad("g@0", 1), good("b@1"), good("h@1")}, false},
		"it may be another server":        {wants("g@1"), []v1alpha1.ServiceResult{good("g@0")}, false},
		"all of another server":           {wanted, []v1alpha1.ServiceResult{good("a@0"), good("g@0"), good("b@0"), good("h@0")}, false},
		"a result that is no more wanted": {wanted, []v1alpha1.ServiceResult{good("a@1"), good("g@0"), good("b@1"), good("h@1"), bad("x@1", 1)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Stands(c.wanted, c.results, global); got != c.stands {
				t.Errorf("stands: %t, want %t", got, c.stands)
			}
		})
	}
}

func TestNotices(t *testing.T) {
	tells := func(r v1alpha1.ServiceResult, message string) v1alpha1.ServiceResult {
		r.Message = message
		return r
	}
	results := []v1alpha1.ServiceResult{
		tells(good("d@0"), "of an earlier input"), good("a@1"), tells(bad("b@1", 1), "a failure"), tells(good("c@1"), "a reboot is due"), tells(good("x@1"), "not wanted"),
	}
	got := Notices(wants("a@1", "b@1", "c@1", "d@1", "e@1"), results)
	if diff := cmp.Diff([]string{"c: a reboot is due", "d: of an earlier input"}, got); diff != "" {
		t.Error(diff)
	}
	if due, _ := DueDeployments([]NodeState{node("n", wants("c@1"), results[3])}, nil, epoch); len(due) > 0 {
		t.Errorf("a notice makes %v due", due)
	}
}

func TestDueDeployments(t *testing.T) {
	ab := wants("a@1", "b@1")
	asleep := node("n2", ab)
	asleep.Reachable = false
	coming, fresh, known := asleep, node("n0", ab), node("n1", ab, good("a@0"))
	coming.Coming, fresh.Since, known.Since = true, epoch, epoch
	cases := []struct {
		name  string
		nodes []NodeState
		busy  map[string]bool
		now   time.Duration
		want  string
		next  time.Duration
	}{
		{"nothing", nil, nil, 0, "", 0},
		{"up to date", []NodeState{node("n0", ab, good("a@1"), good("b@1"))}, nil, 0, "", 0},
		{"equal needs together", []NodeState{node("n1", ab), node("n0", ab)}, nil, 0, "[n0 n1]:[a b]", 0},
		{"different needs apart", []NodeState{node("n1", ab), node("n0", ab, good("a@1"))}, nil, 0, "[n0]:[b] [n1]:[a b]", 0},
		{"busy and unreachable left alone", []NodeState{node("n0", ab), node("n1", ab), asleep}, map[string]bool{"n0": true}, 0, "[n1]:[a b]", 0},
		{"failed waits", []NodeState{node("n0", ab, bad("a@1", 1)), node("n1", ab)}, nil, 14 * time.Second, "[n1]:[a b]", 15 * time.Second},
		{"failed runs again with what follows", []NodeState{node("n0", ab, bad("a@1", 1))}, nil, 15 * time.Second, "[n0]:[a b]", 0},
		{"earlier ones do not wait for a failed one", []NodeState{node("n0", ab, bad("b@1", 2))}, nil, 0, "[n0]:[a]", 30 * time.Second},
		{"a new input does not wait", []NodeState{node("n0", ab, bad("a@0", 9))}, nil, 0, "[n0]:[a b]", 0},
		{"a failure that was not counted waits like one", []NodeState{node("n0", ab, bad("a@1", 0))}, nil, 0, "", 15 * time.Second},
		{"the earliest end counts", []NodeState{node("n0", ab, bad("a@1", 3)), node("n1", ab, bad("a@1", 2)), node("n2", ab, bad("a@1", 4))}, nil, 0, "", 30 * time.Second},
		{"a new one waits for one that is coming", []NodeState{fresh, known, coming}, nil, 14 * time.Second, "[n1]:[a b]", Gather},
		{"but not long", []NodeState{fresh, coming}, nil, Gather, "[n0]:[a b]", 0},
		{"and not since a clock that ran ahead", []NodeState{fresh, coming}, nil, -time.Hour, "[n0]:[a b]", 0},
		{"and not for one that may never come", []NodeState{fresh, asleep}, nil, 0, "[n0]:[a b]", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			due, next := DueDeployments(c.nodes, c.busy, epoch.Add(c.now))
			var words []string
			for _, d := range due {
				words = append(words, fmt.Sprintf("%v:%v", d.Nodes, d.Services))
			}
			if got := strings.Join(words, " "); got != c.want {
				t.Errorf("got %s", got)
			}
			if c.next == 0 && !next.IsZero() || c.next != 0 && !next.Equal(epoch.Add(c.next)) {
				t.Errorf("next at %v", next)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	want := map[int32]time.Duration{
		-1: 0, 0: 0, 1: 15 * time.Second, 2: 30 * time.Second, 3: time.Minute, 6: 8 * time.Minute, 7: 10 * time.Minute, 2000000000: 10 * time.Minute,
	}
	for failures, wait := range want {
		if got := Backoff(failures); got != wait {
			t.Errorf("%d: %v", failures, got)
		}
	}
}

// TestAttempt: a deployment's name must differ exactly when another attempt is meant.
func TestAttempt(t *testing.T) {
	attemptOf := func(n NodeState) string {
		due, _ := DueDeployments([]NodeState{n}, nil, epoch.Add(time.Hour))
		return due[0].Attempt
	}
	ab := wants("a@1", "b@1")
	base := node("n0", ab, good("a@0"))
	again := node("n0", ab, good("a@0"))
	if attemptOf(base) != attemptOf(again) || len(attemptOf(base)) != 16 {
		t.Error("the same state has two names")
	}
	noisy := node("n0", ab, good("a@0"), good("other@1"))
	noisy.Results[0].Message = "words change nothing"
	if attemptOf(base) != attemptOf(noisy) {
		t.Error("what does not matter changes the name")
	}
	anew := base
	anew.UID = "made anew"
	later := node("n0", ab, good("a@0"))
	later.Results[0].FinishedAt = metav1.NewTime(epoch.Add(time.Minute))
	seen := map[string]string{attemptOf(base): "base"}
	for name, n := range map[string]NodeState{
		"another input": node("n0", wants("a@2", "b@1"), good("a@0")), "a failure": node("n0", ab, bad("a@1", 1)), "a second failure": node("n0", ab, bad("a@1", 2)),
		"another node": node("n1", ab, good("a@0")), "a node made anew": anew, "back to an earlier input": later, "fewer services": node("n0", wants("a@1"), good("a@0")),
	} {
		if other := seen[attemptOf(n)]; other != "" {
			t.Errorf("%s and %s have one name", name, other)
		}
		seen[attemptOf(n)] = name
	}
}

// drawNodes draws nodes that want subsets of a few services, with results good, bad and stale.
func drawNodes(t *rapid.T) ([]NodeState, map[string]bool) {
	var nodes []NodeState
	busy := map[string]bool{}
	hash := rapid.SampledFrom([]string{"1", "2"})
	for i := range rapid.IntRange(0, 10).Draw(t, "nodes") {
		n := node(fmt.Sprintf("n%02d", i), nil)
		n.Reachable = rapid.IntRange(0, 4).Draw(t, "reachable") > 0
		busy[n.Name] = rapid.IntRange(0, 4).Draw(t, "busy") == 0
		for _, s := range []string{"a", "b", "c", "d"} {
			word := s + "@" + hash.Draw(t, "wanted")
			n.Wanted = append(n.Wanted, wants(word)...)
			switch rapid.IntRange(0, 2).Draw(t, "result") {
			case 1:
				n.Results = append(n.Results, good(s+"@"+hash.Draw(t, "ran with")))
			case 2:
				n.Results = append(n.Results, bad(s+"@"+hash.Draw(t, "failed with"), int32(rapid.IntRange(0, 9).Draw(t, "failures"))))
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, busy
}

func drawNow(t *rapid.T) time.Time {
	return epoch.Add(time.Duration(rapid.IntRange(0, 700).Draw(t, "seconds")) * time.Second)
}

func TestNoNodeIsDueTwiceAndOrderIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, busy := drawNodes(t)
		due, _ := DueDeployments(nodes, busy, drawNow(t))
		seen := map[string]bool{}
		for _, d := range due {
			if !slices.IsSorted(d.Nodes) || !slices.IsSorted(d.Services) || len(d.Services) == 0 {
				t.Fatalf("%+v", d)
			}
			for _, name := range d.Nodes {
				n := nodes[slices.IndexFunc(nodes, func(n NodeState) bool { return n.Name == name })]
				if seen[name] || busy[name] || !n.Reachable {
					t.Fatalf("%s is due twice, busy or unreachable", name)
				}
				seen[name] = true
				if outdated := Outdated(n.Wanted, n.Results); !slices.Equal(d.Services, outdated[:len(d.Services)]) {
					t.Fatalf("%s: due %v of outdated %v", name, d.Services, outdated)
				}
			}
		}
	})
}

func TestDueDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, busy := drawNodes(t)
		now := drawNow(t)
		want, wantNext := DueDeployments(nodes, busy, now)
		got, gotNext := DueDeployments(rapid.Permutation(nodes).Draw(t, "shuffled"), busy, now)
		if diff := cmp.Diff(want, got); diff != "" || !wantNext.Equal(gotNext) {
			t.Fatal(diff)
		}
	})
}

// TestFailuresDelayNobodyElse: what is due on a node does not depend on the others.
func TestFailuresDelayNobodyElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, busy := drawNodes(t)
		now := drawNow(t)
		together, _ := DueDeployments(nodes, busy, now)
		for _, n := range nodes {
			alone, _ := DueDeployments([]NodeState{n}, busy, now)
			var services []string
			for _, d := range together {
				if slices.Contains(d.Nodes, n.Name) {
					services = d.Services
				}
			}
			switch {
			case len(alone) == 0 && services != nil:
				t.Fatalf("%s is due only in company", n.Name)
			case len(alone) == 1 && !slices.Equal(alone[0].Services, services):
				t.Fatalf("%s alone %v, in company %v", n.Name, alone[0].Services, services)
			}
		}
	})
}

// TestEveryOutdatedServiceIsRunInTheEnd carries out what is due, with some failures at first, until nothing is outdated.
func TestEveryOutdatedServiceIsRunInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, _ := drawNodes(t)
		for i := range nodes {
			nodes[i].Reachable = true
		}
		now, trouble, attempts := drawNow(t), 10, map[string]bool{}
		for range 500 {
			due, next := DueDeployments(nodes, nil, now)
			if len(due) == 0 && next.IsZero() {
				break
			}
			for _, d := range due {
				if attempts[d.Attempt] {
					t.Fatalf("attempt %s comes twice", d.Attempt)
				}
				attempts[d.Attempt] = true
				trouble = carryOut(t, d, nodes, now, trouble)
			}
			now = now.Add(time.Second)
			if next.After(now) {
				now = next
			}
		}
		for _, n := range nodes {
			if left := Outdated(n.Wanted, n.Results); len(left) > 0 {
				t.Fatalf("%s still lacks %v", n.Name, left)
			}
		}
	})
}

// carryOut runs a deployment to its end as the deployment controller would; failing up to trouble times.
func carryOut(t *rapid.T, d Due, nodes []NodeState, now time.Time, trouble int) int {
	var runs []Run
	for {
		all, done := Next(d.Services, d.Nodes, runs)
		if done {
			return trouble
		}
		next := all[0]
		r := Run{RunStatus: v1alpha1.RunStatus{Service: next.Service, State: v1alpha1.RunSucceeded}, Nodes: next.Nodes}
		for _, name := range next.Nodes {
			n := &nodes[slices.IndexFunc(nodes, func(n NodeState) bool { return n.Name == name })]
			fails := trouble > 0 && rapid.Bool().Draw(t, "fails")
			if fails {
				trouble--
				r.State, r.FailedNodes = v1alpha1.RunFailed, append(r.FailedNodes, name)
			}
			record(n, next.Service, fails, now)
		}
		runs = append(runs, r)
	}
}

func record(n *NodeState, service string, failed bool, now time.Time) {
	i := slices.IndexFunc(n.Wanted, func(w v1alpha1.ServiceInput) bool { return w.Name == service })
	result := v1alpha1.ServiceResult{Name: service, InputHash: n.Wanted[i].InputHash, Result: v1alpha1.ServiceSucceeded, FinishedAt: metav1.NewTime(now)}
	if failed {
		result.Result, result.Failures = v1alpha1.ServiceFailed, 1
		if last := resultOf(n.Results, service); last != nil && last.InputHash == result.InputHash {
			result.Failures += last.Failures
		}
	}
	n.Results = slices.DeleteFunc(slices.Clone(n.Results), func(r v1alpha1.ServiceResult) bool { return r.Name == service })
	n.Results = append(n.Results, result)
}

func BenchmarkDueDeployments1000x10(b *testing.B) {
	var nodes []NodeState
	for i := range 1000 {
		n := node(fmt.Sprintf("n%04d", i), nil)
		for s := range 10 {
			word := fmt.Sprintf("s%d@%d", s, i)
			n.Wanted = append(n.Wanted, wants(word)...)
			n.Results = append(n.Results, good(word))
		}
		nodes = append(nodes, n)
	}
	outdated := slices.Clone(nodes)
	for i := range outdated {
		outdated[i].Results = nil
	}
	for name, list := range map[string][]NodeState{"at rest": nodes, "all due": outdated} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				DueDeployments(list, nil, epoch)
			}
		})
	}
}
