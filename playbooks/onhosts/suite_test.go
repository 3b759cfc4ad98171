package onhosts_test

import (
	"maps"
	"strings"
	"testing"
)

// group is what runs on one rack of two hosts.
type group struct {
	name string
	// profile is the rack's image.
	profile string
	// on are services of another group that the suites build on.
	on     []string
	suites []suite
}

func groups() []group {
	return []group{
		{name: "system", suites: []suite{baseSuite(), osSuite()}},
		{
			name: "compute", profile: "compute",
			on:     []string{"bootstrap", "configure_network", "install_os", "configure_os", "ssh_known_hosts"},
			suites: []suite{networkSuite(), computeSuite()},
		},
	}
}

// suite is what one part of the collection promises, as data. Every promise is proved in the same way.
type suite struct {
	name string
	// services in the order a node set runs them.
	services []service
	// vars of all hosts, for this suite and those after it.
	vars map[string]any
	// prepare, when set, runs before the first service: it may set b.vars and call b.data.
	prepare func(t *testing.T, b *bench)
	// effects are what a person would look at on a host that has been configured: commands that succeed.
	effects map[string]string
	// drift is done to the first host behind the engine's back, by service, and undone by the service it is of.
	drift map[string]string
	// badInput is refused.
	badInput []badInput
	// more, when set, runs last.
	more func(t *testing.T, b *bench)
}

// service is a playbook.
type service struct {
	name string
	// tasks it may take on a node at most: an executed task costs about 80 ms of the engine's CPU.
	tasks int
	// looks says that it changes nothing on a node that is as the services before it left it.
	looks bool
}

// badInput are variables for a service, in JSON, and words that must be in the one line that refuses them.
type badInput struct{ service, vars, message string }

// TestServices proves every suite. A suite that is run alone first runs what it builds on.
func TestServices(t *testing.T) {
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			b := newBench(t, g.profile)
			for i := range g.suites {
				t.Run(g.suites[i].name, func(t *testing.T) {
					b.inventory(t)
					b.ready(t, g.on)
					for j := range i {
						b.equip(t, &g.suites[j])
						b.ready(t, g.suites[j].names())
					}
					b.prove(t, &g.suites[i])
				})
			}
		})
	}
}

func (s *suite) names() []string {
	names := make([]string, len(s.services))
	for i := range s.services {
		names[i] = s.services[i].name
	}
	return names
}

// equip gives the bench what the suite's services take, once.
func (b *bench) equip(t *testing.T, s *suite) {
	t.Helper()
	if b.done[s.name] {
		return
	}
	b.done[s.name] = true
	maps.Copy(b.vars, s.vars)
	if s.prepare != nil {
		s.prepare(t, b)
	}
	b.inventory(t)
}

func (b *bench) prove(t *testing.T, s *suite) {
	t.Helper()
	b.equip(t, s)
	for _, service := range s.services {
		if !t.Run(service.name, func(t *testing.T) { b.runs(t, service) }) {
			t.FailNow() // The later services build on this one.
		}
		b.done[service.name] = true
	}
	t.Run("again", func(t *testing.T) {
		b.unchanged(t, strings.Join(s.names(), " "), "--diff")
		b.unchanged(t, strings.Join(s.names(), " "), "--check", "--diff")
	})
	for name, command := range s.effects {
		if out, err := b.ssh(t, command); err != nil {
			t.Errorf("after all services, not so: %s: %v\n%s", name, err, out)
		}
	}
	t.Run("drift", func(t *testing.T) { b.repairsDrift(t, s) })
	t.Run("bad input", func(t *testing.T) { b.refusesBadInput(t, s) })
	if s.more != nil {
		t.Run("more", func(t *testing.T) { s.more(t, b) })
	}
}

// ready runs those of the services that have not run yet, all in one go.
func (b *bench) ready(t *testing.T, names []string) {
	t.Helper()
	var missing []string
	for _, name := range names {
		if !b.done[name] {
			missing = append(missing, name)
			b.done[name] = true
		}
	}
	if len(missing) > 0 {
		b.run(t, strings.Join(missing, " "))
	}
}

// runs proves that a check run predicts what the service changes.
func (b *bench) runs(t *testing.T, s service) {
	t.Helper()
	predicted := b.run(t, s.name, "--check", "--diff")
	done := b.run(t, s.name)
	for host, totals := range done.Hosts {
		// Predicting more is right: a package may start its unit itself, which leaves the unit's task nothing to do.
		if (totals.Changed == 0) != s.looks || totals.Changed > predicted.Hosts[host].Changed {
			t.Errorf("%s: the check run predicted %d changes, the run made %d; want none %v, and no more than predicted",
				host, predicted.Hosts[host].Changed, totals.Changed, s.looks)
		}
		if tasks := totals.OK + totals.Skipped; tasks > s.tasks {
			t.Errorf("%s: %d tasks, want at most %d", host, tasks, s.tasks)
		}
	}
}

func (b *bench) repairsDrift(t *testing.T, s *suite) {
	t.Helper()
	for _, service := range s.services {
		command, ok := s.drift[service.name]
		if !ok {
			continue
		}
		if out, err := b.ssh(t, "sudo sh -c '"+command+"'"); err != nil {
			t.Fatalf("%s: make drift: %v\n%s", service.name, err, out)
		}
		totals := b.run(t, service.name).Hosts
		if totals["server-0"].Changed == 0 || totals["server-1"].Changed != 0 {
			t.Errorf("%s: changed %d on the host with drift and %d on the other, want some and none",
				service.name, totals["server-0"].Changed, totals["server-1"].Changed)
		}
	}
	b.unchanged(t, strings.Join(s.names(), " "))
}

func (b *bench) refusesBadInput(t *testing.T, s *suite) {
	t.Helper()
	for _, bad := range s.badInput {
		b.refuses(t, bad)
	}
	b.unchanged(t, strings.Join(s.names(), " "), "--check", "--limit", "server-0")
}

// refuses runs a service with bad input on the first host.
func (b *bench) refuses(t *testing.T, bad badInput) {
	t.Helper()
	events, err := b.play(t, bad.service, "--limit", "server-0", "--extra-vars", bad.vars)
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
