// Package playbooks carries the Ansible collection osp.edpm inside the binary.
//
// Extract lays the collection down so that its folder serves as
// ANSIBLE_COLLECTIONS_PATH; Hash identifies its contents and belongs into the
// key of every run, so that new playbooks mean new runs. The collection's own
// tests are not part of it. What the playbooks read and report is described in
// README.md beside this file.
package playbooks

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const root = "ansible_collections"

//go:embed all:ansible_collections/osp/edpm/meta all:ansible_collections/osp/edpm/playbooks
//go:embed all:ansible_collections/osp/edpm/plugins all:ansible_collections/osp/edpm/roles
//go:embed ansible_collections/osp/edpm/galaxy.yml ansible_collections/osp/edpm/README.md
//go:embed ansible_collections/osp/edpm/CHANGELOG.md
var collection embed.FS

// Hash is the SHA-256 of the collection's paths and contents, in hexadecimal.
func Hash() string {
	sum, err := hash(collection, root)
	if err != nil {
		panic(err) // Reading what is compiled in cannot fail.
	}
	return sum
}

// Extract makes dir hold the collection and nothing else, and is safe to repeat: contents that are already right are
// left alone, others are replaced as a whole by a rename, so that no reader of dir ever sees a part of a collection.
// dir's parent must exist. Concurrent calls for one dir must be kept apart by the caller.
func Extract(dir string) error {
	if found, err := hash(os.DirFS(dir), root); err == nil && found == Hash() {
		return nil
	}
	staging, err := os.MkdirTemp(filepath.Dir(dir), ".playbooks-")
	if err != nil {
		return fmt.Errorf("playbooks: make a folder beside %s: %w", dir, err)
	}
	err = errors.Join(swap(staging, dir), os.RemoveAll(staging))
	if err != nil {
		return fmt.Errorf("playbooks: lay the collection down in %s: %w", dir, err)
	}
	return nil
}

// swap fills staging/new and puts it in dir's place; what was there ends up in staging.
func swap(staging, dir string) error {
	fresh, old := filepath.Join(staging, "new"), filepath.Join(staging, "old")
	if err := os.CopyFS(fresh, kept{collection}); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(fresh, dir)
}

// hash is the SHA-256 of the paths and contents of some folders and files, in hexadecimal.
func hash(tree fs.FS, parts ...string) (string, error) {
	sum := sha256.New()
	for _, part := range parts {
		err := fs.WalkDir(kept{tree}, part, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			content := sha256.Sum256(text)
			_, err = fmt.Fprintf(sum, "%s %x\n", name, content)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("playbooks: hash the collection: %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// kept is a tree without what Python caches in it: running a module from the source tree or from an extracted
// collection must change neither what is embedded nor what counts as its contents.
type kept struct{ fs.FS }

// ReadDir lists the folder without caches.
func (k kept) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(k.FS, name)
	if err != nil {
		return nil, err
	}
	result := make([]fs.DirEntry, 0, len(entries))
	for _, entry := range entries {
		if entry.Name() != "__pycache__" && !strings.EqualFold(path.Ext(entry.Name()), ".pyc") {
			result = append(result, entry)
		}
	}
	return result, nil
}
