package local

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/rackplane/rackplane/ansible"
)

// engine is what the helper process is told.
type engine struct {
	Config Config
	Run    ansible.Run
}

func writeEngine(t *testing.T, path string, c Config, run ansible.Run) {
	t.Helper()
	data, err := json.Marshal(engine{c, run})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data))
}

func engineMain() error {
	data, err := os.ReadFile(os.Getenv(engineRun))
	if err != nil {
		return err
	}
	var e engine
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	r, err := New(context.Background(), e.Config)
	if err != nil {
		return err
	}
	return r.Start(context.Background(), e.Run)
}
