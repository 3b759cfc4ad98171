package cached

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage may gather beside what is alive, in percent of it. Go's own 100 doubles a cache, most of which stays
// alive.
const garbagePercent = 50

// CollectEarly has garbage collected before it is as much as what is alive, unless the environment's GOGC says when.
func CollectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
