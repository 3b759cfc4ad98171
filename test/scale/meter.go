package main

import (
	"io"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Cost is what the engine did between two readings of the meter.
type Cost struct {
	// Calls at the API server but watches; Writes are those of them that change something, Events those that make an Event.
	Calls  int64 `json:"calls"`
	Writes int64 `json:"writes"`
	Events int64 `json:"events"`
	// Uncached are reads that no cache answered and that fill none.
	Uncached int64 `json:"uncached"`
	// Bytes of all answers, Watched those of them that watches brought.
	Bytes   int64 `json:"bytes"`
	Watched int64 `json:"watched"`
	// Allocs and AllocBytes of the whole process, simulators included.
	Allocs     uint64 `json:"allocs"`
	AllocBytes uint64 `json:"allocBytes"`
	// CPU is seconds of this process, and of the API server and etcd.
	CPU       float64 `json:"cpu"`
	ServerCPU float64 `json:"serverCPU"`
	// Seconds it took.
	Seconds float64 `json:"seconds"`
	// PeakHeap is the most bytes of live and unswept objects, Alive the most that a collection left, and Foreign those of them
	// that are not the engine's but the simulators' and this program's.
	PeakHeap uint64 `json:"peakHeap"`
	Alive    uint64 `json:"alive"`
	Foreign  uint64 `json:"foreign"`
}

// meter counts what passes an API client.
type meter struct {
	calls, writes, events, uncached, bytes, watched atomic.Int64
	last                                            atomic.Int64 // when the last call but a watch began, in Unix nanoseconds
	wrote                                           atomic.Int64 // when the first write but an Event was taken since it was set to 0
	failed                                          atomic.Int64 // calls that got no answer

	mu    sync.Mutex
	verbs map[string]int64 // calls by verb and resource
	heap  heap
}

func newMeter() *meter { return &meter{verbs: map[string]int64{}} }

// Wrap counts what a transport carries.
func (m *meter) Wrap(next http.RoundTripper) http.RoundTripper { return counted{m, next} }

type counted struct {
	*meter
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (c counted) RoundTrip(req *http.Request) (*http.Response, error) {
	query := req.URL.Query()
	watch := query.Get("watch") == "true" || query.Get("watch") == "1"
	if !watch {
		c.enter(req, query.Get("resourceVersion") != "")
	}
	resp, err := c.next.RoundTrip(req)
	switch {
	case err != nil:
		c.failed.Add(1)
	case req.Method != http.MethodGet && resp.StatusCode < 300 && !strings.HasPrefix(resourceOf(req.URL.Path), "events"):
		c.wrote.CompareAndSwap(0, time.Now().UnixNano())
	}
	if err == nil {
		resp.Body = &body{ReadCloser: resp.Body, meter: c.meter, watch: watch}
	}
	return resp, err
}

func (c counted) enter(req *http.Request, fillsCache bool) {
	resource := resourceOf(req.URL.Path)
	c.last.Store(time.Now().UnixNano())
	c.calls.Add(1)
	switch {
	case req.Method != http.MethodGet && strings.HasPrefix(resource, "events"):
		c.events.Add(1)
		c.writes.Add(1)
	case req.Method != http.MethodGet:
		c.writes.Add(1)
	case !fillsCache:
		c.uncached.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verbs[req.Method+" "+resource]++
}

// resourceOf is the resource a path names, with its subresource: /apis/G/V/namespaces/N/RESOURCE/NAME/SUB.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := 3
	if parts[0] == "api" {
		skip = 2
	}
	if len(parts) <= skip {
		return path
	}
	parts = parts[skip:]
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}

type body struct {
	io.ReadCloser
	*meter
	watch bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	if b.watch {
		b.watched.Add(int64(n))
	}
	return n, err
}

// reading is the meter at one moment.
type reading struct {
	Cost
	at    time.Time
	verbs map[string]int64
}

// begin reads the meter for a part of the measurement.
func (m *meter) begin(part string) reading {
	m.heap.begin(part)
	return m.read()
}

func (m *meter) read() reading {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	own, children := processorTime()
	r := reading{at: time.Now(), Cost: Cost{
		Calls: m.calls.Load(), Writes: m.writes.Load(), Events: m.events.Load(), Uncached: m.uncached.Load(),
		Bytes: m.bytes.Load(), Watched: m.watched.Load(), Allocs: mem.Mallocs, AllocBytes: mem.TotalAlloc, CPU: own, ServerCPU: children,
	}}
	m.mu.Lock()
	defer m.mu.Unlock()
	r.verbs = maps.Clone(m.verbs)
	return r
}

// since is the cost since a reading.
func (m *meter) since(from reading) Cost {
	now := m.read()
	m.heap.mu.Lock()
	defer m.heap.mu.Unlock()
	return Cost{
		Calls: now.Calls - from.Calls, Writes: now.Writes - from.Writes, Events: now.Events - from.Events, Uncached: now.Uncached - from.Uncached,
		Bytes: now.Bytes - from.Bytes, Watched: now.Watched - from.Watched, Allocs: now.Allocs - from.Allocs, AllocBytes: now.AllocBytes - from.AllocBytes,
		CPU: now.CPU - from.CPU, ServerCPU: now.ServerCPU - from.ServerCPU, Seconds: now.at.Sub(from.at).Seconds(), PeakHeap: m.heap.peak, Alive: m.heap.alive, Foreign: m.heap.foreign,
	}
}

// verbsSince are the calls since a reading, by verb and resource.
func (m *meter) verbsSince(from reading) map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	made := map[string]int64{}
	for verb, n := range m.verbs {
		if n -= from.verbs[verb]; n > 0 {
			made[verb] = n
		}
	}
	return made
}

// quietFor reports whether no call has begun for so long.
func (m *meter) quietFor(d time.Duration) bool { return time.Since(time.Unix(0, m.last.Load())) >= d }

// processorTime is what this process and its living children have used, in seconds.
func processorTime() (own, children float64) {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		own = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	}
	return own, childrenTime()
}
