package rack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Names below /images/ on the rack's web server.
const (
	imageName         = "edpm.qcow2"
	wrongChecksumName = "wrong.sha256"
)

// products are what hack/rack builds once and caches.
type products struct {
	venv   string // Python environment with Ironic and sushy-tools
	image  string // directory with the node image, its checksum file and the apt repository
	digest string // SHA-256 of the image
}

// Prepare installs and builds what a rack needs: Debian packages, a Python environment, the node image.
// It says on standard error what it does, and does nothing that is done already. Call it before Isolate,
// for it may need the network.
func Prepare(ctx context.Context, cfg Config) error {
	for _, argv := range [][]string{{"deps.sh", "rack"}, {"rack/venv.sh"}, {"rack/image.sh", cfg.profile()}} {
		if _, err := cfg.tree().Build(ctx, argv[0], argv[1:]...); err != nil {
			return fmt.Errorf("rack: %w", err)
		}
	}
	return nil
}

// locate finds what Prepare has made, without the network.
func locate(ctx context.Context, cfg Config) (products, error) {
	venv, err := cfg.tree().Find(ctx, "rack/venv.sh")
	if err != nil {
		return products{}, fmt.Errorf("rack: %w", err)
	}
	image, err := cfg.tree().Find(ctx, "rack/image.sh", cfg.profile())
	if err != nil {
		return products{}, fmt.Errorf("rack: %w", err)
	}
	line, err := os.ReadFile(filepath.Join(image, imageName+".sha256"))
	if err != nil {
		return products{}, fmt.Errorf("rack: %w", err)
	}
	digest, _, _ := strings.Cut(string(line), " ")
	return products{venv: venv, image: image, digest: digest}, nil
}

// describe tells where the web server offers the image.
func (p products) describe() Image {
	images := "http://" + Gateway + "/images/"
	return Image{
		URL: images + imageName, ChecksumURL: images + imageName + ".sha256", Checksum: p.digest, Format: "qcow2",
		WrongChecksumURL: images + wrongChecksumName,
	}
}
