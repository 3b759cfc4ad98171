package join

import (
	"fmt"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/openstack"
)

// Leaving is a host that is about to be switched off for good.
type Leaving struct {
	// ServiceID the host's compute service had when it was last seen; empty when none was.
	ServiceID string
	// Name is the host's canonical name: without a ServiceID it alone tells the service. A shorter name will not do:
	// another machine may have it.
	Name string
}

// service is the leaving host's; nil when the cloud has none.
func (l Leaving) service(seen openstack.Compute) *openstack.ComputeService {
	for _, s := range sorted(seen).Services {
		if s.ID == l.ServiceID || (l.ServiceID == "" && s.Host == l.Name) {
			return &s
		}
	}
	return nil
}

// Host is the name the host's compute service runs under; "" when the cloud has none.
func (l Leaving) Host(seen openstack.Compute) string {
	if s := l.service(seen); s != nil {
		return s.Host
	}
	return ""
}

// Drain decides what comes before a host is switched off: nothing may be on it, and nothing may come. servers are the
// virtual machines on it. Reason is empty when it may be switched off.
func Drain(l Leaving, seen openstack.Compute, servers []string) Decision {
	var out Decision
	s := l.service(seen)
	if s == nil {
		return out
	}
	if !s.Disabled && !s.Unknown {
		out.Actions = []openstack.Action{{Verb: openstack.DisableService, Service: s.ID, Host: s.Host}}
	}
	switch {
	case s.Unknown:
		out.Reason, out.Message = v1alpha1.ReasonReleasing, fmt.Sprintf("the database of the cell of host %s does not answer Nova: whether servers are on it is not known", s.Host)
	case len(servers) > 0:
		out.Reason = v1alpha1.ReasonReleasing
		out.Message = fmt.Sprintf("servers are on host %s (%s): move or delete them (openstack server list --all-projects --host %s); nothing new is scheduled to it",
			s.Host, line.Few(servers), s.Host)
	}
	return out
}

// Depart decides what makes the cloud forget a host that was switched off.
func Depart(l Leaving, seen openstack.Compute) []openstack.Action {
	var actions []openstack.Action
	seen = sorted(seen)
	if s := l.service(seen); s != nil {
		actions = append(actions, openstack.Action{Verb: openstack.DeleteService, Service: s.ID, Host: s.Host})
		l.Name = s.Host
	}
	for _, a := range seen.Agents {
		if a.Binary == ovnController && a.Host == l.Name {
			actions = append(actions, openstack.Action{Verb: openstack.DeleteAgent, Agent: a.ID, Host: a.Host})
		}
	}
	return actions
}

// ovnController is the agent that stands for the chassis.
const ovnController = "ovn-controller"
