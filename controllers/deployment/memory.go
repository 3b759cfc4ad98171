package deployment

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// resultsPause is how long plain good results of a deployment wait for others once some were written to its nodes.
	resultsPause = time.Minute
	// resultsFirst is the share of that which the first ones wait.
	resultsFirst = 4
)

// Memory is what an engine keeps of unfinished deployments. Losing it is harmless: the same is read, or looked for, once more.
// It is safe for concurrent use.
type Memory struct {
	pause time.Duration

	mu sync.Mutex
	of map[types.NamespacedName]memory
}

type memory struct {
	snapshot snapshot
	// looked means that owes is known: some results may not be in their nodes yet. wrote is when all were last, saw when the
	// first was seen.
	looked, owes bool
	wrote, saw   time.Time
}

// NewMemory returns an empty memory. pause is how long plain good results wait for others.
func NewMemory(pause time.Duration) *Memory {
	return &Memory{pause: pause, of: map[types.NamespacedName]memory{}}
}

func (m *Memory) get(key types.NamespacedName) memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[key]
}

func (m *Memory) change(key types.NamespacedName, edit func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.of[key]
	edit(&of)
	m.of[key] = of
}

// recall returns the snapshot with the digest.
func (m *Memory) recall(key types.NamespacedName, digest string) (snapshot, bool) {
	found := m.get(key).snapshot
	return found, found.digest != "" && found.digest == digest
}

func (m *Memory) keep(key types.NamespacedName, what snapshot) {
	m.change(key, func(of *memory) { of.snapshot = what })
}

// owe takes down that results were seen which are not in their nodes yet.
func (m *Memory) owe(key types.NamespacedName, now time.Time) {
	m.change(key, func(of *memory) {
		if !of.looked {
			of.saw = now
		}
		of.looked, of.owes = true, true
	})
}

// paid takes down that all results are in their nodes.
func (m *Memory) paid(key types.NamespacedName, now time.Time) {
	m.change(key, func(of *memory) { of.looked, of.owes, of.wrote = true, false, now })
}

// owes reports whether results may be missing in their nodes: always, if any run has ended and an engine before this one saw to it.
func (m *Memory) owes(key types.NamespacedName, ended bool) bool {
	of := m.get(key)
	return of.owes || (ended && !of.looked)
}

// isDue reports whether results that may wait have waited for long enough: a quarter of the pause if none was written yet, so that
// whoever looks sees services succeed soon. What an engine before this one saw has. A clock that was set back keeps nothing waiting.
func (m *Memory) isDue(key types.NamespacedName, now time.Time) bool {
	of := m.get(key)
	if of.wrote.IsZero() {
		return of.saw.IsZero() || now.Sub(of.saw).Abs() >= m.pause/resultsFirst
	}
	return now.Sub(of.wrote).Abs() >= m.pause
}

func (m *Memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, key)
}
