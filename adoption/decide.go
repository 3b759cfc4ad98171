package adoption

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// Verdict says what a finding means for the node.
type Verdict string

// Verdicts.
const (
	// OK: as wanted.
	OK Verdict = "OK"
	// Note: worth knowing; holds nothing back.
	Note Verdict = "Note"
	// Refuse: no service may run until it is put right or accepted.
	Refuse Verdict = "Refuse"
)

// Finding is one thing that was looked at.
type Finding struct {
	Name v1alpha1.AdoptionFinding `json:"name"`
	// Found is what is there. It holds no time and nothing that differs from look to look by itself.
	Found string `json:"found"`
	// Wanted and Remedy are empty when all is as wanted.
	Wanted  string  `json:"wanted,omitempty"`
	Verdict Verdict `json:"verdict"`
	Remedy  string  `json:"remedy,omitempty"`
	// Accepted means that it would refuse, had the NodeSet not accepted it.
	Accepted bool `json:"accepted,omitempty"`
}

// String is the finding in one line.
func (f Finding) String() string {
	text := string(f.Name) + ": found " + f.Found
	if f.Wanted != "" {
		text += ", wanted " + f.Wanted
	}
	if f.Remedy != "" {
		text += ": " + f.Remedy
	}
	return text
}

// Names are all findings, in the order they are told.
func Names() []v1alpha1.AdoptionFinding {
	return []v1alpha1.AdoptionFinding{
		v1alpha1.FindingIdentity, v1alpha1.FindingOperatingSystem, v1alpha1.FindingKernel, v1alpha1.FindingTime, v1alpha1.FindingDisk,
		v1alpha1.FindingPackages, v1alpha1.FindingServices, v1alpha1.FindingContainers, v1alpha1.FindingRunningVMs,
		v1alpha1.FindingOpenVSwitch, v1alpha1.FindingOVN, v1alpha1.FindingEndpoints,
	}
}

func rank(name v1alpha1.AdoptionFinding) int { return slices.Index(Names(), name) }

// checks look at one thing each. Every one tells at least one finding.
func checks() map[v1alpha1.AdoptionFinding]func(*look) {
	return map[v1alpha1.AdoptionFinding]func(*look){
		v1alpha1.FindingIdentity:        identity,
		v1alpha1.FindingOperatingSystem: operatingSystem,
		v1alpha1.FindingKernel:          kernel,
		v1alpha1.FindingTime:            clock,
		v1alpha1.FindingDisk:            disk,
		v1alpha1.FindingPackages:        packages,
		v1alpha1.FindingServices:        services,
		v1alpha1.FindingContainers:      containers,
		v1alpha1.FindingRunningVMs:      runningVMs,
		v1alpha1.FindingOpenVSwitch:     openVSwitch,
		v1alpha1.FindingOVN:             ovn,
		v1alpha1.FindingEndpoints:       endpoints,
	}
}

// Decide holds the facts against what is wanted: at least one finding for every name, in the order of Names. What is in
// accept refuses nothing. The same input gives the same findings, whatever the order of its lists.
func Decide(facts Facts, wanted Wanted, accept []v1alpha1.AdoptionFinding) []Finding {
	var all []Finding
	for name, check := range checks() {
		l := &look{facts: &facts, wanted: &wanted, name: name}
		if why, unread := facts.Unread[name]; unread {
			l.refuse("nothing, because it could not be looked at ("+why+")", "an answer", "log in and see why")
		} else {
			check(l)
		}
		all = append(all, l.findings...)
	}
	for i := range all {
		if all[i].Verdict == Refuse && slices.Contains(accept, all[i].Name) {
			all[i].Verdict, all[i].Accepted = Note, true
		}
	}
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), strings.Compare(a.Found, b.Found), strings.Compare(a.Wanted, b.Wanted))
	})
	return slices.Compact(all)
}

// Refused are the findings that hold the node back.
func Refused(findings []Finding) []Finding { return only(findings, Refuse) }

// Noted are those worth knowing.
func Noted(findings []Finding) []Finding { return only(findings, Note) }

func only(findings []Finding, v Verdict) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Verdict != v })
}

// Message joins findings to one line; "" for none.
func Message(findings []Finding) string {
	lines := make([]string, 0, len(findings))
	for _, f := range findings {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "; ")
}

// Ours reports whether the facts show a node on which services have run under the very name that is wanted of it: what
// is found there is our own doing. One that served another site bears another name.
func Ours(facts Facts, wanted Wanted) bool { return slices.Contains(facts.Record, wanted.HostName) }

// look is one check under way.
type look struct {
	facts    *Facts
	wanted   *Wanted
	name     v1alpha1.AdoptionFinding
	findings []Finding
}

func (l *look) add(v Verdict, found, wanted, remedy string) {
	l.findings = append(l.findings, Finding{Name: l.name, Verdict: v, Found: Plain(found), Wanted: Plain(wanted), Remedy: Plain(remedy)})
}

func (l *look) ok(found string)                     { l.add(OK, found, "", "") }
func (l *look) note(found, wanted, remedy string)   { l.add(Note, found, wanted, remedy) }
func (l *look) refuse(found, wanted, remedy string) { l.add(Refuse, found, wanted, remedy) }

// disturb tells of something that a service will change: that refuses when virtual machines run over it.
func (l *look) disturb(found, wanted, remedy string) {
	if n := len(l.facts.Guests); n > 0 {
		l.refuse(found, wanted, fmt.Sprintf("%s; %s would be cut off by the change: move them away first", remedy, count(n, "running virtual machine")))
		return
	}
	l.note(found, wanted, remedy)
}

// otherwise says that all is well, unless something else was said.
func (l *look) otherwise(found string) {
	if len(l.findings) == 0 {
		l.ok(found)
	}
}

// longest bounds what a node gets to say in one place, in bytes.
const longest = 300

// Plain is text in one line of bounded length with nothing in it that a terminal would act on.
func Plain(text string) string { return line.Short(text, longest) }

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// list is a sorted enumeration of the first few.
func list(names []string) string {
	return line.Few(slices.Compact(slices.Sorted(slices.Values(names))))
}
