package local

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/fault"
)

const (
	keyPattern  = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	nodePattern = `^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`
	// namePattern is that of DataPlaneService spec.playbook and spec.role: no path and no option passes it.
	namePattern = `^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$`
)

var (
	keyRegexp  = regexp.MustCompile(keyPattern)
	nodeRegexp = regexp.MustCompile(nodePattern)
	nameRegexp = regexp.MustCompile(namePattern)
)

func validKey(key string) bool { return keyRegexp.MatchString(key) }

// validate refuses, as fault.Rejected, a run that could not start or would reach outside its folder.
func validate(r ansible.Run) error {
	if !validKey(r.Key) {
		return fault.New(fault.Rejected, "ansible run key %q must match %s", r.Key, keyPattern)
	}
	if r.Namespace == "" {
		return fault.New(fault.Rejected, "ansible run %s names no namespace", r.Key)
	}
	if r.Playbook == "" && r.PlaybookContents == "" && r.Role == "" {
		return fault.New(fault.Rejected, "ansible run %s has neither a playbook, playbook contents nor a role: set one", r.Key)
	}
	for field, name := range map[string]string{"playbook": r.Playbook, "role": r.Role} {
		if name != "" && !nameRegexp.MatchString(name) {
			return fault.New(fault.Rejected, "ansible run %s: %s %q must be a name in a collection such as osp.edpm.bootstrap", r.Key, field, name)
		}
	}
	if len(r.Nodes) == 0 {
		return fault.New(fault.Rejected, "ansible run %s names no nodes", r.Key)
	}
	for _, node := range r.Nodes {
		if !nodeRegexp.MatchString(node) {
			return fault.New(fault.Rejected, "ansible run %s: node %q must be a lower-case DNS name", r.Key, node)
		}
	}
	return validateData(r)
}

func validateData(r ansible.Run) error {
	for path := range r.Data {
		if !filepath.IsLocal(path) || filepath.Clean(path) != path || path == "." || strings.ContainsRune(path, 0) {
			return fault.New(fault.Rejected, "ansible run %s: data file %q must be a relative path inside the data folder", r.Key, path)
		}
		for parent := filepath.Dir(path); parent != "."; parent = filepath.Dir(parent) {
			if _, both := r.Data[parent]; both {
				return fault.New(fault.Rejected, "ansible run %s: data file %q and folder of %q have the same name: rename one", r.Key, parent, path)
			}
		}
	}
	return nil
}
