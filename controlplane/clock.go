package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// clockTolerance is how far the clock may be behind what was written: clocks are corrected by so much all the time.
const clockTolerance = 10 * time.Minute

// checkClock refuses a clock that is behind what is known to have happened: a machine without a battery starts in 1970, and
// what is decided and signed then outlives the mistake. With AcceptClock it takes the clock for right, and what was written
// later for written now, so that the next start has nothing to refuse.
func (c Config) checkClock() error {
	now := c.Clock.Now()
	late := func(t time.Time) bool { return t.Sub(now) > clockTolerance }
	shows := now.UTC().Format(time.RFC3339)
	if late(c.Built) && !c.AcceptClock {
		return fmt.Errorf("control plane: the clock shows %s, but this program was built at %s: set the clock, or wait until it is synchronised",
			shows, c.Built.UTC().Format(time.RFC3339))
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return fmt.Errorf("control plane: state directory: %w", err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went away meanwhile
		case err != nil:
			return fmt.Errorf("control plane: state directory: %w", err)
		case !late(info.ModTime()) || info.Mode()&fs.ModeSymlink != 0:
			return nil
		case c.AcceptClock:
			return root.Chtimes(path, now, now)
		}
		return fmt.Errorf("control plane: the clock shows %s, but %s was written at %s: set the clock, or wait until it is synchronised; "+
			"if it is right now and was wrong then, start once with --accept-clock", shows, filepath.Join(c.Dir, path), info.ModTime().UTC().Format(time.RFC3339))
	})
}
