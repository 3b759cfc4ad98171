package ipmi

import (
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/redfish"
	"github.com/rackplane/rackplane/redfish/broker"
	"github.com/rackplane/rackplane/secret"
)

var (
	_ redfish.Power = (*Server)(nil)
	_ redfish.Boot  = (*Server)(nil)
)

// TestLimits: what IPMI cannot carry is told before anything is sent.
func TestLimits(t *testing.T) {
	t.Parallel()
	a, err := bmc.Parse("ipmi://192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	login := broker.Login{Username: "admin", Password: secret.Value(strings.Repeat("x", 21)), Secret: "bmc-1", Version: "1"}
	s := New(broker.New(testingclock.NewFakeClock(time.Now()))).Server(a, login)
	if _, err := s.Power(t.Context()); !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "Secret bmc-1") {
		t.Error(err)
	}
	s.broker.Refuse(s.target)
	if _, err := s.Power(t.Context()); !fault.Is(err, fault.Denied) {
		t.Error(err)
	}
	if _, err := s.Follow(t.Context(), "x"); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}
