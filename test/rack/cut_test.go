package rack

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCutHostBootsAgain cuts the power of a running system without warning, again and again.
func TestCutHostBootsAgain(t *testing.T) {
	r, err := Start(t.Context(), Config{Dir: t.TempDir(), Hosts: DefaultHosts(1), PreProvisioned: &PreProvisioned{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	r.cancel() // ends the host's power circuit, which cuts the power
	r.hosts.Wait()
	h := r.Hosts[0]
	for range 2 {
		system, err := bootDisk(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-system.done():
			console, _ := os.ReadFile(filepath.Join(h.stateDir, "log", h.Name+".log"))
			t.Fatalf("after a power cut the system ends with its boot:\n%s", console)
		case <-time.After(2 * time.Second):
		}
		system.stop()
	}
}
