package onhosts

import (
	"maps"
	"strings"
	"testing"
)

// Group is what runs on one rack of two hosts.
type Group struct {
	// Profile is the rack's image.
	Profile string
	// On are services of another group that the suites build on.
	On     []string
	Suites []Suite
}

// Suite is what one part of the collection promises, as data. Every promise is proved in the same way.
type Suite struct {
	Name string
	// Services in the order a node set runs them.
	Services []Service
	// Vars of all hosts, for this suite and those after it.
	Vars map[string]any
	// Prepare, when set, runs before the first service: it may set b.Vars and call b.Data.
	Prepare func(t *testing.T, b *Bench)
	// Effects are what a person would look at on a host that has been configured: commands that succeed.
	Effects map[string]string
	// Drift is done to the first host behind the engine's back, by service, and undone by the service it is of.
	Drift map[string]string
	// BadInput is refused.
	BadInput []BadInput
	// More, when set, runs last.
	More func(t *testing.T, b *Bench)
}

// Service is a playbook.
type Service struct {
	Name string
	// Tasks it may take on a node at most: an executed task costs about 80 ms of the engine's CPU.
	Tasks int
	// Looks says that it changes nothing on a node that is as the services before it left it.
	Looks bool
}

// BadInput are variables for a service, in JSON, and words that must be in the one line that refuses them.
type BadInput struct{ service, vars, message string }

// Bad returns an input that the service refuses with the message.
func Bad(service, vars, message string) BadInput { return BadInput{service, vars, message} }

// Prove proves every suite of the group on a rack of its own. A suite that is run alone first runs what it builds on.
func (g *Group) Prove(t *testing.T) {
	t.Helper()
	b := newBench(t, g.Profile)
	for i := range g.Suites {
		t.Run(g.Suites[i].Name, func(t *testing.T) {
			b.inventory(t)
			b.ready(t, g.On)
			for j := range i {
				b.equip(t, &g.Suites[j])
				b.ready(t, g.Suites[j].names())
			}
			b.prove(t, &g.Suites[i])
		})
	}
}

func (s *Suite) names() []string {
	names := make([]string, len(s.Services))
	for i := range s.Services {
		names[i] = s.Services[i].Name
	}
	return names
}

// equip gives the bench what the suite's services take, once.
func (b *Bench) equip(t *testing.T, s *Suite) {
	t.Helper()
	if b.done[s.Name] {
		return
	}
	b.done[s.Name] = true
	maps.Copy(b.Vars, s.Vars)
	if s.Prepare != nil {
		s.Prepare(t, b)
	}
	b.inventory(t)
}

func (b *Bench) prove(t *testing.T, s *Suite) {
	t.Helper()
	b.equip(t, s)
	for _, service := range s.Services {
		if !t.Run(service.Name, func(t *testing.T) { b.runs(t, service) }) {
			t.FailNow() // The later services build on this one.
		}
		b.done[service.Name] = true
	}
	t.Run("again", func(t *testing.T) {
		b.Unchanged(t, strings.Join(s.names(), " "), "--diff")
		b.Unchanged(t, strings.Join(s.names(), " "), "--check", "--diff")
	})
	for name, command := range s.Effects {
		if out, err := b.SSH(t, command); err != nil {
			t.Errorf("after all services, not so: %s: %v\n%s", name, err, out)
		}
	}
	t.Run("drift", func(t *testing.T) { b.repairsDrift(t, s) })
	t.Run("bad input", func(t *testing.T) { b.refusesBadInput(t, s) })
	if s.More != nil {
		t.Run("more", func(t *testing.T) { s.More(t, b) })
	}
}

// ready runs those of the services that have not run yet, all in one go.
func (b *Bench) ready(t *testing.T, names []string) {
	t.Helper()
	var missing []string
	for _, name := range names {
		if !b.done[name] {
			missing = append(missing, name)
			b.done[name] = true
		}
	}
	if len(missing) > 0 {
		b.Run(t, strings.Join(missing, " "))
	}
}

// runs proves that a check run predicts what the service changes.
func (b *Bench) runs(t *testing.T, s Service) {
	t.Helper()
	predicted := b.Run(t, s.Name, "--check", "--diff")
	done := b.Run(t, s.Name)
	for host, totals := range done.Hosts {
		// Predicting more is right: a package may start its unit itself, which leaves the unit's task nothing to do.
		if (totals.Changed == 0) != s.Looks || totals.Changed > predicted.Hosts[host].Changed {
			t.Errorf("%s: the check run predicted %d changes, the run made %d; want none %v, and no more than predicted",
				host, predicted.Hosts[host].Changed, totals.Changed, s.Looks)
		}
		if tasks := totals.OK + totals.Skipped; tasks > s.Tasks {
			t.Errorf("%s: %d tasks, want at most %d", host, tasks, s.Tasks)
		}
	}
}

func (b *Bench) repairsDrift(t *testing.T, s *Suite) {
	t.Helper()
	for _, service := range s.Services {
		command, ok := s.Drift[service.Name]
		if !ok {
			continue
		}
		if out, err := b.SSH(t, "sudo sh -c '"+command+"'"); err != nil {
			t.Fatalf("%s: make drift: %v\n%s", service.Name, err, out)
		}
		totals := b.Run(t, service.Name).Hosts
		if totals["server-0"].Changed == 0 || totals["server-1"].Changed != 0 {
			t.Errorf("%s: changed %d on the host with drift and %d on the other, want some and none",
				service.Name, totals["server-0"].Changed, totals["server-1"].Changed)
		}
	}
	b.Unchanged(t, strings.Join(s.names(), " "))
}

func (b *Bench) refusesBadInput(t *testing.T, s *Suite) {
	t.Helper()
	for _, bad := range s.BadInput {
		b.Refuses(t, bad)
	}
	b.Unchanged(t, strings.Join(s.names(), " "), "--check", "--limit", "server-0")
}

// Refuses runs a service with bad input on the first host.
func (b *Bench) Refuses(t *testing.T, bad BadInput) {
	t.Helper()
	events, err := b.Play(t, bad.service, "--limit", "server-0", "--extra-vars", bad.vars)
	if err == nil {
		t.Errorf("%s accepted %s", bad.service, bad.vars)
	}
	message := ""
	for _, e := range events {
		if e.Result == "failed" {
			message = e.Message
		}
	}
	if !strings.Contains(message, bad.message) || strings.Contains(message, "\n") {
		t.Errorf("%s with %s says %q, want one line with %q", bad.service, bad.vars, message, bad.message)
	}
}
