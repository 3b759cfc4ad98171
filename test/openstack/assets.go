package openstack

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

// Prepare installs and builds what a cloud needs: Debian packages on this machine, the control plane's image and the
// tiny guest of its servers, which takes about four minutes once. It says on standard error what it does, and does nothing that is done
// already. Call it before rack.Isolate, for it may need the network.
func Prepare(ctx context.Context, cfg Config) error {
	if _, err := runScript(ctx, cfg, nil, "deps.sh"); err != nil {
		return err
	}
	for _, role := range []string{"controlplane", "guest"} {
		if _, err := runScript(ctx, cfg, nil, "image.sh", role); err != nil {
			return err
		}
	}
	return nil
}

// image finds the root file system of a role that Prepare has built, without the network.
func image(ctx context.Context, cfg Config, role string) (string, error) {
	return runScript(ctx, cfg, []string{"RACKPLANE_OFFLINE=1"}, "image.sh", role)
}

// runScript runs one of hack/openstack's scripts and returns what it prints.
func runScript(ctx context.Context, cfg Config, env []string, name string, args ...string) (string, error) {
	source := cfg.Source
	if source == "" {
		var err error
		if source, err = moduleRoot(); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(source, "hack", "openstack", name), args...)
	cmd.Env = append(os.Environ(), env...)
	if cfg.Cache != "" {
		cmd.Env = append(cmd.Env, "RACKPLANE_CACHE="+cfg.Cache)
	}
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("openstack: %s: %w", name, err)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// moduleRoot finds the source tree that the current directory is in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("openstack: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("openstack: not in the project's source tree; set Config.Source")
		}
		dir = parent
	}
}
