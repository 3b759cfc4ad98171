package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// KubernetesVersion is the version of kube-apiserver that hack/kube-assets.sh provides.
const KubernetesVersion = "v1.37.2"

// Cache is where what the scripts in hack build or download is kept between runs: RACKPLANE_CACHE, or rackplane in the
// user's cache directory.
func Cache() (string, error) {
	if dir := os.Getenv("RACKPLANE_CACHE"); dir != "" {
		return dir, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory (%w): set RACKPLANE_CACHE", err)
	}
	return filepath.Join(user, "rackplane"), nil
}

// DefaultBinaries is where hack/kube-assets.sh puts etcd and kube-apiserver: kube/VERSION in Cache.
func DefaultBinaries() (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", fmt.Errorf("control plane: %w", err)
	}
	return filepath.Join(cache, "kube", KubernetesVersion), nil
}

func checkBinaries(dir string) error {
	for _, name := range []string{"etcd", "kube-apiserver"} {
		info, err := os.Stat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("control plane: %s is not in %s: run hack/kube-assets.sh (about 5 minutes the first time), "+
				"or name the directory that has it", name, dir)
		case err != nil:
			return fmt.Errorf("control plane: %w", err)
		case info.Mode()&0o111 == 0:
			return fmt.Errorf("control plane: %s in %s is not executable: remove it and run hack/kube-assets.sh", name, dir)
		}
	}
	return nil
}
