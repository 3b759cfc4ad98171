package epoch

import (
	"cmp"
	"fmt"
	"strings"
)

// Mark is where the engine and the API are. The zero Mark is none.
type Mark struct {
	// Site is made once, with the first Mark.
	Site string `json:"site"`
	// Cluster is the UID of the namespace kube-system.
	Cluster string `json:"cluster"`
	// Count goes up while the engine acts.
	Count int64 `json:"count"`
}

// Seen is what there is when the engine starts or counts.
type Seen struct {
	// API is the Mark in the API, File the one of the state directory.
	API, File Mark
	// Cluster the API is.
	Cluster string
	// Strangers are servers that hold deployments of ours which no BareMetalHost of the API knows, and which were none when
	// the API was last written, sorted. Only of the first look that the servers answered: while the engine acts, hosts are let
	// go on purpose.
	Strangers []string
}

// shown is how many servers a reason names.
const shown = 5

// Pause says why the engine must not act; "" when it may.
func Pause(s Seen) string {
	none := Mark{}
	switch {
	case len(s.Strangers) > 0:
		return fmt.Sprintf("Ironic has %d servers with deployments that no BareMetalHost knows (%s): the API is new, or a backup was restored",
			len(s.Strangers), strings.Join(s.Strangers[:min(shown, len(s.Strangers))], ", "))
	case s.API == none && s.File == none:
		return ""
	case s.API == none:
		return "the API is new, and this engine acted on another one before"
	case s.API.Cluster != s.Cluster:
		return "the objects were restored from another cluster"
	case s.File == none:
		return "" // a new state directory, or an engine's first start on this machine
	case s.API.Site != s.File.Site:
		return "this engine acted on another site's API before"
	case s.API.Count < s.File.Count:
		return fmt.Sprintf("the API is older than what this engine last acted on (count %d, was %d): a backup was restored", s.API.Count, s.File.Count)
	}
	return ""
}

// Next is the Mark to write after what was seen. A site that has none yet gets this one.
func Next(s Seen, site string) Mark {
	return Mark{Site: cmp.Or(s.API.Site, s.File.Site, site), Cluster: s.Cluster, Count: max(s.API.Count, s.File.Count) + 1}
}
