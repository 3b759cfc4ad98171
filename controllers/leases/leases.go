// Package leases takes, judges and gives back the Leases of runs and nodes for
// the controllers. What they mean is in ansible/lease.
//
// A run's leases are taken before it is started, all or none, each by
// compare-and-swap; the run itself renews its Lease from then on. Deleting the
// Lease of a run frees all of its nodes at once. A node's Lease stays between
// runs: it remembers a token.
//
// Runs that follow one another on the same nodes share one Lease, so that the
// next of them costs one write and no look at its nodes. What makes that safe:
// nobody takes a node from a Lease without deleting that Lease first, by
// compare-and-swap, but the engine itself where a run goes on without the node.
// So while a Lease is as this engine last wrote it, given back or not, its nodes
// are still its own. An engine that has not taken them itself takes them anew.
//
// The Leases of many nodes are read in one list, a few pages for thousands. What it
// showed may be old when it is acted on, as what a single read showed may be: every
// write and deletion is of the version that was seen, and fails when there is another.
package leases

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/lease"
)

// Leases are the leases as one engine sees them. It is safe for concurrent use.
type Leases struct {
	// Client writes.
	Client client.Client
	// Live reads uncached: an old Lease would be judged as one that is not renewed.
	Live client.Reader
	// Runner knows the runs of the engine's own store.
	Runner ansible.Runner
	// Store identifies that store, over restarts of the engine.
	Store string
	// Duration of the leases; 0 is for ever, where no other store can be.
	Duration time.Duration
	// Clock measures how long another store's leases have not been renewed.
	Clock clock.PassiveClock

	mu     sync.Mutex
	seen   map[types.NamespacedName]lease.Sighting
	unused map[types.NamespacedName]int64   // tokens of starts that have not happened
	partly map[types.NamespacedName]int64   // tokens of runs that do not hold all of their nodes yet
	held   map[types.NamespacedName]holding // what this engine took by a Lease, and has not lost since
	counts map[string]int                   // Leases of a namespace, by survey
}

// holding is what was taken by a Lease.
type holding struct {
	uid   types.UID
	token int64 // of the last start
	since int64 // the token that the nodes' Leases remember
	nodes map[types.UID]bool
}

// Claim is a run that wants its nodes.
type Claim struct {
	// Namespace of the run.
	Namespace string
	// Key of the Lease that it holds them by, Run the run's own.
	Key, Run string
	// Owner is the object whose run it is.
	Owner metav1.OwnerReference
	// Nodes of the run: references to the DataPlaneNodes.
	Nodes []metav1.OwnerReference
	// Left are, by node, the keys of Leases whose runs go on for other nodes and have nothing left to do on this one: its end
	// there was seen and written down. Only they lose a node while they go on.
	Left map[string][]string
}

// Take takes the leases for a start of a run that this store does not run, and returns the start's tokens by node. While
// the run, or another one on one of its nodes, goes on, nothing is taken and waits says what does.
func (l *Leases) Take(ctx context.Context, c Claim) (tokens map[string]int64, waits string, err error) {
	run, err := l.read(ctx, c.Namespace, lease.RunName(c.Key))
	if err != nil {
		return nil, "", err
	}
	if waits, err = l.goesOn(ctx, run); err != nil || waits != "" {
		return nil, waits, err
	}
	if token := l.tokenLeft(run, c); token > 0 {
		return c.tokens(token), "", nil
	}
	if before, ok := l.still(run, c); ok {
		token := before.token + 1
		if err := l.holdFor(ctx, c, run, token); err != nil {
			return nil, "", err
		}
		l.keep(run, token, before.since, before.nodes)
		return c.tokens(token), "", nil
	}
	return l.takeAll(ctx, c, run)
}

// takeAll takes the Leases of all nodes and the run's own.
func (l *Leases) takeAll(ctx context.Context, c Claim, run *coordinationv1.Lease) (tokens map[string]int64, waits string, err error) {
	nodes, waits, err := l.free(ctx, c)
	if err != nil || waits != "" {
		return nil, waits, err
	}
	token, err := l.holdRun(ctx, c, run, nodes)
	if err != nil {
		return nil, "", err
	}
	taken := l.lose(c, run)
	for i, n := range nodes {
		if lease.Of(n).Holder == run.Name && lease.TokenOf(n) == token {
			continue // by the try before
		}
		n.Labels, n.OwnerReferences = map[string]string{lease.Label: lease.Nodes}, []metav1.OwnerReference{c.Nodes[i]}
		if err := l.hold(ctx, n, run.Name, token, 0); err != nil {
			return nil, "", err
		}
	}
	l.keep(run, token, token, taken)
	return c.tokens(token), "", nil
}

// lose forgets that other Leases have the nodes, before they are written, and returns them.
func (l *Leases) lose(c Claim, run *coordinationv1.Lease) map[types.UID]bool {
	taken := make(map[types.UID]bool, len(c.Nodes))
	for _, n := range c.Nodes {
		taken[n.UID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, h := range l.held {
		if other != client.ObjectKeyFromObject(run) {
			maps.DeleteFunc(h.nodes, func(uid types.UID, _ bool) bool { return taken[uid] })
		}
	}
	return taken
}

// keep remembers what was taken.
func (l *Leases) keep(run *coordinationv1.Lease, token, since int64, nodes map[types.UID]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := client.ObjectKeyFromObject(run)
	delete(l.partly, key)
	if l.held == nil {
		l.held = map[types.NamespacedName]holding{}
	}
	l.held[key] = holding{uid: run.UID, token: token, since: since, nodes: nodes}
}

// still returns what this engine holds by the Lease, if that is all the claim wants and the Lease is as it was written: the
// same object, and no start since.
func (l *Leases) still(run *coordinationv1.Lease, c Claim) (holding, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[client.ObjectKeyFromObject(run)]
	if h.uid == "" || h.uid != run.UID || h.token != lease.TokenOf(run) || h.token+1 >= h.since+lease.Starts {
		return holding{}, false
	}
	return h, !slices.ContainsFunc(c.Nodes, func(n metav1.OwnerReference) bool { return !h.nodes[n.UID] })
}

// holdFor writes the run's own Lease.
func (l *Leases) holdFor(ctx context.Context, c Claim, run *coordinationv1.Lease, token int64) error {
	run.Labels, run.OwnerReferences = map[string]string{lease.Label: lease.Runs}, []metav1.OwnerReference{c.Owner}
	lease.SetRun(run, c.Run)
	return l.hold(ctx, run, l.Store, token, l.Duration)
}

// holdRun takes the run's own Lease and returns the token of the start. One that was taken, and a node after it was not, is
// gone on with: a failure for one node must not write the Leases of all the others again.
func (l *Leases) holdRun(ctx context.Context, c Claim, run *coordinationv1.Lease, nodes []*coordinationv1.Lease) (int64, error) {
	key := client.ObjectKeyFromObject(run)
	l.mu.Lock()
	token := l.partly[key]
	l.mu.Unlock()
	if token != 0 && lease.Of(run).Holder == l.Store && lease.TokenOf(run) == token {
		return token, nil
	}
	last := []int64{lease.TokenOf(run)}
	for _, n := range nodes {
		last = append(last, lease.TokenOf(n)+lease.Starts) // of which those of the starts since it was written are fewer
	}
	token = lease.Token(l.Clock.Now(), last...)
	if err := l.holdFor(ctx, c, run, token); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.partly == nil {
		l.partly = map[types.NamespacedName]int64{}
	}
	l.partly[key] = token
	return token, nil
}

func (c Claim) tokens(token int64) map[string]int64 {
	tokens := make(map[string]int64, len(c.Nodes))
	for _, n := range c.Nodes {
		tokens[n.Name] = token
	}
	return tokens
}

// Unused says that the start a run's leases were taken for has not happened. The next one may have its token.
func (l *Leases) Unused(c Claim, tokens map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unused == nil {
		l.unused = map[types.NamespacedName]int64{}
	}
	for _, token := range tokens {
		l.unused[types.NamespacedName{Namespace: c.Namespace, Name: lease.RunName(c.Key)}] = token
	}
}

// tokenLeft is a token that the run still holds and no start has used; 0 when there is none. Nobody takes a node from a
// run that has not begun without ending the run's own Lease first, so that one alone tells.
func (l *Leases) tokenLeft(run *coordinationv1.Lease, c Claim) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := client.ObjectKeyFromObject(run)
	token := l.unused[key]
	delete(l.unused, key)
	if lease.Of(run).Holder != l.Store || lease.TokenOf(run) != token || lease.RunOf(run) != c.Run {
		return 0
	}
	return token
}

// isOf reports whether the Lease is that of one of the runs.
func isOf(name string, keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return lease.RunName(key) == name })
}

// Rest gives back a Lease whose run has ended, for the next run to take it or others its nodes. While another store runs it,
// nothing is given back and waits says so.
func (l *Leases) Rest(ctx context.Context, namespace, key string) (waits string, err error) {
	run, err := l.read(ctx, namespace, lease.RunName(key))
	if err != nil {
		return "", err
	}
	if waits, err := l.goesOn(ctx, run); err != nil || waits != "" {
		return waits, err
	}
	if l.Duration == 0 || lease.Of(run).Holder != l.Store {
		return "", nil // nobody else could take it, or it is not this store's to give
	}
	lease.GiveBack(run)
	return "", l.Client.Update(ctx, run)
}

// Release deletes a Lease that no run needs any more. While another store runs one, nothing is done and waits says so.
func (l *Leases) Release(ctx context.Context, namespace, key string) (waits string, err error) {
	return l.end(ctx, namespace, lease.RunName(key))
}

// Cancel is Release for a run that is not wanted any more: another store that runs it is asked to end it.
func (l *Leases) Cancel(ctx context.Context, namespace, key string) (waits string, err error) {
	waits, err = l.Release(ctx, namespace, key)
	if err != nil || waits == "" {
		return waits, err
	}
	run, err := l.read(ctx, namespace, lease.RunName(key))
	if err != nil || lease.Of(run).Holder == "" || lease.Of(run).Cancelled {
		return waits, err
	}
	lease.Cancel(run)
	return waits, l.Client.Update(ctx, run)
}

// User says which run a node has; "" when it has none, or has left it: left are the keys of Leases whose runs go on without it.
func (l *Leases) User(ctx context.Context, node types.NamespacedName, left []string) (string, error) {
	own, err := l.read(ctx, node.Namespace, lease.NodeName(node.Name))
	if err != nil {
		return "", err
	}
	holder := lease.Of(own).Holder
	if holder == "" || isOf(holder, left) {
		return "", nil
	}
	run, err := l.read(ctx, node.Namespace, holder)
	if err != nil {
		return "", err
	}
	return l.goesOn(ctx, run)
}

// Forget deletes the Lease of a node that is no more.
func (l *Leases) Forget(ctx context.Context, node types.NamespacedName) error {
	own, err := l.read(ctx, node.Namespace, lease.NodeName(node.Name))
	if err != nil || own.ResourceVersion == "" {
		return err
	}
	return l.drop(ctx, own)
}

// end deletes a run's Lease unless the run goes on.
func (l *Leases) end(ctx context.Context, namespace, name string) (waits string, err error) {
	run, err := l.read(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	return l.endRun(ctx, run)
}

// endRun deletes a run's Lease, as it was read, unless the run goes on.
func (l *Leases) endRun(ctx context.Context, run *coordinationv1.Lease) (waits string, err error) {
	if run.ResourceVersion == "" {
		return "", nil
	}
	if waits, err := l.goesOn(ctx, run); err != nil || waits != "" {
		return waits, err
	}
	return "", l.drop(ctx, run)
}

// goesOn says who runs the run and since when; "" when nobody does any more.
func (l *Leases) goesOn(ctx context.Context, run *coordinationv1.Lease) (string, error) {
	r, now := lease.Of(run), l.Clock.Now()
	where := "at " + r.Holder
	switch r.Stands(l.Store, l.sight(run, now), now) {
	case lease.Over, lease.Expired:
		return "", nil
	case lease.Own:
		status, err := l.Runner.Status(ctx, lease.RunOf(run))
		if err != nil || status.State != ansible.Running {
			return "", err
		}
		where = "here"
	case lease.Elsewhere:
	}
	since := ""
	if at := run.Spec.AcquireTime; at != nil { // else it was written by hand
		since = " since " + at.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("waits for the run of %s, which goes on %s%s (Lease %s)", ownerOf(run), where, since, run.Name), nil
}

func ownerOf(l *coordinationv1.Lease) string {
	for _, o := range l.OwnerReferences {
		return o.Kind + " " + o.Name
	}
	return "a deployment that is gone"
}

// sight remembers since when the Lease is as it is.
func (l *Leases) sight(run *coordinationv1.Lease, now time.Time) lease.Sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := client.ObjectKeyFromObject(run)
	if lease.Of(run).Holder == "" {
		delete(l.seen, key)
		return lease.Sighting{}
	}
	if l.seen == nil {
		l.seen = map[types.NamespacedName]lease.Sighting{}
	}
	l.seen[key] = lease.See(l.seen[key], run.ResourceVersion, now)
	return l.seen[key]
}

// read returns a Lease; one without a version when there is none.
func (l *Leases) read(ctx context.Context, namespace, name string) (*coordinationv1.Lease, error) {
	found := &coordinationv1.Lease{}
	err := l.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, found)
	if apierrors.IsNotFound(err) {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Lease %s/%s: %w", namespace, name, err)
	}
	return found, nil
}

// hold writes a Lease as it was read, or makes it.
func (l *Leases) hold(ctx context.Context, what *coordinationv1.Lease, holder string, token int64, d time.Duration) error {
	lease.Hold(what, holder, token, d, l.Clock.Now())
	if what.ResourceVersion == "" {
		l.count(what.Namespace, l.known(what.Namespace)+1)
		return l.Client.Create(ctx, what)
	}
	return l.Client.Update(ctx, what)
}

// drop deletes a Lease as it was read: one that was renewed or taken since stays.
func (l *Leases) drop(ctx context.Context, what *coordinationv1.Lease) error {
	l.mu.Lock()
	delete(l.held, client.ObjectKeyFromObject(what))
	l.mu.Unlock()
	err := l.Client.Delete(ctx, what, client.Preconditions{UID: &what.UID, ResourceVersion: &what.ResourceVersion})
	return client.IgnoreNotFound(err)
}
