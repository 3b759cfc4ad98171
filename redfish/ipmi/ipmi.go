// Package ipmi switches servers whose BMCs speak only IPMI 2.0, through go-ipmi: power and boot device, no more. It names the
// cipher suites itself, 17 and then 3, ends at the first refusal, and says nothing that is derived from the password before
// the BMC has agreed to what was asked: go-ipmi's own way tries a wrong password with every suite there is.
package ipmi

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/redfish/broker"
)

const (
	// answerTimeout is for one packet, sent once more when it is over; sessionTimeout for all that one question takes.
	answerTimeout  = 5 * time.Second
	sessionTimeout = 45 * time.Second
	// passwordMost is the longest password of IPMI 2.0.
	passwordMost = 20
)

// BMCs are the BMCs reached over IPMI. Each has one session at a time, whoever asks.
type BMCs struct {
	broker *broker.Broker

	mu    sync.Mutex
	turns map[string]chan struct{}
}

// New returns BMCs whose refused passwords a broker remembers.
func New(b *broker.Broker) *BMCs { return &BMCs{broker: b, turns: map[string]chan struct{}{}} }

// Server is a server with such a BMC. It implements redfish.Power and redfish.Boot.
type Server struct {
	at     bmc.Address
	target broker.Target
	broker *broker.Broker
	turn   chan struct{}
}

// Server returns the one at an address. Nothing is asked yet.
func (b *BMCs) Server(a bmc.Address, l broker.Login) *Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	target := broker.Target{Endpoint: "ipmi://" + a.Host + ":" + a.Port, Login: l}
	if b.turns[target.Endpoint] == nil {
		b.turns[target.Endpoint] = make(chan struct{}, 1)
	}
	return &Server{at: a, target: target, broker: b.broker, turn: b.turns[target.Endpoint]}
}

// with opens a session, uses it and closes it on every path. A session of its own for each question is what the protocol is
// made for, and nothing is left behind in BMCs that have four.
func (s *Server) with(ctx context.Context, use func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fault.Wrap(fault.Busy, ctx.Err(), "the BMC at %s is busy with others", s.target.Endpoint)
	}
	if s.broker.Refused(s.target) {
		return s.refusal()
	}
	for _, suite := range []types.CipherSuiteID{types.CipherSuiteID17, types.CipherSuiteID3} {
		c, err := s.open(ctx, suite)
		if errors.Is(err, errOtherSuite) {
			continue
		}
		if err != nil {
			return err
		}
		defer func() { _ = c.Close(ctx) }()
		return s.explain(use(ctx, c))
	}
	return fault.New(fault.Unsupported, "the BMC at %s has neither cipher suite 17 nor 3: switch one of them on there", s.target.Endpoint)
}

func (s *Server) refusal() error {
	return fault.New(fault.Denied, "the BMC at %s has refused user name and password of Secret %s; they are not tried again, "+
		"so that the account is not locked: correct the Secret", s.target.Endpoint, s.target.Login.Secret)
}

// errOtherSuite means that the BMC does not do the cipher suite; nothing of the password was sent.
var errOtherSuite = errors.New("another cipher suite")

// open logs in with one cipher suite.
func (s *Server) open(ctx context.Context, suite types.CipherSuiteID) (*client.Client, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	c.WithCipherSuiteID(suite)
	if err = s.agree(ctx, c, suite); err == nil {
		if _, err = c.RAKPMessage1(ctx); err == nil {
			_, err = c.RAKPMessage3(ctx)
		}
		err = s.judge(err)
	}
	if err == nil {
		if _, err = c.SetSessionPrivilegeLevel(ctx, c.SessionPrivilegeLevel()); err == nil {
			return c, nil
		}
		_ = c.Close(ctx)
		return nil, fault.New(fault.Denied, "the BMC at %s gives the account of Secret %s no level %s: raise it there, or name the account's own as ?privilegelevel in spec.bmc.address",
			s.target.Endpoint, s.target.Login.Secret, s.at.Privilege)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel() // there is no session to close, only a socket
	_ = c.Close(gone)
	return nil, err
}

func (s *Server) client() (*client.Client, error) {
	l := s.target.Login
	if len(l.Password) > passwordMost {
		return nil, fault.New(fault.Rejected, "the password of Secret %s is longer than the %d bytes that IPMI has", l.Secret, passwordMost)
	}
	port, err := strconv.Atoi(s.at.Port)
	if err != nil {
		return nil, fault.New(fault.Rejected, "spec.bmc.address is not usable: port %q is none", s.at.Port)
	}
	c, err := client.NewClient(s.at.Host, port, l.Username.Reveal(), l.Password.Reveal())
	if err != nil {
		return nil, fault.New(fault.Rejected, "the user name of Secret %s is longer than IPMI has", l.Secret)
	}
	level := map[string]types.PrivilegeLevel{
		"CALLBACK": types.PrivilegeLevelCallback, "USER": types.PrivilegeLevelUser, "OPERATOR": types.PrivilegeLevelOperator,
	}[s.at.Privilege]
	if level == types.PrivilegeLevelUnspecified {
		level = types.PrivilegeLevelAdministrator
	}
	return c.WithTimeout(answerTimeout).WithRetry(1).WithMaxPrivilegeLevel(level), nil
}

// agree asks for a cipher suite, and holds the BMC to it: some answer with another one, weaker perhaps, and go on.
func (s *Server) agree(ctx context.Context, c *client.Client, suite types.CipherSuiteID) error {
	offered, err := c.OpenSession(ctx)
	var status *types.RmcpStatusError
	switch {
	case errors.As(err, &status):
		if isOf(status, types.RmcpStatusCodeInvalidAuthAlg, types.RmcpStatusCodeInvalidIntegrityAlg, types.RmcpStatusCodeNoMatchingAuthPayload,
			types.RmcpStatusCodeNoMatchingIntegrityPayload, types.RmcpStatusCodeInvalidConfidentAlg, types.RmcpStatusCodeNoCipherSuiteMatch) {
			return errOtherSuite
		}
		return fault.New(fault.Busy, "the BMC at %s opens no session: %s", s.target.Endpoint, line.Short(status.Error(), 200))
	case errors.Is(err, types.ErrUnpackedDataTooShort):
		return errOtherSuite // go-ipmi cannot read a refusal that ends after its status, which is what ipmi_sim sends
	case err != nil:
		return s.explain(err)
	}
	auth, integrity, crypt, _ := types.GetCipherSuiteAlgorithms(suite)
	if offered.AuthAlg != uint8(auth) || offered.IntegrityAlg != uint8(integrity) || offered.CryptAlg != uint8(crypt) {
		return errOtherSuite
	}
	return nil
}

// isOf reports whether a status has one of several codes.
func isOf(status *types.RmcpStatusError, codes ...types.RmcpStatusCode) bool {
	return slices.Contains(codes, status.StatusCode())
}

// judge tells a refused password from a lost packet, and closes the latch on it.
func (s *Server) judge(err error) error {
	var status *types.RmcpStatusError
	// An answer of a status alone, which go-ipmi cannot read, is a refusal too; of what, it does not tell.
	refused := errors.Is(err, client.ErrRAKPAuthentication) || errors.Is(err, types.ErrUnpackedDataTooShort)
	if errors.As(err, &status) {
		if isOf(status, types.RmcpStatusCodeUnauthorizedRoleOfPriLevel, types.RmcpStatusCodeInvalidRole) {
			return fault.New(fault.Denied, "the BMC at %s gives the account of Secret %s no level %s: raise it there, or name the account's own as ?privilegelevel in spec.bmc.address",
				s.target.Endpoint, s.target.Login.Secret, s.at.Privilege)
		}
		refused = refused || isOf(status, types.RmcpStatusCodeUnauthorizedName, types.RmcpStatusCodeInvalidIntegrityCheckValue, types.RmcpStatusCodeInvalidNameLength)
	}
	if refused {
		s.broker.Refuse(s.target)
		return s.refusal()
	}
	return s.explain(err)
}

// explain classifies what go-ipmi answers. It may quote packets, never the password.
func (s *Server) explain(err error) error {
	if err == nil || fault.Classified(err) {
		return err
	}
	return fault.New(fault.Transient, "the BMC at %s: %s", s.target.Endpoint, line.Short(err.Error(), 200))
}
