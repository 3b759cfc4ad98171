package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
)

// sampled is how many bytes of allocations one is noted of: the default of half a megabyte tells little of ten.
const sampled = 32 << 10

// heap watches how much memory this process takes, and whose it is. The engine shares the process with the simulators and with the
// measurement's own API client, so what they hold is told apart by what made it.
type heap struct {
	mu          sync.Mutex
	peak, alive uint64
	foreign     uint64
	profiles    string // folder for a profile of each part at its fullest; none when empty
	name        string // of the part
}

// watch remembers the largest heap until done is closed.
func (h *heap) watch(done <-chan struct{}) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			metrics.Read(sample)
			h.note(sample[0].Value.Uint64(), sample[1].Value.Uint64())
		}
	}
}

func (h *heap) note(used, alive uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peak = max(h.peak, used)
	if alive <= h.alive+h.alive/50 { // a look at whose it is costs time
		return
	}
	h.alive, h.foreign = alive, foreign()
	if h.profiles != "" {
		if err := h.write(); err != nil {
			fmt.Fprintln(os.Stderr, "scale:", err)
		}
	}
}

func (h *heap) write() error {
	file, err := os.Create(filepath.Join(h.profiles, h.name+".heap"))
	if err != nil {
		return err
	}
	if err := pprof.Lookup("heap").WriteTo(file, 0); err != nil {
		return err
	}
	return file.Close()
}

// begin forgets what was, for a part of that name.
func (h *heap) begin(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name, h.peak, h.alive, h.foreign = name, 0, 0, 0
}

// foreign returns the bytes alive that the engine did not make: samples of what was allocated below this program or a simulator.
func foreign() uint64 {
	records := make([]runtime.MemProfileRecord, 4096)
	n, ok := runtime.MemProfile(records, true)
	for ; !ok; n, ok = runtime.MemProfile(records, true) {
		records = make([]runtime.MemProfileRecord, n+n/2)
	}
	var sum uint64
	for i := range records[:n] {
		if r := &records[i]; r.InUseBytes() > 0 && isForeign(r.Stack()) {
			sum += unsampled(r)
		}
	}
	return sum
}

// isForeign reports whether a stack leads through this program or a simulator; the transports that count pass on what the engine asks.
func isForeign(stack []uintptr) bool {
	for frames := runtime.CallersFrames(stack); ; {
		frame, more := frames.Next()
		name := frame.Function
		switch {
		case strings.HasPrefix(name, "main.counted."), strings.HasPrefix(name, "main.(*body)."), strings.HasPrefix(name, "main.(*rig).engine"):
			return false
		case strings.HasPrefix(name, "main."), strings.Contains(name, "provisionertest."), strings.Contains(name, "ansibletest."), strings.Contains(name, "openstacktest."):
			return true
		case !more:
			return false
		}
	}
}

// unsampled estimates the bytes alive that a record stands for, as runtime/pprof does: a sample of a size is seen with the probability
// 1-exp(-size/rate).
func unsampled(r *runtime.MemProfileRecord) uint64 {
	size := float64(r.InUseBytes()) / float64(r.InUseObjects())
	return uint64(float64(r.InUseBytes()) / (1 - math.Exp(-size/float64(runtime.MemProfileRate))))
}
