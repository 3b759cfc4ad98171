package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// store names the engine's store of runs in leases. It is the same as long as the state directory is: runs of the store
// are this engine's, whenever they were started.
func (f *engineFlags) store(dir string) (string, error) {
	if f.runLease == 0 {
		return "standalone", nil // the API server's data and the runs are in one directory
	}
	path := filepath.Join(dir, "store")
	name, err := os.ReadFile(path)
	if err == nil && len(name) > 0 {
		return strings.TrimSpace(string(name)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("--state-dir: %w", err)
	}
	machine, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("--state-dir: %w", err)
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("--state-dir: %w", err)
	}
	text := machine + "/" + hex.EncodeToString(random)
	if err := os.WriteFile(path+".new", []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("--state-dir: %w", err)
	}
	return text, os.Rename(path+".new", path)
}
