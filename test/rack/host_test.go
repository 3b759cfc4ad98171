package rack

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// load is a runner that remembers what happened to it.
type load struct {
	asked, cut, again bool
	ended             chan struct{}
}

func (l *load) shutdown()             { l.asked = true }
func (l *load) stop()                 { l.cut = true }
func (l *load) done() <-chan struct{} { return l.ended }
func (l *load) reboots() bool         { return l.again }

// newTestHost is a powered-on host without a disk, and its BMC, which counts power-off orders.
func newTestHost(t *testing.T) (*Host, *load, *atomic.Int32) {
	t.Helper()
	var offs atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			offs.Add(1)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	running := &load{ended: make(chan struct{})}
	h := &Host{
		Name: "server-0", UUID: "u", dir: t.TempDir(), log: slog.New(slog.DiscardHandler),
		bmc:   &bmcs{http: server.Client(), url: server.URL},
		state: hostState{power: powerOn, running: running},
	}
	return h, running, &offs
}

func TestPowerOffCutsWhatRuns(t *testing.T) {
	h, running, _ := newTestHost(t)
	h.follow(t.Context(), change{Power: powerOn, BootDevice: "Cd"})
	if running.cut || h.state.running == nil {
		t.Fatal("a change of the boot device disturbed the running system")
	}
	h.follow(t.Context(), change{Power: powerOff})
	if !running.cut || h.state.running != nil {
		t.Error("the system runs on without power")
	}
	h.follow(t.Context(), change{Power: powerOn})
	if h.state.power != powerOn || h.state.running != nil {
		t.Error("a host without a disk does not just stay on")
	}
}

func TestOrderedPowerOffAsksTheSystemFirst(t *testing.T) {
	h, running, offs := newTestHost(t)
	pending := change{Power: powerOn}
	pending.Pending = &struct {
		Power string `json:"power_state"`
	}{Power: "Off"}
	h.follow(t.Context(), pending)
	if !running.asked || running.cut {
		t.Errorf("asked %v, cut %v; want asked only", running.asked, running.cut)
	}
	h.ended(t.Context())
	if offs.Load() != 0 {
		t.Error("the hardware ordered the power-off that was ordered already")
	}
}

func TestSystemEndsByItself(t *testing.T) {
	for again, want := range map[bool]int32{false: 1, true: 0} {
		h, running, offs := newTestHost(t)
		running.again = again
		h.ended(t.Context())
		if offs.Load() != want {
			t.Errorf("reboot %v: %d power-offs, want %d", again, offs.Load(), want)
		}
	}
}
