// Package assets runs the scripts in hack that build, once, what tests and the demo run on: images, Python environments,
// Debian packages of this machine. A script prints where its product is, and keeps it in the cache.
package assets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tree says where the scripts are and where they keep what they make. The zero value means the defaults.
type Tree struct {
	// Source is the root of the project's source tree; by default the first directory with a go.mod,
	// from the current one upwards.
	Source string
	// Cache is RACKPLANE_CACHE for the scripts; their own default otherwise.
	Cache string
}

// Build runs a script, named by its path below hack, and returns what it prints. It may install, download and build,
// says on standard error what it does, and does nothing that is done already.
func (t Tree) Build(ctx context.Context, script string, args ...string) (string, error) {
	return t.run(ctx, nil, script, args)
}

// Find is Build without a network: it fails when the product does not exist yet.
func (t Tree) Find(ctx context.Context, script string, args ...string) (string, error) {
	return t.run(ctx, []string{"RACKPLANE_OFFLINE=1"}, script, args)
}

func (t Tree) run(ctx context.Context, env []string, script string, args []string) (string, error) {
	source := t.Source
	if source == "" {
		var err error
		if source, err = moduleRoot(); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(source, "hack", script), args...)
	cmd.Env = append(os.Environ(), env...)
	if t.Cache != "" {
		cmd.Env = append(cmd.Env, "RACKPLANE_CACHE="+t.Cache)
	}
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("hack/%s: %w", script, err)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// moduleRoot finds the source tree that the current directory is in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not in the project's source tree: name its root")
		}
		dir = parent
	}
}
