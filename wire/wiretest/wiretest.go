// Package wiretest has what tests of clients share: servers that never stop, and a measure of what they cost.
package wiretest

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// Flood answers every request with so many bytes of one JSON string that begins with head.
func Flood(head string, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		Pour(w, head, "x", size)
	}
}

// Pour writes head and so many bytes of a text again and again, or until the other side has had enough.
func Pour(w io.Writer, head, again string, size int) {
	_, err := io.WriteString(w, head)
	for piece := bytes.Repeat([]byte(again), 1+(64<<10)/len(again)); size > 0 && err == nil; size -= len(piece) {
		_, err = w.Write(piece)
	}
}

// Cheap fails the test when the heap grows by more than most bytes while do runs.
func Cheap(tb testing.TB, most uint64, do func()) {
	tb.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		highest := before
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				peak <- highest
				return
			case <-tick.C:
				highest = max(highest, heap())
			}
		}
	}()
	do()
	close(done)
	grown := <-peak - before
	tb.Logf("the heap grew by %d KiB", grown>>10)
	if grown > most {
		tb.Errorf("the heap grew by %d MiB, want at most %d", grown>>20, most>>20)
	}
}
