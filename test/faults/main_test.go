package faults

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain collects garbage seldom: worlds are small and live for a second, and collecting took an eighth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
