// Package rollout decides which services run on which nodes, and when.
//
// It is pure. Every node has, per service, a wanted input hash and the last
// result; a service is outdated while the last good result is for another
// hash. Outdated services run in the set's order. A service that fails on a
// node keeps that node from the later services of the same deployment and is
// tried again after a backoff; it never keeps another node from anything.
// Nothing is due on a node that is in an unfinished deployment or does not
// answer, and no node is due twice at once. A node on which nothing ever ran
// waits a moment for others that are on their way.
package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

const (
	// BackoffBase is the wait after the first failure of a service on a node; it doubles with each further one.
	BackoffBase = 15 * time.Second
	// BackoffMax bounds the wait.
	BackoffMax = 10 * time.Minute
	// Gather is how long a new node waits for others of its set that are still to answer, so that one deployment serves them:
	// servers that are imaged together boot within seconds of each other.
	Gather = 15 * time.Second
)

// NodeState is what is known of a node's services.
type NodeState struct {
	// Name of the DataPlaneNode.
	Name string
	// UID of the DataPlaneNode: one that was made anew under its old name is another node. May be empty offline.
	UID types.UID
	// Reachable means the node is deployed and answers; otherwise nothing is due on it.
	Reachable bool
	// Since is when it became so.
	Since time.Time
	// Coming means it is not reachable and is being made so.
	Coming bool
	// Wanted inputs in run order.
	Wanted []v1alpha1.ServiceInput
	// Results of the last runs, at most one per service.
	Results []v1alpha1.ServiceResult
}

// Due is a deployment to be made: some services on some nodes.
type Due struct {
	// Nodes, sorted.
	Nodes []string
	// Services in run order.
	Services []string
	// Attempt is 16 hex characters made from the nodes, their wanted inputs and their last results. It is the same
	// until one of these changes, so a deployment named by it is made once, and differs for the next attempt.
	Attempt string
}

// Outdated are the services without a good result for the wanted input, in run order.
func Outdated(wanted []v1alpha1.ServiceInput, results []v1alpha1.ServiceResult) []string {
	var out []string
	for i, w := range wanted {
		var r *v1alpha1.ServiceResult
		if i < len(results) && results[i].Name == w.Name { // as on most nodes: no need to look through all for each
			r = &results[i]
		} else {
			r = resultOf(results, w.Name)
		}
		if r == nil || r.InputHash != w.InputHash || r.Result != v1alpha1.ServiceSucceeded {
			out = append(out, w.Name)
		}
	}
	return out
}

// Stands reports whether what ran on a node holds although services are to run again: all of these are global, so that what they
// tell of other nodes has changed, and each last ran well; and one of the node's own ran with its wanted input, which speaks of
// this very server. It holds just as well when nothing is to run.
func Stands(wanted []v1alpha1.ServiceInput, results []v1alpha1.ServiceResult, global map[string]bool) bool {
	own := false
	for _, w := range wanted {
		switch r := resultOf(results, w.Name); {
		case r == nil || r.Result != v1alpha1.ServiceSucceeded:
			return false
		case r.InputHash == w.InputHash:
			own = own || !global[w.Name]
		case !global[w.Name]:
			return false
		}
	}
	return own
}

// Notices are what the last results that are good have to tell, each behind its service's name, in run order. One that
// was made for an earlier input counts: what it tells holds until the service runs again. None is a reason to run anything.
func Notices(wanted []v1alpha1.ServiceInput, results []v1alpha1.ServiceResult) []string {
	var out []string
	for _, w := range wanted {
		if r := resultOf(results, w.Name); r != nil && r.Result == v1alpha1.ServiceSucceeded && r.Message != "" {
			out = append(out, w.Name+": "+r.Message)
		}
	}
	return out
}

// DueDeployments are the deployments to make now, one per group of nodes with the same services due, sorted by their
// first node. Nodes in busy are left alone. next is when the earliest wait among the other nodes ends; zero when nothing
// waits for time.
func DueDeployments(nodes []NodeState, busy map[string]bool, now time.Time) (due []Due, next time.Time) {
	groups := map[string][]NodeState{}
	coming := slices.ContainsFunc(nodes, func(n NodeState) bool { return n.Coming })
	for _, n := range nodes {
		if busy[n.Name] || !n.Reachable {
			continue
		}
		services, wait := dueOn(n, now)
		if gathered := n.Since.Add(Gather); coming && len(n.Results) == 0 && gathered.After(now) && gathered.Sub(now) <= Gather {
			services, wait = nil, gathered
		}
		if !wait.IsZero() && (next.IsZero() || wait.Before(next)) {
			next = wait
		}
		if len(services) > 0 {
			key := strings.Join(services, "\n")
			groups[key] = append(groups[key], n)
		}
	}
	for services, members := range groups {
		due = append(due, dueFor(strings.Split(services, "\n"), members))
	}
	slices.SortFunc(due, func(a, b Due) int { return strings.Compare(a.Nodes[0], b.Nodes[0]) })
	return due, next
}

// dueOn are the outdated services up to the first that is backing off, and when that one's backoff ends. What comes
// after it waits too: services build on the ones before them. An end further away than any backoff was written by a clock
// that ran ahead, and keeps nothing waiting.
func dueOn(n NodeState, now time.Time) (services []string, wait time.Time) {
	services = Outdated(n.Wanted, n.Results)
	for i, name := range services {
		if at := retryAt(n, name); at.After(now) && at.Sub(now) <= BackoffMax {
			return services[:i], at
		}
	}
	return services, time.Time{}
}

// retryAt is when an outdated service that failed with the wanted input may run again; zero when it never ran with it.
func retryAt(n NodeState, service string) time.Time {
	i := slices.IndexFunc(n.Wanted, func(w v1alpha1.ServiceInput) bool { return w.Name == service })
	r := resultOf(n.Results, service)
	if r == nil || r.InputHash != n.Wanted[i].InputHash {
		return time.Time{}
	}
	return r.FinishedAt.Add(Backoff(max(r.Failures, 1)))
}

// Backoff is the wait after that many failures in a row: BackoffBase doubled each time, at most BackoffMax; 0 for none.
func Backoff(failures int32) time.Duration {
	if failures <= 0 {
		return 0
	}
	wait := BackoffBase
	for i := int32(1); i < failures && wait < BackoffMax; i++ {
		wait *= 2
	}
	return min(wait, BackoffMax)
}

func dueFor(services []string, members []NodeState) Due {
	slices.SortFunc(members, func(a, b NodeState) int { return strings.Compare(a.Name, b.Name) })
	d := Due{Services: services}
	for _, n := range members {
		d.Nodes = append(d.Nodes, n.Name)
	}
	d.Attempt = attempt(services, members)
	return d
}

// attempt hashes what decides about the services on the nodes. The results' end times are part of it: going back to an
// earlier input must not look like the deployment that once ran it.
func attempt(services []string, members []NodeState) string {
	type node struct {
		Name    string
		UID     types.UID
		Wanted  []v1alpha1.ServiceInput
		Results []v1alpha1.ServiceResult
	}
	in := struct {
		Services []string
		Nodes    []node
	}{Services: services}
	for _, m := range members {
		n := node{Name: m.Name, UID: m.UID}
		for _, s := range services {
			i := slices.IndexFunc(m.Wanted, func(w v1alpha1.ServiceInput) bool { return w.Name == s })
			n.Wanted = append(n.Wanted, m.Wanted[i])
			if r := resultOf(m.Results, s); r != nil {
				last := *r
				last.Message = ""
				n.Results = append(n.Results, last)
			}
		}
		in.Nodes = append(in.Nodes, n)
	}
	return digest(in)
}

// Digest identifies words: 16 hex characters, others for any other words.
func Digest(words []string) string { return digest(words) }

// digest is the first 16 hex characters of the SHA-256 of v as JSON, in which maps are sorted. Callers hash plain data;
// should a value be no JSON after all, the error stands for it, so that it is not taken for nothing.
func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte(err.Error())
	}
	return identify(data)
}

// identify returns 16 hex characters of the data's SHA-256.
func identify(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:16]
}

func resultOf(results []v1alpha1.ServiceResult, service string) *v1alpha1.ServiceResult {
	for i := range results {
		if results[i].Name == service {
			return &results[i]
		}
	}
	return nil
}
