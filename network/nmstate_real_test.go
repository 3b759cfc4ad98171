//go:build nmstate

package network

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestNmstateAccepts holds every golden document against the real nmstatectl, which hack/nmstate.sh builds. It only turns files into
// files; nothing here is applied.
func TestNmstateAccepts(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(cache, "rackplane", "nmstate", "bin", "nmstatectl")
	if _, err := os.Stat(tool); err != nil {
		t.Fatal("no nmstatectl: make test-nmstate builds it")
	}
	files, err := filepath.Glob("testdata/*.nmstate.yaml")
	more, errMore := filepath.Glob("testdata/guide/*.nmstate.yaml")
	if err != nil || errMore != nil || len(files) == 0 || len(more) == 0 {
		t.Fatal(files, more, err, errMore)
	}
	for _, file := range append(files, more...) {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var golden struct {
				NMState any `json:"nmstate"`
			}
			if err := yaml.Unmarshal(text, &golden); err != nil {
				t.Fatal(err)
			}
			document, err := yaml.Marshal(golden.NMState)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), tool, "gc", "-q", "-")
			path := filepath.Join(t.TempDir(), "document.yml")
			if err := os.WriteFile(path, document, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd.Args[len(cmd.Args)-1] = path
			out, err := cmd.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("[connection]")) {
				t.Errorf("%v\n%s\n%s", err, out, document)
			}
		})
	}
}
