package local

import "github.com/rackplane/rackplane/fault"

// slots decides whose run may start. No namespace can keep the others out: each has at most perNamespace slots, and one that
// was refused and has fewer runs than the one that asks comes first.
type slots struct {
	total, perNamespace int
	// waiting are the namespaces that were refused a free slot, with how often others wait for them before they are
	// forgotten: the run that asked may be gone.
	waiting map[string]int
}

// patience is how often others wait for a namespace that does not ask again.
const patience = 30

func newSlots(total, perNamespace int) *slots {
	return &slots{total: total, perNamespace: min(perNamespace, total), waiting: map[string]int{}}
}

// goingOn is a run that goes on. One that is idle waits more than it works.
type goingOn struct {
	namespace string
	idle      bool
}

// used counts the slots that runs take, by namespace. Idle ones take none: a node that hangs must not keep its namespace
// waiting. No namespace has more of these than it may have slots, and all together have no more than there are: those beyond that
// take slots like any other.
func (s *slots) used(runs []goingOn) map[string]int {
	used, idle, all := map[string]int{}, map[string]int{}, 0
	for _, run := range runs {
		if run.idle && idle[run.namespace] < s.perNamespace && all < s.total {
			idle[run.namespace]++
			all++
			continue
		}
		used[run.namespace]++
	}
	return used
}

// take lets the namespace start one more run, or says why not. running counts the runs that take slots, by namespace. The
// namespace's people read the message: it tells them nothing of others but how many slots those use.
func (s *slots) take(namespace string, running map[string]int) error {
	own, used := running[namespace], 0
	for _, n := range running {
		used += n
	}
	switch {
	case own >= s.perNamespace:
		return fault.New(fault.Busy, "waits for a run of namespace %s to end: all its %d Ansible slots are in use", namespace, own)
	case used >= s.total && own == 0:
		s.waiting[namespace] = patience
		return fault.New(fault.Busy, "all %d Ansible slots are in use by other namespaces", used)
	case used >= s.total:
		s.waiting[namespace] = patience
		return fault.New(fault.Busy, "all %d Ansible slots are in use, %d by namespace %s and %d by others", used, own, namespace, used-own)
	case s.first(namespace, running) >= s.total-used:
		return fault.New(fault.Busy, "the next free Ansible slot is for another namespace, which has fewer runs")
	}
	delete(s.waiting, namespace)
	return nil
}

// first counts the namespaces that come before this one.
func (s *slots) first(namespace string, running map[string]int) int {
	n := 0
	for other, left := range s.waiting {
		if other == namespace || running[other] >= running[namespace] {
			continue
		}
		if left == 0 {
			delete(s.waiting, other)
			continue
		}
		s.waiting[other]--
		n++
	}
	return n
}
