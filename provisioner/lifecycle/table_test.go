package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/provisioner/ironic"
)

var update = flag.Bool("update", false, "rewrite docs/lifecycle.md")

// ironicStates is ALL_STATES of ironic 39.0.0 (ironic/common/states.py), sorted.
//
//nolint:dupword // the states are what they are
const ironicStates = `active
adopt failed
adopting
available
clean failed
clean hold
clean wait
cleaning
deleted
deleting
deploy complete
deploy failed
deploy hold
deploying
enroll
error
inspect failed
inspect wait
inspecting
manageable
rescue
rescue failed
rescue wait
rescuing
service failed
service hold
service wait
servicing
unrescue failed
unrescuing
verifying
wait call-back`

func TestNodeStatesAreIronics(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range provisioner.NodeStates()[1:] {
		got = append(got, string(s))
	}
	slices.Sort(got)
	if diff := cmp.Diff(strings.Split(ironicStates, "\n"), got); diff != "" {
		t.Errorf("states differ (-ironic +ours):\n%s", diff)
	}
}

// TestEveryStateIsDecided: whatever is wanted in whatever state, some row decides; a host that is deleted always has a
// way out in the end: every row that could keep it either ends by itself or has a deadline.
func TestEveryStateIsDecided(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, state := range provisioner.NodeStates() {
		for bits := range 1 << 7 {
			on := func(i int) bool { return bits&(1<<i) != 0 }
			want := provisioner.Want{External: on(0), Online: on(1), Deleting: on(2), BMC: bmc.Access{Address: "redfish://b"}}
			if on(3) {
				want.Image = &provisioner.Image{URL: "http://a"}
			}
			seen := provisioner.Observation{ID: "n", State: state, Server: want.Server(), Since: now, Registration: want.Registration(), Power: provisioner.PowerOn}
			if on(4) {
				seen.LastError = "broken"
			}
			seen.Maintenance = on(5)
			if on(6) {
				seen.Fault = provisioner.FaultPower
			}
			d := Next(words(), want, seen, Past{}, now)
			if d.Kind == "" || d.State == "" || d.Reason == "" || d.Poll <= 0 || strings.Contains(d.Reason, "not known here") {
				t.Fatalf("%s %+v: %+v", state, want, d)
			}
			if want.Deleting {
				checkWayOut(t, want, seen, now)
			}
		}
	}
}

func checkWayOut(t *testing.T, want provisioner.Want, seen provisioner.Observation, now time.Time) {
	t.Helper()
	past := Past{Failures: giveUpAfter + 1, At: now.Add(-time.Hour)}
	d := Next(words(), want, seen, past, now)
	if d.Holding != "" { // a person's word is one
		want.GivenUp = d.Holding
		d = Next(words(), want, seen, past, now)
	}
	endsByItself := []provisioner.NodeState{
		provisioner.StateVerifying, provisioner.StateInspecting, provisioner.StateCleaning, provisioner.StateDeploying,
		provisioner.StateDeployDone, provisioner.StateDeleting, provisioner.StateDeleted, provisioner.StateAdopting,
		provisioner.StateRescuing, provisioner.StateUnrescuing, provisioner.StateServicing, provisioner.StateCleanWait,
	}
	if d.Kind == Act || d.Kind == Settled {
		return
	}
	if !slices.Contains(endsByItself, seen.State) && d.Failure == nil {
		t.Fatalf("a deleted host in state %q is kept: %s", seen.State, d)
	}
}

// TestRowsAreWellFormed: one outcome per row, no row that an earlier one always hides, every condition answered.
func TestRowsAreWellFormed(t *testing.T) {
	t.Parallel()
	answers := questions()
	rows := table()
	for i, r := range rows {
		outcomes := 0
		for _, s := range []string{string(r.do), string(r.record), r.wait, r.hold, r.done} {
			if s != "" {
				outcomes++
			}
		}
		if outcomes != 1 || (string(r.do)+string(r.record) != "") != (r.why != "") || (r.asks && r.hold == "") {
			t.Errorf("row %d %+v: want exactly one of do, record, wait, hold, done, why with the first two, and asks with hold", i, r)
		}
		for _, c := range r.when {
			if answers[condition(strings.TrimPrefix(string(c), negation))] == nil {
				t.Errorf("row %d: nobody answers %q", i, c)
			}
		}
		if r.exit != "" && r.within == 0 {
			t.Errorf("row %d: an exit without a deadline", i)
		}
		for _, s := range r.in {
			if r.do != "" && s != provisioner.StateAbsent && r.do.In(s) == provisioner.Impossible {
				t.Errorf("row %d: %s cannot start in %q", i, r.do, s)
			}
		}
		for _, earlier := range rows[:i] {
			if hides(earlier, r) {
				t.Errorf("row %d %+v is hidden by %+v", i, r, earlier)
			}
		}
	}
}

func hides(earlier, later row) bool {
	if later.in == nil && earlier.in != nil {
		return false
	}
	for _, s := range later.in {
		if earlier.in != nil && !slices.Contains(earlier.in, s) {
			return false
		}
	}
	for _, c := range earlier.when {
		if !slices.Contains(later.when, c) {
			return false
		}
	}
	return true
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for failures, seconds := range []float64{0, 15, 30, 60, 120, 240, 480, 600, 600, 600} {
		if got := Backoff(failures).Seconds(); got != seconds {
			t.Errorf("Backoff(%d) is %g s, want %g", failures, got, seconds)
		}
	}
	if Backoff(-1) != 0 || Backoff(1<<40) != 10*time.Minute {
		t.Error("out of range")
	}
}

func TestDecisionPrints(t *testing.T) {
	t.Parallel()
	d := Decision{Kind: Act, Action: provisioner.Inspect, State: metal3v1alpha1.StateInspecting, Reason: "the hardware is not known"}
	if got, want := d.String(), "Act{Inspect} inspecting: the hardware is not known"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// words are Ironic's.
func words() provisioner.Words { return (*ironic.Client)(nil).Words() }

// TestAnotherServiceSpeaks: the table's own texts name no service and none of its commands.
func TestAnotherServiceSpeaks(t *testing.T) {
	t.Parallel()
	other := provisioner.Words{
		Service: "Redfish", Delete: "forget {node}", EndMaintenance: "care again", Unhold: "go on", Unrescue: "leave rescue", Abort: "end it",
	}
	for i, r := range table() {
		f := facts{words: other, seen: provisioner.Observation{ID: "n1"}}
		for _, text := range []string{r.why, r.wait, r.hold, r.done} {
			said := f.tell(text)
			if strings.Contains(said, "Ironic") || strings.Contains(said, "baremetal ") || strings.ContainsAny(said, "{}") {
				t.Errorf("row %d says: %s", i+1, said)
			}
		}
		if d := r.decide(f, time.Time{}); strings.Contains(d.String(), "Ironic") || strings.ContainsAny(d.Reason, "{}") {
			t.Errorf("row %d decides: %s", i+1, d)
		}
	}
}

// TestDocument keeps docs/lifecycle.md equal to the table.
func TestDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "lifecycle.md")
	want := spoken(words(), document(table()))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/lifecycle.md is stale: go test ./provisioner/lifecycle -update\n%s", diff)
	}
}

func document(rows []row) string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from provisioner/lifecycle/table.go by: go test ./provisioner/lifecycle -update. -->
# Life of a host

What the builtin backend does with a BareMetalHost, by the state Ironic shows its node in (provision states of ironic
39.0.0). The first row that fits decides. "Shown as" is the host's status.provisioning.state; where it is empty it
follows Ironic's state: manageable = preparing, active = provisioned or externally provisioned, cleaning = deprovisioning
after use and preparing before, the others by their names.

A row with a failure counts it once (status.errorCount, errorType, errorMessage). Actions wait for the backoff after
failures in a row, 15 s doubling to 10 min, unless marked "at once"; a changed host or BMC Secret is tried at once.
A wait that passes its deadline without a sign of life from the agent is ended by the exit action; without one it is
shown as a failure and goes on, because Ironic ends it itself.

`)
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, e := range edges(rows) {
		b.WriteString("    " + e + "\n")
	}
	b.WriteString("```\n\n| # | Ironic | when | then | shown as | failure | deadline |\n|---|---|---|---|---|---|---|\n")
	for i, r := range rows {
		deadline := ""
		if r.within > 0 {
			deadline = strings.TrimSuffix(strings.TrimSuffix(r.within.String(), "0s"), "0m")
			deadline += ", then " + or(string(r.exit), "failure")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", i+1, join(r.in, "registered"), joinAnd(r.when), then(r), r.show, r.fails, deadline)
	}
	return b.String()
}

func then(r row) string {
	switch {
	case r.do != "":
		how := ""
		if r.soon {
			how = ", at once"
		}
		return fmt.Sprintf("**%s**%s: %s", r.do, how, r.why)
	case r.record != "":
		return fmt.Sprintf("**%s** in the API: %s", r.record, r.why)
	case r.wait != "":
		return "wait: " + r.wait
	case r.hold != "":
		return "hold: " + r.hold
	default:
		return "settled: " + r.done
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func join(states []provisioner.NodeState, none string) string {
	if states == nil {
		return none
	}
	names := make([]string, 0, len(states))
	for _, s := range states {
		names = append(names, or(string(s), "not registered"))
	}
	return strings.Join(names, ", ")
}

func joinAnd(cs []condition) string {
	names := make([]string, 0, len(cs))
	for _, c := range cs {
		names = append(names, string(c))
	}
	return strings.Join(names, " and ")
}

// edges draws the rows with one Metal3 state each for its actions: from what is shown, by the action.
func edges(rows []row) []string {
	id := func(s metal3v1alpha1.ProvisioningState) string { return strings.ReplaceAll(string(s), " ", "_") }
	leads := map[provisioner.Action]metal3v1alpha1.ProvisioningState{
		provisioner.Manage: metal3v1alpha1.StateRegistering, provisioner.Inspect: metal3v1alpha1.StateInspecting,
		provisioner.Provide: metal3v1alpha1.StatePreparing, provisioner.Deploy: metal3v1alpha1.StateProvisioning,
		provisioner.Undeploy: metal3v1alpha1.StateDeprovisioning, provisioner.Adopt: metal3v1alpha1.StateRegistering,
		provisioner.Delete: metal3v1alpha1.StateDeleting, provisioner.SwitchOff: metal3v1alpha1.StatePoweringOffBeforeDelete,
	}
	seen := map[string]bool{}
	var out []string
	add := func(from, to, label string) {
		if e := fmt.Sprintf("%s --> %s: %s", from, to, label); from != to && !seen[e] {
			seen[e] = true
			out = append(out, e)
		}
	}
	add("[*]", "registering", "Register")
	for _, r := range rows {
		for _, s := range r.in {
			to, drawn := leads[r.do]
			if !drawn || (r.do == provisioner.SwitchOff && !slices.Contains(r.when, deleting)) {
				continue
			}
			f := facts{seen: provisioner.Observation{State: s}}
			add(id(f.shown()), id(to), string(r.do))
		}
	}
	add("registering", "preparing", "verified")
	add("inspecting", "preparing", "inspected")
	add("preparing", "available", "clean")
	add("provisioning", "provisioned", "written")
	add("registering", "externally_provisioned", "adopted")
	add("deprovisioning", "available", "clean")
	add("deleting", "[*]", "forgotten")
	return out
}
