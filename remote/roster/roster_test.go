package roster

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

// rack is nodes that are asked on a clock of their own.
type rack struct {
	*testing.T
	Roster
	now    time.Time
	up     map[string]remote.Seen // what those that answer show
	dial   time.Duration          // how long one that is silent takes to be found so
	going  []call
	asks   map[string]int
	order  []string // who was asked, in turn
	woken  map[string]int
	most   int // logins at once
	second int // most logins begun in one second of the last half
}

// call is a login that ends at a time.
type call struct {
	Job
	ends time.Time
}

func newRack(t *testing.T) *rack {
	t.Helper()
	return &rack{T: t, now: time.Unix(1_800_000_000, 0), up: map[string]remote.Seen{}, asks: map[string]int{}, woken: map[string]int{}}
}

func name(node string) types.NamespacedName {
	return types.NamespacedName{Namespace: "site", Name: node}
}

func wanted(node string) remote.Wanted {
	return remote.Wanted{
		Node: name(node), MaxAge: 30 * time.Second,
		Target: remote.Target{Address: node, PrivateKey: []byte("key"), HostKeys: []string{"ssh-ed25519 A"}},
	}
}

// want asks for what is known and returns it in a word.
func (r *rack) want(w remote.Wanted) string {
	seen, err := r.Last(w, r.now)
	if err != nil {
		return string(fault.KindOf(err))
	}
	return seen.NetworkHash
}

// begin begins the logins that may begin now.
func (r *rack) begin() {
	for _, job := range r.Take(r.now) {
		node := job.Node().Name
		r.asks[node]++
		r.order = append(r.order, node)
		ends := r.now
		if _, ok := r.up[node]; !ok {
			ends = ends.Add(r.dial)
		}
		r.going = append(r.going, call{job, ends})
	}
	r.most = max(r.most, len(r.going))
}

// end ends the logins that are over, until none is.
func (r *rack) end() {
	for again := true; again; {
		again = false
		for i, c := range r.going {
			if c.ends.After(r.now) {
				continue
			}
			r.going = append(r.going[:i:i], r.going[i+1:]...)
			seen, ok := r.up[c.Node().Name]
			var err error
			if !ok {
				err = fault.New(fault.Transient, "no answer")
			}
			if r.Told(c.Job, seen, err, r.now) {
				r.woken[c.Node().Name]++
			}
			r.begin()
			again = true
			break
		}
	}
}

// after lets the clock go on, a second at a time.
func (r *rack) after(d time.Duration) {
	r.begin()
	r.end()
	for range d / time.Second {
		r.now = r.now.Add(time.Second)
		before := len(r.order)
		r.begin()
		r.end()
		r.second = max(r.second, len(r.order)-before)
	}
}

func TestAnswersAreAsOldAsTheCallerTakes(t *testing.T) {
	r := newRack(t)
	r.up["a"] = remote.Seen{NetworkHash: "1"}
	w := wanted("a")
	other, later := w, w
	other.HostKeys = []string{"ssh-ed25519 B"}
	later.Of = "after a run"
	steps := []struct {
		what  string
		after time.Duration
		of    remote.Wanted
		want  string
		asks  int
	}{
		{"nothing is known", 0, w, "Busy", 0},
		{"it was asked", 0, w, "1", 1},
		{"soon again", 29 * time.Second, w, "1", 1},
		{"too old", time.Second, w, "Busy", 1},
		{"whoever was told to wait gets the answer, however late", time.Hour, w, "1", 2},
		{"but once", 0, w, "Busy", 2},
		{"of another server", 0, later, "Busy", 3},
		{"it was asked", 0, later, "1", 4},
		{"by another pinned key", 0, other, "Busy", 4},
		{"which is a login of its own", 0, later, "Busy", 5},
	}
	for _, s := range steps {
		r.after(s.after)
		if got := r.want(s.of); got != s.want || r.asks["a"] != s.asks {
			t.Errorf("%s: %s after %d logins, want %s after %d", s.what, got, r.asks["a"], s.want, s.asks)
		}
	}
}

// TestALoginThatWasReplacedSaysNothing: what a login shows counts only for those who asked by it.
func TestALoginThatWasReplacedSaysNothing(t *testing.T) {
	r := newRack(t)
	r.want(wanted("a"))
	jobs := r.Take(r.now)
	other := wanted("a")
	other.HostKeys = []string{"ssh-ed25519 B"}
	r.want(other)
	if r.Told(jobs[0], remote.Seen{NetworkHash: "forged"}, nil, r.now) || r.want(other) != "Busy" {
		t.Errorf("an answer by keys that are pinned no more counts")
	}
	jobs = r.Take(r.now)
	r.Forget(name("a"))
	if r.Told(jobs[0], remote.Seen{}, nil, r.now) || r.Len() != 0 {
		t.Error("one that was forgotten is back")
	}
	if r.asked != 0 {
		t.Errorf("%d logins are taken, want none", r.asked)
	}
}

// TestThousandDeadNodesInAnHour counts what nodes that never answer cost, silent or refused at once.
func TestThousandDeadNodesInAnHour(t *testing.T) {
	for _, dial := range []time.Duration{0, 15 * time.Second} {
		r := newRack(t)
		r.dial = dial
		const nodes = 1000
		for i := range nodes {
			r.want(wanted(fmt.Sprint("dead-", i)))
		}
		r.after(30 * time.Minute)
		r.second = 0
		r.after(30 * time.Minute)
		total, few := len(r.order), len(r.order)
		for i := range nodes {
			few = min(few, r.asks[fmt.Sprint("dead-", i)])
		}
		t.Logf("%s for a login: %d logins, at least %d of each node, %d in one second, %d at once", dial, total, few, r.second, r.most)
		// At rest every two minutes, give or take a quarter; some twenty more until then.
		if total > 55*nodes || few < 8 {
			t.Errorf("%s: %d logins, %d of one node; want at most 55 and at least 8 of each", dial, total, few)
		}
		if r.most > Logins || r.second > dead.most() || dial == 0 && r.second > nodes/30 {
			t.Errorf("%s: %d logins in one second and %d at once, want them spread", dial, r.second, r.most)
		}
		for i := range nodes {
			if n := r.woken[fmt.Sprint("dead-", i)]; n != 1 {
				t.Fatalf("dead-%d is woken %d times: silence that goes on is no news", i, n)
			}
		}
	}
}

// TestHealthyBesideDead: however many nodes are silent, one that answers, one that did before the engine started, a new one
// and one that is booting get their login at once or with the next that ends.
func TestHealthyBesideDead(t *testing.T) {
	r := newRack(t)
	r.dial = 15 * time.Second
	r.up["good"] = remote.Seen{NetworkHash: "1"}
	r.want(wanted("good"))
	r.after(0)
	for i := range 200 {
		r.want(wanted(fmt.Sprint("dead-", i)))
	}
	r.after(0)
	if len(r.going) != young.most() {
		t.Fatalf("%d logins go on, want all that nodes never asked before may have", len(r.going))
	}
	ask := func(w remote.Wanted) {
		t.Helper()
		r.up[w.Node.Name] = remote.Seen{NetworkHash: "2"}
		r.order = nil
		if got := r.want(w); got != "Busy" {
			t.Errorf("%s: %s is known", w.Node.Name, got)
		}
		r.begin()
		if len(r.order) == 0 || r.order[0] != w.Node.Name {
			t.Errorf("%s waits; asked instead: %v", w.Node.Name, r.order)
		}
		r.end()
		if got := r.want(w); got != "2" {
			t.Errorf("%s: %s, want the new answer at once", w.Node.Name, got)
		}
	}
	good := wanted("good")
	good.Of, good.Answered = "after a run", true
	ask(good)
	known := wanted("known")
	known.Answered = true
	ask(known)
	r.after(20 * time.Minute) // the dead are known to be
	r.now = r.now.Add(5 * time.Minute)
	if r.begin(); len(r.going) < dead.most() {
		t.Fatalf("%d logins of dead nodes go on", len(r.going))
	}
	ask(wanted("new"))
	r.want(wanted("boots"))
	r.after(15 * time.Second)
	r.up["boots"] = remote.Seen{NetworkHash: "3"}
	r.after(silentFirst * 2)
	if r.woken["boots"] < 2 || r.want(wanted("boots")) != "3" {
		t.Errorf("one that has just come up waits for those that are dead: woken %d times", r.woken["boots"])
	}
}

// TestYoungestSilenceFirst: of nodes that are due, those that have been silent for the shortest time are asked first.
func TestYoungestSilenceFirst(t *testing.T) {
	r := newRack(t)
	for i := range Logins {
		r.want(wanted(fmt.Sprint("old-", i)))
	}
	r.after(time.Hour / 3)
	r.want(wanted("younger"))
	r.after(time.Minute)
	r.want(wanted("youngest"))
	r.after(0)
	r.dial = 15 * time.Second
	r.order = nil
	r.now = r.now.Add(10 * time.Minute) // all are due
	r.begin()
	if len(r.order) != dead.most() || r.order[0] != "youngest" || r.order[1] != "younger" {
		t.Errorf("%d are asked, first %v; want %d and the youngest first", len(r.order), r.order[:min(2, len(r.order))], dead.most())
	}
}

// TestOneLostPacketIsNoNews: a node that answered is asked twice before its silence is told; then it is soon asked again.
func TestOneLostPacketIsNoNews(t *testing.T) {
	r := newRack(t)
	r.want(wanted("a"))
	job := r.Take(r.now)[0]
	r.Told(job, remote.Seen{NetworkHash: "1"}, nil, r.now)
	lost := fault.New(fault.Transient, "no answer")
	ask := func() Job {
		t.Helper()
		jobs := r.Take(r.now)
		if len(jobs) != 1 {
			t.Fatalf("%d logins", len(jobs))
		}
		return jobs[0]
	}
	r.want(wanted("a"))
	r.now = r.now.Add(time.Minute)
	if got := r.want(wanted("a")); got != "Busy" {
		t.Fatal(got)
	}
	if r.Told(ask(), remote.Seen{}, lost, r.now) {
		t.Error("one lost login is told")
	}
	if !r.Told(ask(), remote.Seen{NetworkHash: "1"}, nil, r.now) || r.want(wanted("a")) != "1" {
		t.Error("the second login answered")
	}
	r.now = r.now.Add(time.Minute)
	r.want(wanted("a"))
	r.Told(ask(), remote.Seen{}, lost, r.now)
	if !r.Told(ask(), remote.Seen{}, lost, r.now) || r.want(wanted("a")) != string(fault.Transient) {
		t.Error("silence is not told")
	}
	r.now = r.now.Add(silentFirst * 5 / 4)
	if !r.Told(ask(), remote.Seen{NetworkHash: "1"}, nil, r.now) || r.want(wanted("a")) != "1" {
		t.Error("it is back and nobody is told")
	}
	r.now = r.now.Add(time.Minute)
	r.want(wanted("a"))
	if !r.Told(ask(), remote.Seen{}, fault.New(fault.Rejected, "another key"), r.now) {
		t.Error("another host key is not told at once")
	}
}

// TestNobodyAsksForever: a silent node that nobody wants to know of is dropped, and one that is forgotten at once.
func TestNobodyAsksForever(t *testing.T) {
	r := newRack(t)
	r.want(wanted("a"))
	r.want(wanted("b"))
	r.after(time.Minute)
	r.Forget(name("b"))
	before := r.asks["b"]
	r.after(2 * forgotten)
	before = r.asks["b"] - before
	all := r.asks["a"]
	r.after(forgotten)
	if before != 0 || r.asks["a"] != all || r.Len() != 0 {
		t.Errorf("%d logins after it was forgotten, %d after an hour in which nobody asked, %d nodes known", before, r.asks["a"]-all, r.Len())
	}
}

func TestRestGrowsWithSilence(t *testing.T) {
	for silence, want := range map[time.Duration]time.Duration{
		0: 3 * time.Second, 12 * time.Second: 3 * time.Second, time.Minute: 15 * time.Second, time.Hour: 2 * time.Minute,
	} {
		if got := Rest(silence); got != want {
			t.Errorf("after %s of silence: %s, want %s", silence, got, want)
		}
	}
}
