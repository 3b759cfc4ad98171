package lifecycle

import (
	"maps"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
)

// facts are what conditions speak of.
type facts struct {
	// words are the service's, for texts.
	words provisioner.Words
	want  provisioner.Want
	seen  provisioner.Observation
	past  Past
	// now by the service's clock, callerNow by that of Past.
	now, callerNow time.Time
	// answers holds the answer to every condition.
	answers map[condition]bool
}

func gather(want provisioner.Want, seen provisioner.Observation, past Past, now time.Time) facts {
	callerNow := now
	if !seen.Now.IsZero() {
		now = seen.Now
	}
	f := facts{want: want, seen: seen, past: past, now: now, callerNow: callerNow, answers: map[condition]bool{}}
	for c, ask := range questions() {
		f.answers[c] = ask(f)
	}
	return f
}

// condition is a yes-or-no question to the facts, in words.
type condition string

const (
	deleting     condition = "deleting"
	detached     condition = "detached"
	unmanaged    condition = "no BMC details"
	foreign      condition = "registered for another host"
	sameServer   condition = "same BMC and MAC"
	decided      condition = "deployment decided"
	recorded     condition = "deployment recorded"
	ours         condition = "decided = recorded"
	givenUp      condition = "given up"
	released     condition = "given up as recorded"
	agreed       condition = "nothing recorded, image as wanted"
	notOurs      condition = "adopted from someone else"
	kept         condition = "decided or image installed before"
	retained     condition = "deletion policy Retain"
	imageWanted  condition = "image named"
	ready        condition = "to be imaged now"
	changed      condition = "registration differs"
	external     condition = "externally provisioned"
	toInspect    condition = "hardware unknown"
	toDeploy     condition = "image wanted"
	otherImage   condition = "other image or none wanted"
	otherURL     condition = "other image URL or none wanted"
	failed       condition = "last error set"
	gaveUp       condition = "more than 3 failures"
	maintenance  condition = "in maintenance"
	powerFault   condition = "power fault"
	faulted      condition = "other fault"
	powerMoving  condition = "power changing"
	powerUnknown condition = "power unknown"
	mayRun       condition = "maybe on"
	mayPowerOff  condition = "power off allowed"
	isOff        condition = "off, wanted on"
	isOn         condition = "on, wanted off"
	isFresh      condition = "inspected just now"
	softFailed   condition = "did not shut down"
	cut          condition = "power to be cut"
	fenced       condition = "held off"
	forced       condition = "forced"
	delayed      condition = "deletion delayed"
	refused      condition = "registration refused just now"
)

const negation = "not "

func not(c condition) condition { return negation + c }

// giveUpAfter failures a host that is being deleted is let go as it is; Metal3 gives up after more than 3 errors too
// (baremetal-operator v0.13.1, internal/controller/metal3.io/host_state_machine.go).
const giveUpAfter = 3

// lingering is how long a host that was just inspected stays on although it is wanted off: a new host is often wanted at
// once, and Ironic deploys to a running agent without booting it again (ironic 39.0.0, [deploy] fast_track and
// fast_track_timeout, 300 s).
const lingering = 2 * time.Minute

// questions answers every condition.
func questions() map[condition]func(facts) bool {
	all := holdingQuestions()
	maps.Copy(all, stateQuestions())
	return all
}

// holdingQuestions are about what the server holds, and who says so.
func holdingQuestions() map[condition]func(facts) bool {
	return map[condition]func(facts) bool{
		sameServer: facts.onSameServer,
		decided:    func(f facts) bool { return f.want.Deployment != "" },
		recorded:   func(f facts) bool { return f.seen.Deployment != "" },
		ours:       func(f facts) bool { return f.seen.Deployment != "" && f.seen.Deployment == f.want.Deployment },
		givenUp:    func(f facts) bool { return f.want.GivenUp != "" },
		released:   func(f facts) bool { return f.want.GivenUp != "" && f.want.GivenUp == f.seen.Holding() },
		agreed: func(f facts) bool {
			same := f.want.Image != nil && f.seen.Image != nil && *f.want.Image == *f.seen.Image
			return f.seen.Deployment == "" && (same || f.want.External)
		},
		notOurs:     func(f facts) bool { return f.seen.NotOurs },
		kept:        func(f facts) bool { return f.want.Deployment != "" || f.want.Installed != nil },
		retained:    func(f facts) bool { return f.want.Retain },
		imageWanted: func(f facts) bool { return f.want.Image != nil },
		ready:       func(f facts) bool { return f.mayDeploy() && !f.mustInspect() && !f.want.External },
	}
}

func (f facts) onSameServer() bool { return f.seen.Server == f.want.Server() }

func (f facts) mustInspect() bool {
	again := f.want.Reinspect && f.want.Image == nil && f.seen.Inspected.Equal(f.want.Known)
	return !f.want.SkipInspection && (f.seen.Inspected.IsZero() || again)
}

// registrationRefused reports whether the service would not take changed settings a short while ago. The rest of the server's life
// goes on meanwhile.
func (f facts) registrationRefused() bool {
	return f.past.Error == metal3v1alpha1.ProvisionedRegistrationError && f.past.due(f.callerNow) > 0
}

func (f facts) mayDeploy() bool { return f.want.Image != nil && f.want.Online }

func stateQuestions() map[condition]func(facts) bool {
	return map[condition]func(facts) bool{
		deleting:   func(f facts) bool { return f.want.Deleting },
		detached:   func(f facts) bool { return f.want.Detached },
		forced:     func(f facts) bool { return f.want.Forced },
		delayed:    func(f facts) bool { return f.want.DeleteDelayed },
		fenced:     func(f facts) bool { return f.want.Fence != "" },
		cut:        func(f facts) bool { return f.want.Hard },
		refused:    facts.registrationRefused,
		softFailed: func(f facts) bool { return strings.Contains(strings.ToLower(f.seen.LastError), "soft power off") },
		unmanaged:  func(f facts) bool { return f.want.BMC.Address == "" },
		foreign: func(f facts) bool {
			return f.seen.HostUID != "" && f.seen.HostUID != f.want.Host.UID
		},
		changed: func(f facts) bool {
			return f.seen.Registration != f.want.Registration() || f.seen.HostUID != f.want.Host.UID || !f.onSameServer()
		},
		external:  func(f facts) bool { return f.want.External },
		toInspect: facts.mustInspect,
		toDeploy:  facts.mayDeploy,
		otherImage: func(f facts) bool {
			return f.want.External || f.want.Image == nil || f.seen.Image == nil || *f.want.Image != *f.seen.Image
		},
		otherURL: func(f facts) bool {
			return f.want.Image == nil || f.seen.Image == nil || f.want.Image.URL != f.seen.Image.URL
		},
		failed:       func(f facts) bool { return f.seen.LastError != "" },
		gaveUp:       func(f facts) bool { return f.past.Failures > giveUpAfter },
		maintenance:  func(f facts) bool { return f.seen.Maintenance },
		powerFault:   func(f facts) bool { return f.seen.Fault == provisioner.FaultPower },
		faulted:      func(f facts) bool { return f.seen.Fault != "" },
		powerMoving:  func(f facts) bool { return f.seen.PowerTarget != "" },
		powerUnknown: func(f facts) bool { return f.seen.Power == provisioner.PowerUnknown },
		mayRun:       func(f facts) bool { return f.seen.Power != provisioner.PowerOff },
		mayPowerOff:  func(f facts) bool { return !f.want.DisablePowerOff },
		isOff:        func(f facts) bool { return f.want.Online && f.seen.Power == provisioner.PowerOff },
		isFresh: func(f facts) bool {
			age := f.now.Sub(f.seen.Inspected)
			return age < lingering && age > -lingering // further ahead is a clock that was set back since
		},
		isOn: func(f facts) bool { return !f.want.Online && f.seen.Power == provisioner.PowerOn },
	}
}

// all reports whether every condition holds.
func (f facts) all(cs []condition) bool {
	for _, c := range cs {
		plain, negated := strings.CutPrefix(string(c), negation)
		if f.answers[condition(plain)] == negated {
			return false
		}
	}
	return true
}

// shown is the Metal3 state of rows that name none.
func (f facts) shown() metal3v1alpha1.ProvisioningState {
	switch plain, known := plainly()[f.seen.State]; {
	case known:
		return plain
	case isCleaning(f.seen.State):
		return f.shownCleaning()
	case f.want.External:
		return metal3v1alpha1.StateExternallyProvisioned
	default:
		return metal3v1alpha1.StateProvisioned
	}
}

// plainly maps the states that always show the same.
func plainly() map[provisioner.NodeState]metal3v1alpha1.ProvisioningState {
	return map[provisioner.NodeState]metal3v1alpha1.ProvisioningState{
		provisioner.StateAbsent:      metal3v1alpha1.StateRegistering,
		provisioner.StateEnroll:      metal3v1alpha1.StateRegistering,
		provisioner.StateVerifying:   metal3v1alpha1.StateRegistering,
		provisioner.StateAdopting:    metal3v1alpha1.StateRegistering,
		provisioner.StateAdoptFail:   metal3v1alpha1.StateRegistering,
		provisioner.StateInspecting:  metal3v1alpha1.StateInspecting,
		provisioner.StateInspectWait: metal3v1alpha1.StateInspecting,
		provisioner.StateInspectFail: metal3v1alpha1.StateInspecting,
		provisioner.StateManageable:  metal3v1alpha1.StatePreparing,
		provisioner.StateAvailable:   metal3v1alpha1.StateAvailable,
		provisioner.StateDeploying:   metal3v1alpha1.StateProvisioning,
		provisioner.StateDeployWait:  metal3v1alpha1.StateProvisioning,
		provisioner.StateDeployHold:  metal3v1alpha1.StateProvisioning,
		provisioner.StateDeployFail:  metal3v1alpha1.StateProvisioning,
		provisioner.StateDeployDone:  metal3v1alpha1.StateProvisioning,
		provisioner.StateDeleting:    metal3v1alpha1.StateDeprovisioning,
		provisioner.StateDeleted:     metal3v1alpha1.StateDeprovisioning,
		provisioner.StateError:       metal3v1alpha1.StateDeprovisioning,
	}
}

func isCleaning(s provisioner.NodeState) bool {
	return slices.Contains(in{provisioner.StateCleaning, provisioner.StateCleanWait, provisioner.StateCleanHold, provisioner.StateCleanFail}, s)
}

// shownCleaning tells cleaning after use from cleaning before it: Ironic does not, but the deployment stays recorded
// until the disks are clean.
func (f facts) shownCleaning() metal3v1alpha1.ProvisioningState {
	if f.seen.Deployment != "" {
		return metal3v1alpha1.StateDeprovisioning
	}
	return metal3v1alpha1.StatePreparing
}
