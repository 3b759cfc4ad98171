package provisionertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/secret"
)

var _ provisioner.Provisioner = (*Simulator)(nil)

// Simulator is an in-memory Ironic with its servers. Safe for concurrent use. Make one with New.
type Simulator struct {
	mu     sync.Mutex
	now    func() time.Time
	step   time.Duration
	nodes  map[string]*node
	bmcs   map[string]login
	images map[provisioner.Image]string
	faults []*Fault
	calls  []Call
	made   int
}

type login struct{ user, password secret.Value }

// node is one server's record. Steps under way are in todo.
type node struct {
	provisioner.Observation
	want     provisioner.Want // as of the last Register or Deploy
	drive    provisioner.ConfigDrive
	hardware metal3v1alpha1.HardwareDetails
	todo     []step
}

// step is a change that happens at a time.
type step struct {
	at    time.Time
	apply func(*node)
}

// Call is one call that reached the simulator.
type Call struct {
	Host provisioner.HostID
	// What is an action's name, "Observe" or "Inventory".
	What string
	// Effect: the call changed something or started it.
	Effect bool
	// Image that a Deploy with effect started to write.
	Image string
}

// Node is a copy of what the simulator holds of a server.
type Node struct {
	provisioner.Observation
	// Drive is the config drive of the last deployment.
	Drive provisioner.ConfigDrive
}

// New returns an empty simulator. Each step of an action takes stepTime by the clock; 0 is fine.
func New(now func() time.Time, stepTime time.Duration) *Simulator {
	return &Simulator{
		now: now, step: stepTime,
		nodes: map[string]*node{}, bmcs: map[string]login{}, images: map[provisioner.Image]string{},
	}
}

// SetBMC makes the BMC at the address accept only this login. A BMC that was never set accepts every login.
func (s *Simulator) SetBMC(address string, user, password secret.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bmcs[address] = login{user, password}
}

// BreakImage makes every deployment of exactly this image fail with the message; an empty message mends it.
func (s *Simulator) BreakImage(image provisioner.Image, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[image] = message
}

// Forget loses every record, as an Ironic without a database does. The servers keep running.
func (s *Simulator) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.nodes)
}

// Set puts a server into any condition, for tests that start in the middle; nothing is under way afterwards. A zero
// state forgets it.
func (s *Simulator) Set(host provisioner.HostID, o provisioner.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.State == provisioner.StateAbsent {
		delete(s.nodes, host.String())
		return
	}
	if o.Since.IsZero() {
		o.Since = s.now()
	}
	s.nodes[host.String()] = &node{Observation: o, hardware: Hardware()}
}

// Node returns a copy of a server's record.
func (s *Simulator) Node(host provisioner.HostID) (Node, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.nodes[host.String()]
	if !ok {
		return Node{}, false
	}
	s.advance(n)
	return Node{Observation: n.copy(), Drive: n.drive}, true
}

// Calls returns the log so far.
func (s *Simulator) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Effects counts the calls of a host that had an effect, by action.
func (s *Simulator) Effects(host provisioner.HostID) map[provisioner.Action]int {
	counts := map[provisioner.Action]int{}
	for _, c := range s.Calls() {
		if c.Effect && c.Host.String() == host.String() {
			counts[provisioner.Action(c.What)]++
		}
	}
	return counts
}

// Hardware is what inspection finds on every simulated server.
func Hardware() metal3v1alpha1.HardwareDetails {
	return metal3v1alpha1.HardwareDetails{
		SystemVendor: metal3v1alpha1.HardwareSystemVendor{Manufacturer: "Rackplane", ProductName: "Simulated"},
		RAMMebibytes: 262144,
		CPU:          metal3v1alpha1.CPU{Arch: "x86_64", Count: 32, Flags: []string{"lm", "vmx"}},
		NIC:          []metal3v1alpha1.NIC{{Name: "nic0", MAC: "52:54:00:00:00:01", SpeedGbps: 25, PXE: true}},
		Storage: []metal3v1alpha1.Storage{{
			Name: "/dev/sda", AlternateNames: []string{"/dev/disk/by-path/pci-0000:00:05.0"}, SizeBytes: 480 * metal3v1alpha1.GigaByte, Type: metal3v1alpha1.SSD,
		}},
	}
}

// Words implements provisioner.Provisioner.
func (s *Simulator) Words() provisioner.Words {
	return provisioner.Words{
		Service: "Ironic", Delete: "baremetal node delete {node}", EndMaintenance: "baremetal node maintenance unset",
		Unhold: "baremetal node unhold", Unrescue: "baremetal node unrescue", Abort: "baremetal node abort",
	}
}

// Observe implements provisioner.Provisioner.
func (s *Simulator) Observe(ctx context.Context, host provisioner.HostID) (provisioner.Observation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.enter(ctx, host, CallObserve)
	if err != nil {
		return provisioner.Observation{}, err
	}
	o := n.copy()
	o.Now = s.now()
	return o, nil
}

// Inventory implements provisioner.Provisioner.
func (s *Simulator) Inventory(ctx context.Context, host provisioner.HostID) (metal3v1alpha1.HardwareDetails, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.enter(ctx, host, CallInventory)
	if err != nil {
		return metal3v1alpha1.HardwareDetails{}, err
	}
	if n.Inspected.IsZero() {
		return metal3v1alpha1.HardwareDetails{}, fault.New(fault.Missing, "BareMetalHost %s was never inspected", host)
	}
	return *n.hardware.DeepCopy(), nil
}

// enter logs a read, fails it if a fault says so and returns the record as of now.
func (s *Simulator) enter(ctx context.Context, host provisioner.HostID, what string) (*node, error) {
	s.calls = append(s.calls, Call{Host: host, What: what})
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Transient, err, "simulator")
	}
	if f := s.fault(host, what); f != nil {
		return nil, f.err()
	}
	n, ok := s.nodes[host.String()]
	if !ok {
		return nil, fault.New(fault.Missing, "BareMetalHost %s is not registered", host)
	}
	s.advance(n)
	return n, nil
}

// Do implements provisioner.Provisioner.
func (s *Simulator) Do(ctx context.Context, want provisioner.Want, action provisioner.Action) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Host: want.Host, What: string(action)})
	call := &s.calls[len(s.calls)-1]
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Transient, err, "simulator")
	}
	if f := s.fault(want.Host, string(action)); f != nil && f.Lost == nil {
		return f.err()
	} else if f != nil {
		if err := s.do(want, action, call); err != nil {
			return err
		}
		return f.Lost
	}
	return s.do(want, action, call)
}

func (s *Simulator) do(want provisioner.Want, action provisioner.Action, call *Call) error {
	n, ok := s.nodes[want.Host.String()]
	state := provisioner.StateAbsent
	if ok {
		s.advance(n)
		state = n.State
		if n.HostUID != "" && n.HostUID != want.Host.UID && action != provisioner.TakeOver {
			return fault.New(fault.Rejected, "BareMetalHost %s: the node belongs to another host", want.Host)
		}
	}
	switch action.In(state) {
	case provisioner.Already:
		if action == provisioner.Deploy && (n.Image == nil || *n.Image != *want.Image) {
			return fault.New(fault.Lost, "BareMetalHost %s: another image is on its way", want.Host)
		}
		return nil
	case provisioner.Impossible:
		return impossible(want, action, state)
	case provisioner.Starts:
	}
	if err := refused(n, want, action); err != nil {
		return err
	}
	call.Effect = s.start(n, want, action)
	if call.Effect && action == provisioner.Deploy {
		call.Image = want.Image.URL
	}
	return nil
}

// impossible is why an action does not fit the state.
func impossible(want provisioner.Want, action provisioner.Action, state provisioner.NodeState) error {
	switch {
	case state == provisioner.StateAbsent:
		return fault.New(fault.Missing, "BareMetalHost %s is not registered", want.Host)
	case action == provisioner.Register:
		return fault.New(fault.Busy, "BareMetalHost %s: settings cannot change in state %s", want.Host, state)
	default:
		return fault.New(fault.Lost, "BareMetalHost %s: %s is not possible in state %s", want.Host, action, state)
	}
}

// refused is why an action that changes who has what on the server is not done.
func refused(n *node, want provisioner.Want, action provisioner.Action) error {
	if action == provisioner.TakeOver {
		same := n.Deployment == "" || n.Deployment == want.Deployment || n.Holding() == want.GivenUp
		if n.Server != want.Server() || !same {
			return fault.New(fault.Rejected, "BareMetalHost %s: the node belongs to another host", want.Host)
		}
	}
	if action == provisioner.Mark && n.Deployment != "" && n.Deployment != want.Deployment {
		return fault.New(fault.Rejected, "BareMetalHost %s: the node holds deployment %s", want.Host, n.Deployment)
	}
	return nil
}

// keep records who has what on the server and reports whether that was news.
func (n *node) keep(want provisioner.Want, action provisioner.Action) bool {
	before := n.Observation
	if action == provisioner.TakeOver {
		n.HostUID, n.Registration = want.Host.UID, ""
		return n.Observation != before
	}
	n.Deployment, n.NotOurs = "", false
	if action == provisioner.Mark {
		n.Deployment, n.NotOurs = want.Deployment, want.External
	}
	return n.Observation != before
}

// start begins an action that fits and reports whether it had an effect.
func (s *Simulator) start(n *node, want provisioner.Want, action provisioner.Action) bool {
	switch action {
	case provisioner.Register:
		return s.register(n, want)
	case provisioner.TakeOver, provisioner.Mark, provisioner.Vacate:
		return n.keep(want, action)
	case provisioner.Delete:
		delete(s.nodes, want.Host.String())
		return true
	case provisioner.Repair:
		had := n.Maintenance
		n.Maintenance, n.Fault, n.MaintenanceReason = false, "", ""
		return had
	case provisioner.SwitchOn:
		return s.power(n, provisioner.PowerOn, action)
	case provisioner.SwitchOff, provisioner.CutPower:
		return s.power(n, provisioner.PowerOff, action)
	case provisioner.Manage, provisioner.Inspect, provisioner.Provide, provisioner.Deploy, provisioner.Undeploy, provisioner.Adopt,
		provisioner.Abort:
		n.LastError = ""
		s.begin(n, want, action)
		return true
	}
	return false
}

func (s *Simulator) register(n *node, want provisioner.Want) bool {
	changed := n == nil
	if changed {
		s.made++
		n = &node{hardware: Hardware()}
		n.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.made)
		n.State, n.Since, n.Power = provisioner.StateEnroll, s.now(), provisioner.PowerUnknown
		s.nodes[want.Host.String()] = n
	}
	changed = changed || n.Registration != want.Registration() || n.HostUID != want.Host.UID || n.Server != want.Server()
	n.want, n.HostUID, n.Registration, n.Server = want, want.Host.UID, want.Registration(), want.Server()
	if n.Fault == provisioner.FaultPower {
		n.Maintenance, n.Fault, n.MaintenanceReason = false, "", ""
	}
	return changed
}

func (s *Simulator) power(n *node, to provisioner.Power, by provisioner.Action) bool {
	if n.Power == to && n.PowerTarget == "" || n.PowerTarget == to {
		return false
	}
	n.LastError, n.PowerTarget = "", to
	message := s.outcome(n, FailPower)
	if by == provisioner.SwitchOff && message == "" {
		message = s.outcome(n, FailShutdown)
	}
	if message == "" && !s.admits(n.want.BMC) {
		message = "Failed to reach the BMC"
	}
	n.todo = append(n.todo, step{s.now().Add(s.step), func(n *node) {
		n.PowerTarget = ""
		if message != "" {
			n.LastError = message
			return
		}
		n.Power = to
	}})
	return true
}

func (s *Simulator) admits(b bmc.Access) bool {
	l, known := s.bmcs[b.Address]
	return !known || l == login{b.Username, b.Password}
}

func (s *Simulator) advance(n *node) {
	now := s.now()
	for len(n.todo) > 0 && !n.todo[0].at.After(now) {
		next := n.todo[0]
		n.todo = n.todo[1:]
		next.apply(n)
	}
}

func (n *node) copy() provisioner.Observation {
	o := n.Observation
	if o.Image != nil {
		image := *o.Image
		o.Image = &image
	}
	return o
}

// AnyUID is a host UID for tests.
func AnyUID(n int) types.UID { return types.UID(fmt.Sprintf("11111111-0000-4000-8000-%012d", n)) }
