package leases

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/lease"
)

const (
	// few is how many nodes' Leases are read one by one, however few others there are.
	few = 8
	// listShare is how many Leases of the namespace may be listed for one that is wanted: of most nodes that a read finds none of,
	// the answer is that much smaller than a Lease.
	listShare = 4
	// page is how many Leases one answer of that list holds.
	page = 500
)

// survey is what one claim sees of a namespace's Leases. It may be a moment old when they are written: every write and every
// deletion is of the version that was seen here.
type survey struct {
	*Leases
	namespace string
	listed    bool
	found     map[string]*coordinationv1.Lease // by name; once listed, all there are
	over      map[string]bool                  // runs that were seen to have ended, and whose Leases are gone
}

// look begins a survey for a claim.
func (l *Leases) look(ctx context.Context, c Claim) (*survey, error) {
	s := &survey{Leases: l, namespace: c.Namespace, found: map[string]*coordinationv1.Lease{}, over: map[string]bool{}}
	if len(c.Nodes) <= few || l.known(c.Namespace) > listShare*len(c.Nodes) {
		return s, nil
	}
	s.listed = true
	for next := ""; ; {
		var list coordinationv1.LeaseList
		if err := l.Live.List(ctx, &list, client.InNamespace(c.Namespace), client.Limit(page), client.Continue(next)); err != nil {
			return nil, fmt.Errorf("list Leases in %s: %w", c.Namespace, err)
		}
		for i := range list.Items {
			s.found[list.Items[i].Name] = &list.Items[i]
		}
		if next = list.Continue; next == "" {
			l.count(c.Namespace, len(s.found))
			return s, nil
		}
	}
}

// known returns about how many Leases a namespace has: what the last list has shown, and those that were made since.
func (l *Leases) known(namespace string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[namespace]
}

// count takes down how many there are.
func (l *Leases) count(namespace string, leases int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[namespace] = leases
}

// read returns a Lease as the survey has seen it; one without a version when there is none.
func (s *survey) read(ctx context.Context, name string) (*coordinationv1.Lease, error) {
	found, ok := s.found[name]
	switch {
	case ok:
		return found, nil
	case s.listed:
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}, nil
	}
	found, err := s.Leases.read(ctx, s.namespace, name)
	if err != nil {
		return nil, err
	}
	s.found[name] = found
	return found, nil
}

// end deletes a run's Lease unless the run goes on. Nodes whose last run is the same have it asked for once.
func (s *survey) end(ctx context.Context, name string) (waits string, err error) {
	if s.over[name] {
		return "", nil
	}
	run, err := s.read(ctx, name)
	if err != nil {
		return "", err
	}
	if waits, err := s.endRun(ctx, run); err != nil || waits != "" {
		return waits, err
	}
	s.over[name] = true
	return "", nil
}

// free returns the Leases of the claim's nodes once none of them has another run.
func (l *Leases) free(ctx context.Context, c Claim) (nodes []*coordinationv1.Lease, waits string, err error) {
	seen, err := l.look(ctx, c)
	if err != nil {
		return nil, "", err
	}
	for _, ref := range c.Nodes {
		node, err := seen.read(ctx, lease.NodeName(ref.Name))
		if err != nil {
			return nil, "", err
		}
		holder := lease.Of(node).Holder
		if holder != "" && holder != lease.RunName(c.Key) && !isOf(holder, c.Left[ref.Name]) {
			if waits, err := seen.end(ctx, holder); err != nil || waits != "" {
				return nil, "node " + ref.Name + ": " + waits, err
			}
		}
		nodes = append(nodes, node)
	}
	return nodes, "", nil
}
