package local

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// bounds are what a run may take. The engine writes them into the order, the supervisor keeps them.
type bounds struct {
	// Namespace whose slot the run holds.
	Namespace string
	// Timeout of the run.
	Timeout time.Duration
	// EventBytes is how large the file of its events may be.
	EventBytes int64
}

const (
	// eventBytes and eventBytesOfNode bound the events. The callback stops telling of progress long before (its
	// EVENTS_LIMIT); what it must tell of a node afterwards is far smaller. Only a playbook that writes there itself gets here.
	eventBytes, eventBytesOfNode = 64 << 20, 4 << 10
	// eventPoll is how often their size is looked at.
	eventPoll = time.Second
)

func boundsOf(r ansible.Run) bounds {
	b := bounds{Namespace: r.Namespace, Timeout: r.Timeout, EventBytes: eventBytes + eventBytesOfNode*int64(len(r.Nodes))}
	if b.Timeout <= 0 {
		b.Timeout = v1alpha1.DefaultRunTimeoutSeconds * time.Second
	}
	return b
}

// taskTimeout is the run's limit for a task as Ansible takes it: whole seconds, and 0 would be none.
func taskTimeout(r ansible.Run) string {
	if r.TaskTimeout <= 0 {
		return strconv.Itoa(v1alpha1.DefaultTaskTimeoutSeconds)
	}
	return strconv.Itoa(max(1, int(r.TaskTimeout/time.Second)))
}

// deadline is the guard that ends a run that takes too long. The clock is the supervisor's monotonic one: neither the
// engine's death nor a clock that is set moves it.
func (b bounds) deadline(ctx context.Context) error {
	timer := time.NewTimer(b.Timeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return fmt.Errorf("the run had not ended after %s and was stopped: if it may take longer, raise spec.runTimeoutSeconds of the DataPlaneService", b.Timeout)
	}
}

// smallEvents is the guard that ends a run that fills the disk through its events.
func (b bounds) smallEvents(path string) guard {
	return func(ctx context.Context) error {
		poll := time.NewTicker(eventPoll)
		defer poll.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-poll.C:
				if info, err := os.Lstat(path); err == nil && info.Size() > b.EventBytes {
					return fmt.Errorf("the run was stopped: it wrote %d bytes into the file of its events, more than its nodes can need", info.Size())
				}
			}
		}
	}
}
