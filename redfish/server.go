package redfish

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/schemas"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/redfish/broker"
	"github.com/rackplane/rackplane/redfish/vendor"
)

// Server is one system behind a BMC. It implements Power, Boot, Media, Inspector and Health.
type Server struct {
	door  *broker.Door
	class broker.Class
	at    string // bmc.Address.Path
	rules vendor.Rules
}

// New returns the system at a path behind a door; without a path it is the only one there. Nothing is asked yet.
func New(d *broker.Door, c broker.Class, path string, rules vendor.Rules) *Server {
	return &Server{door: d, class: c, at: path, rules: rules}
}

// conn is one caller's use of the BMC through gofish.
type conn struct {
	*gofish.APIClient
}

// connect gives gofish the door. The service root it asks for is the one that was read to log in.
func (s *Server) connect(ctx context.Context) (conn, error) {
	client, err := gofish.ConnectContext(ctx, gofish.ClientConfig{
		Endpoint: s.door.Endpoint(), HTTPClient: s.door.Client(s.class), NoModifyTransport: true, ReuseConnections: true, MaxConcurrentRequests: 2,
	})
	if err != nil {
		return conn{}, explain(err, "/redfish/v1/")
	}
	return conn{client}, nil
}

// document is a resource as it was answered.
type document struct {
	body []byte
	etag string
}

// read asks for a resource.
func (c conn) read(path string) (document, error) {
	resp, err := c.Get(path)
	if err != nil {
		return document{}, explain(err, path)
	}
	defer func() { _ = resp.Body.Close() }()
	var body json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return document{}, fault.New(fault.Transient, "%s: the answer is no JSON", path)
	}
	return document{body: body, etag: resp.Header.Get("Etag")}, nil
}

// explain gives what gofish answers its kind. Errors of the door have theirs.
func explain(err error, path string) error {
	if fault.Classified(err) {
		return err
	}
	var answered *schemas.Error
	if !errors.As(err, &answered) {
		return fault.Wrap(fault.Transient, errors.New(line.Short(err.Error(), 300)), "%s", path)
	}
	kind := fault.Transient
	switch code := answered.HTTPReturnedStatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		kind = fault.Missing
	case code == http.StatusNotImplemented, code == http.StatusMethodNotAllowed:
		kind = fault.Unsupported
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		kind = fault.Denied
	case code == http.StatusConflict, code == http.StatusPreconditionFailed, code == http.StatusServiceUnavailable, code == http.StatusTooManyRequests:
		kind = fault.Busy
	case code >= 400 && code < 500:
		kind = fault.Rejected
	}
	return fault.New(kind, "%s answers %d: %s", path, answered.HTTPReturnedStatusCode, said(answered))
}

// said is what a BMC gave as its reason.
func said(e *schemas.Error) string {
	for _, info := range e.ExtendedInfos {
		if info.Message != "" {
			return line.Short(info.Message, 200)
		}
	}
	if e.Message != "" {
		return line.Short(e.Message, 200)
	}
	return "it gives no reason"
}

// link is a reference to a resource.
type link struct {
	To string `json:"@odata.id"`
}

// path returns where a link leads; empty when that is not a path of this BMC.
func (l link) path() string {
	u, err := url.Parse(l.To)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return ""
	}
	return l.To
}

// linkOf reads one link of a document.
func linkOf(doc []byte, name string) string {
	var fields map[string]json.RawMessage
	var l link
	if json.Unmarshal(doc, &fields) != nil || json.Unmarshal(fields[name], &l) != nil {
		return ""
	}
	return l.path()
}

// linksOf reads a list of links of a document, leaving out what is none.
func linksOf(doc []byte, name string) []string {
	var fields map[string]json.RawMessage
	var each []json.RawMessage
	if json.Unmarshal(doc, &fields) != nil || json.Unmarshal(fields[name], &each) != nil {
		return nil
	}
	var out []string
	for _, one := range each {
		var l link
		if json.Unmarshal(one, &l) == nil && l.path() != "" {
			out = append(out, l.path())
		}
	}
	return out
}

// system is the server's resource: gofish's type, the document it is from, and what is done another way.
type system struct {
	schemas.ComputerSystem
	document
	path    string
	dropped []string
	vendor  vendor.Overrides
}

// find reads the system.
func (s *Server) find(c conn) (*system, error) {
	path := s.at
	if path == "" {
		all, err := c.read("/redfish/v1/Systems")
		if err != nil {
			return nil, err
		}
		members := linksOf(all.body, "Members")
		if len(members) != 1 {
			return nil, fault.New(fault.Rejected, "the BMC at %s has %d systems: put the path of one behind the host in spec.bmc.address (%s)",
				s.door.Endpoint(), len(members), line.Short(strings.Join(members, ", "), 300))
		}
		path = members[0]
	}
	doc, err := c.read(path)
	if err != nil {
		if fault.Is(err, fault.Missing) {
			return nil, fault.Wrap(fault.Rejected, err, "the BMC at %s has no such system: correct the path in spec.bmc.address", s.door.Endpoint())
		}
		return nil, err
	}
	out := &system{document: doc, path: path}
	if out.dropped, err = loosely(doc.body, &out.ComputerSystem); err != nil {
		return nil, fault.Wrap(fault.Transient, err, "%s", path)
	}
	out.SetClient(c.APIClient)
	if doc.etag != "" {
		out.SetETag(doc.etag)
	}
	out.vendor = s.rules.For(vendor.System{Manufacturer: out.Manufacturer, Model: out.Model, Firmware: out.BiosVersion})
	return out, nil
}

// enter connects and reads the system.
func (s *Server) enter(ctx context.Context) (conn, *system, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return c, nil, err
	}
	found, err := s.find(c)
	return c, found, err
}

// Condition implements Health.
func (s *Server) Condition(ctx context.Context) (Condition, error) {
	_, sys, err := s.enter(ctx)
	if err != nil {
		return Condition{}, err
	}
	return Condition{Health: healthOf(sys.Status), Power: string(sys.PowerState)}, nil
}
