package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
)

// fileUsers is the allocation of users to namespaces, beside the runs.
const fileUsers = "users.json"

// userOf returns the namespace's user, which it has for good: files of its runs are there for longer than they run. Two
// namespaces never have the same. It is written down before it is used.
func (c Config) userOf(namespace string) (int, error) {
	if c.Sandbox == nil {
		return nobodyElse, nil
	}
	path := filepath.Join(c.Dir, fileUsers)
	users := map[string]int{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &users)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s says which namespace has which user and cannot be read: put a good copy there, or delete it with all runs beside it: %w", path, err)
	}
	if id, ok := users[namespace]; ok && c.Sandbox.FirstID <= id && id <= c.Sandbox.LastID {
		return id, nil
	}
	id, err := c.Sandbox.free(slices.Collect(maps.Values(users)))
	if err != nil {
		return 0, err
	}
	users[namespace] = id
	return id, writeWhole(path, users)
}

// free is the lowest user that nobody has, nor had.
func (s *Sandbox) free(taken []int) (int, error) {
	for id := s.FirstID; id <= s.LastID; id++ {
		if slices.Contains(taken, id) {
			continue
		}
		if _, err := user.LookupId(strconv.Itoa(id)); err == nil {
			continue // an account of this machine
		}
		return id, nil
	}
	return 0, fmt.Errorf("all users from %d to %d are given to namespaces: widen the range", s.FirstID, s.LastID)
}
