// Package join decides whether a host is a compute of its cloud, and what
// makes it one. Pure: the same want and the same sight give the same Decision.
//
// Checks run in the order a compute comes to be: service, hypervisor, resource
// provider, chassis, agents; only then is it put where the scheduler looks for
// it (aggregates, zone, traits). The first thing that is not so decides reason
// and message. Nothing is remembered: a service that goes down and comes back
// is told by what is seen alone. Messages hold no time and no counters.
package join
