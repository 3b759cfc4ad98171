package provisionertest

import (
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
)

// What a Fault can be on, beside the actions' names.
const (
	CallObserve   = "Observe"
	CallInventory = "Inventory"

	// Bad outcomes: the call succeeds and the work fails later, with Fault.Message as Ironic's last_error.
	FailVerify   = "verify fails"
	FailInspect  = "inspection fails"
	FailClean    = "cleaning fails"
	FailDeploy   = "deployment fails"
	FailUndeploy = "tear down fails"
	FailAdopt    = "adoption fails"
	FailPower    = "power change fails"
	// FailShutdown: the system does not shut down when it is asked to.
	FailShutdown = "soft power off fails"
)

// ChecksumMismatch is what Ironic says when the image is not what its checksum promised (ironic 39.0.0,
// ironic/common/exception.py: ImageChecksumError; the agent's wording comes inside its command failure).
const ChecksumMismatch = "Deploy step deploy.write_image failed: Image failed to verify against checksum."

// Fault makes something go wrong.
type Fault struct {
	// Host is namespace/name; empty means every host.
	Host string
	// On is CallObserve, CallInventory, an action's name, or a Fail constant; empty means every call.
	On string
	// Kind of error a call gives without doing anything; empty means Transient. Not for Fail constants.
	Kind fault.Kind
	// Lost, when set, is returned by Do after the action was done all the same: the answer got lost.
	Lost error
	// Message of the error, or Ironic's last_error.
	Message string
	// Times it happens: 0 means once, negative for ever.
	Times int
}

// Inject adds a fault. Faults are used up in the order they were added.
func (s *Simulator) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Heal removes every fault.
func (s *Simulator) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault uses up the first fault that fits a call.
func (s *Simulator) fault(host provisioner.HostID, call string) *Fault {
	return s.use(host, func(f *Fault) bool { return f.On == call || f.On == "" })
}

func (s *Simulator) use(host provisioner.HostID, fits func(*Fault) bool) *Fault {
	for i, f := range s.faults {
		if (f.Host != "" && f.Host != host.String()) || !fits(f) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		if f.Times == 0 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return f
	}
	return nil
}

// outcome is the message a piece of work fails with; empty when it succeeds.
func (s *Simulator) outcome(n *node, what string) string {
	f := s.use(n.want.Host, func(f *Fault) bool { return f.On == what })
	if f == nil {
		return ""
	}
	if f.Message == "" {
		return what
	}
	return f.Message
}

func (f *Fault) err() error {
	kind := f.Kind
	if kind == "" {
		kind = fault.Transient
	}
	message := f.Message
	if message == "" {
		message = "injected"
	}
	return fault.New(kind, "%s", message)
}
