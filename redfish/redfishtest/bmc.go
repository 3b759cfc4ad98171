package redfishtest

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// User and Password log in to every BMC until SetPassword.
const (
	User     = "admin"
	Password = "calvin-5"
)

// Counts is what clients have cost a BMC.
type Counts struct {
	// Requests of any kind, and Connections they came on.
	Requests, Connections int
	// InFlight is the most requests at one time.
	InFlight int
	// LoginsRefused are requests and sessions with a wrong password.
	LoginsRefused int
	// SessionsMade ever, and SessionsOpen now.
	SessionsMade, SessionsOpen int
	// Resets are those that did something, Inserts the images inserted, Patches those taken.
	Resets, Inserts, Patches int
	// NotModified are answers without a body.
	NotModified int
}

// BMC is one management controller with one server.
type BMC struct {
	profile Profile
	server  *httptest.Server
	gone    chan struct{}

	mu       sync.Mutex
	tree     resources
	versions map[string]int
	password string
	sessions map[string]string // token to path
	nextID   int
	counts   Counts
	flying   int
	faults   []*Fault
	pending  string // the power state to come
	lag      int
	running  map[string]*task
	requests []string
}

// Start runs a BMC of the profile on a free port of the loopback interface, with TLS.
func Start(p Profile) *BMC { return start(p, (*httptest.Server).StartTLS) }

// StartPlain is Start without TLS.
func StartPlain(p Profile) *BMC { return start(p, (*httptest.Server).Start) }

func start(p Profile, serve func(*httptest.Server)) *BMC {
	b := &BMC{
		profile: p, tree: p.tree(), versions: map[string]int{}, password: Password, sessions: map[string]string{}, running: map[string]*task{},
		gone: make(chan struct{}),
	}
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	b.server.Config.ErrorLog = nil
	b.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.mu.Lock()
			b.counts.Connections++
			b.mu.Unlock()
		}
	}
	serve(b.server)
	return b
}

// Close stops it.
func (b *BMC) Close() {
	close(b.gone)
	b.server.CloseClientConnections()
	b.server.Close()
}

// URL is where it is served, without a slash at the end.
func (b *BMC) URL() string { return b.server.URL }

// Address is spec.bmc.address of its system.
func (b *BMC) Address() string {
	_, host, _ := strings.Cut(b.server.URL, "://")
	scheme := "redfish-virtualmedia"
	if b.server.TLS == nil {
		scheme += "+http"
	}
	return scheme + "://" + host + b.profile.system()
}

// Certificate is what it shows when it is dialled with TLS.
func (b *BMC) Certificate() *x509.Certificate { return b.server.Certificate() }

// Profile is what it was started with.
func (b *BMC) Profile() Profile { return b.profile }

// Counts is what has been counted since the start or the last ResetCounts.
func (b *BMC) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.counts
	c.SessionsOpen = len(b.sessions)
	return c
}

// ResetCounts begins to count anew.
func (b *BMC) ResetCounts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts, b.requests = Counts{}, nil
}

// Requests lists what was asked, as METHOD /path, in order.
func (b *BMC) Requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.requests...)
}

// SetPassword changes the password of User; sessions live on.
func (b *BMC) SetPassword(password string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.password = password
}

// ForgetSessions is what a restart of the BMC does.
func (b *BMC) ForgetSessions() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.sessions)
}

// Power is the server's true power state, On or Off.
func (b *BMC) Power() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending != "" {
		return b.pending
	}
	return b.tree[b.profile.system()]["PowerState"].(string)
}

// Image is what is in the virtual CD drive, empty when nothing is.
func (b *BMC) Image() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	image, _ := b.tree[b.profile.media()]["Image"].(string)
	return image
}

// Set changes fields of a resource of the tree, as hardware that is swapped does; nil takes one away.
func (b *BMC) Set(path string, fields map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.profile.overlay(b.tree, path, fields)
	b.versions[path]++
}

// SystemPath is where the system is.
func (b *BMC) SystemPath() string { return b.profile.system() }

func (b *BMC) serve(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.counts.Requests++
	b.requests = append(b.requests, r.Method+" "+r.URL.Path)
	b.flying++
	b.counts.InFlight = max(b.counts.InFlight, b.flying)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.flying--
		b.mu.Unlock()
	}()
	b.withFault(w, r, b.due(r))
}

// withFault answers a request as far as its fault lets it.
func (b *BMC) withFault(w http.ResponseWriter, r *http.Request, f Fault) {
	instead := map[Kind]func(){
		Lost:         func() { panic(http.ErrAbortHandler) },
		Unauthorized: func() { refuse(w, http.StatusUnauthorized, "Base.1.0.NoValidSession") },
		Unavailable: func() {
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, "Base.1.0.ServiceTemporarilyUnavailable")
		},
		RedirectLoop: func() { redirect(w, r.URL.Path) },
		RedirectAway: func() { redirect(w, f.To+r.URL.Path) },
		Garbage:      func() { _, _ = io.WriteString(w, "<html><body>Please wait while the BMC starts") },
		Ignored:      func() { w.WriteHeader(http.StatusNoContent) },
		Huge:         func() { huge(w) },
	}[f.Kind]
	if instead == nil {
		b.answered(w, r, f)
		return
	}
	instead()
}

// redirect sends a client wherever the fault says, be it away from the BMC.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func huge(w io.Writer) {
	chunk := strings.Repeat(`"x",`, 1<<14)
	_, err := io.WriteString(w, `{"Members":[`)
	for sent := 0; err == nil && sent < 64<<20; sent += len(chunk) {
		_, err = io.WriteString(w, chunk)
	}
}

// mistyped is an answer with its types twisted.
func mistyped(a answer) answer {
	var value any
	a.header.Del("Etag") // or it were kept as what the resource is
	if json.Unmarshal(a.body, &value) == nil {
		a.body = said(a.status, twisted(value)).body
	}
	return a
}

// answered does what is asked, and spoils the answer as the fault says.
func (b *BMC) answered(w http.ResponseWriter, r *http.Request, f Fault) {
	if f.Kind == Delayed {
		b.late(r, f)
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	a := b.do(r, body)
	if f.Kind == Duplicated {
		a = b.do(r, body)
	}
	if f.Kind == Unanswered {
		panic(http.ErrAbortHandler)
	}
	if f.Kind == ClockSkew {
		w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
	}
	if f.Kind == WrongTypes {
		a = mistyped(a)
	}
	maps.Copy(w.Header(), a.header)
	if len(a.body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	if f.Kind == Truncated && len(a.body) > 1 {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush() // or nothing of it is sent, which is another fault
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}
