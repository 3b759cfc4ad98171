package rack

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

// Names below /images/ on the rack's web server.
const (
	imageName         = "edpm.qcow2"
	wrongChecksumName = "wrong.sha256"
)

// assets are what hack/rack builds once and caches.
type assets struct {
	venv   string // Python environment with Ironic and sushy-tools
	image  string // directory with the node image, its checksum file and the apt repository
	digest string // SHA-256 of the image
}

// Prepare installs and builds what a rack needs: Debian packages, a Python environment, the node image.
// It says on standard error what it does, and does nothing that is done already. Call it before Isolate,
// for it may need the network.
func Prepare(ctx context.Context, cfg Config) error {
	for _, argv := range [][]string{{"deps.sh"}, {"venv.sh"}, {"image.sh", cfg.profile()}} {
		if _, err := runScript(ctx, cfg, nil, argv...); err != nil {
			return err
		}
	}
	return nil
}

// locate finds what Prepare has made, without the network.
func locate(ctx context.Context, cfg Config) (assets, error) {
	offline := []string{"RACKPLANE_OFFLINE=1"}
	venv, err := runScript(ctx, cfg, offline, "venv.sh")
	if err != nil {
		return assets{}, err
	}
	image, err := runScript(ctx, cfg, offline, "image.sh", cfg.profile())
	if err != nil {
		return assets{}, err
	}
	line, err := os.ReadFile(filepath.Join(image, imageName+".sha256"))
	if err != nil {
		return assets{}, fmt.Errorf("rack: %w", err)
	}
	digest, _, _ := strings.Cut(string(line), " ")
	return assets{venv: venv, image: image, digest: digest}, nil
}

// describe tells where the web server offers the image.
func (a assets) describe() Image {
	images := "http://" + Gateway + "/images/"
	return Image{
		URL: images + imageName, ChecksumURL: images + imageName + ".sha256", Checksum: a.digest, Format: "qcow2",
		WrongChecksumURL: images + wrongChecksumName,
	}
}

// runScript runs one of hack/rack's scripts, with additions to the environment, and returns what it prints.
func runScript(ctx context.Context, cfg Config, env []string, argv ...string) (string, error) {
	source := cfg.Source
	if source == "" {
		var err error
		if source, err = moduleRoot(); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(source, "hack", "rack", argv[0]), argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if cfg.Cache != "" {
		cmd.Env = append(cmd.Env, "RACKPLANE_CACHE="+cfg.Cache)
	}
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("rack: %s: %w", argv[0], err)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// moduleRoot finds the source tree that the current directory is in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("rack: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("rack: not in the project's source tree; set Config.Source")
		}
		dir = parent
	}
}
