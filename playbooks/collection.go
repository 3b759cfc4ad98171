package playbooks

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/ansible/rollout"
)

const (
	home = root + "/osp/edpm"
	// namespace begins the names of everything in the collection.
	namespace = "osp.edpm."
)

// Collection returns what decides when the collection's playbooks run again: for each the variables that its roles read,
// as their meta/argument_specs.yml and meta/reads.yml declare, and a version of the files that it runs: its own, its roles' and
// all plugins. tests/unit/test_reads.py holds the declarations to what is read. It is made anew by each call.
func Collection() rollout.Collection {
	c := rollout.Collection{Version: Hash(), Playbooks: map[string]rollout.Playbook{}}
	files, err := fs.Glob(collection, home+"/playbooks/*.yml")
	for _, file := range files {
		name := namespace + strings.TrimSuffix(path.Base(file), ".yml")
		if c.Playbooks[name], err = describe(file); err != nil {
			break
		}
	}
	if err != nil {
		panic(err) // what is compiled in was read by the tests
	}
	return c
}

func describe(file string) (rollout.Playbook, error) {
	used, err := rolesOf(file)
	if err != nil {
		return rollout.Playbook{}, err
	}
	var reads rollout.Reads
	parts := []string{file, home + "/plugins", home + "/meta"}
	for _, r := range used {
		declared, err := r.reads()
		if err != nil {
			return rollout.Playbook{}, err
		}
		reads.Names, reads.Suffixes = append(reads.Names, declared.Names...), append(reads.Suffixes, declared.Suffixes...)
		parts = append(parts, r.folder())
	}
	slices.Sort(reads.Names)
	reads.Names = slices.Compact(reads.Names)
	version, err := hash(collection, slices.Compact(parts)...)
	return rollout.Playbook{Version: version, Reads: reads}, err
}

// role is a role as it is used: the whole of it, or some of its tasks.
type role struct{ name, tasks string }

func (r role) folder() string { return home + "/roles/" + r.name }

var named = regexp.MustCompile(`\bosp\.edpm\.(edpm_\w+)(?:\s+tasks_from: (\w+))?`)

// rolesOf finds the roles that a playbook uses, and those that these use in turn.
func rolesOf(playbook string) ([]role, error) {
	found := map[role]bool{}
	for todo := []string{playbook}; len(todo) > 0; todo = todo[1:] {
		err := fs.WalkDir(collection, todo[0], func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path.Ext(name) != ".yml" {
				return err
			}
			text, err := fs.ReadFile(collection, name)
			for _, match := range named.FindAllStringSubmatch(string(text), -1) {
				r := role{match[1], match[2]}
				if _, err := fs.Stat(collection, r.folder()); err == nil && !found[r] { // modules have names like roles
					found[r] = true
					todo = append(todo, r.folder())
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("playbooks: %s: %w", playbook, err)
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b role) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.tasks, b.tasks))
	}), nil
}

// reads is what the role declares to read: meta/reads.yml names the variables of tasks that are used alone and the suffixes
// of variables whose names no file spells, meta/argument_specs.yml all others.
func (r role) reads() (rollout.Reads, error) {
	var specs struct {
		Entries map[string]struct {
			Options map[string]any `json:"options"`
		} `json:"argument_specs"`
	}
	var further struct {
		Suffixes []string            `json:"suffixes"`
		Tasks    map[string][]string `json:"tasks"`
	}
	for file, into := range map[string]any{"argument_specs.yml": &specs, "reads.yml": &further} {
		text, err := fs.ReadFile(collection, r.folder()+"/meta/"+file)
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if optional := into == any(&further) && errors.Is(err, fs.ErrNotExist); err != nil && !optional {
			return rollout.Reads{}, fmt.Errorf("playbooks: %s of role %s: %w", file, r.name, err)
		}
	}
	reads := rollout.Reads{Suffixes: further.Suffixes, Names: further.Tasks[r.tasks]}
	if len(reads.Names) > 0 {
		return reads, nil
	}
	for _, entry := range specs.Entries {
		reads.Names = slices.AppendSeq(reads.Names, maps.Keys(entry.Options))
	}
	return reads, nil
}
