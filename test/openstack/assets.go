package openstack

import (
	"context"

	"github.com/rackplane/rackplane/test/assets"
)

const imageScript = "openstack/image.sh"

// Prepare installs and builds what a cloud needs: Debian packages on this machine, the control plane's image and the
// tiny guest of its servers, which takes about four minutes once. It says on standard error what it does, and does
// nothing that is done already. Call it before rack.Isolate, for it may need the network.
func Prepare(ctx context.Context, cfg Config) error {
	if _, err := cfg.tree().Build(ctx, "deps.sh", "openstack"); err != nil {
		return err
	}
	for _, role := range []string{"controlplane", "guest"} {
		if _, err := cfg.tree().Build(ctx, imageScript, role); err != nil {
			return err
		}
	}
	return nil
}

// image finds the root file system of a role that Prepare has built, without the network.
func (c Config) image(ctx context.Context, role string) (string, error) {
	return c.tree().Find(ctx, imageScript, role)
}

func (c Config) tree() assets.Tree { return assets.Tree{Source: c.Source, Cache: c.Cache} }
