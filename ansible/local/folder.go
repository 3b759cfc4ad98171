package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/provisioner/fault"
)

// The files of a run's folder.
const (
	fileLock       = "lock"
	fileCanceled   = "canceled"
	fileOrder      = "order.json"
	fileEnding     = "ending.json"
	fileSupervisor = "supervisor.log"
	fileEvents     = "events.jsonl"
	fileStdout     = "stdout.log"
	fileStderr     = "stderr.log"
	fileConfig     = "ansible.cfg"
	fileInventory  = "inventory.yaml"
	fileExtraVars  = "extra_vars.json"
	fileLimit      = "limit"
	fileKnownHosts = "known_hosts"
	fileKey        = "ssh_key"
	filePlaybook   = "playbook.yaml"
	dirData        = "data"
	dirControl     = "c"
	dirTemporary   = "tmp"
)

// folder is the folder of one run.
type folder struct{ dir string }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// running reports whether a process of the run holds its lock.
func (f folder) running() (bool, error) {
	lock, err := os.Open(f.path(fileLock))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	err = flock(lock, syscall.LOCK_SH)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// state tells where the run stands. The lock is looked at first: results are written before it is let go.
func (f folder) state(j *journal) (ansible.State, error) {
	running, err := f.running()
	if err != nil {
		return "", err
	}
	if running {
		return ansible.Running, nil
	}
	if f.has(fileCanceled) {
		return ansible.Absent, nil
	}
	if err := j.read(f.path(fileEvents)); err != nil {
		return "", err
	}
	if j.over || f.has(fileEnding) {
		return ansible.Finished, nil
	}
	return ansible.Absent, nil
}

// nodes are those of the run; none when there is no run.
func (f folder) nodes() []string {
	limit, err := os.ReadFile(f.path(fileLimit))
	if err != nil {
		return nil
	}
	return strings.Fields(string(limit))
}

func (f folder) has(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

func (f folder) changed() time.Time {
	info, err := os.Stat(f.dir)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// size is what the folder takes of the disk, as far as it can be seen.
func (f folder) size() int64 {
	var size int64
	_ = filepath.WalkDir(f.dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, infoErr := entry.Info(); infoErr == nil {
				size += info.Size()
			}
		}
		return nil // what has gone takes nothing
	})
	return size
}

// times are when the run began, which is when its order was written, and when it is ended at the latest.
func (f folder) times() (since, until time.Time) {
	info, err := os.Stat(f.path(fileOrder))
	if err != nil {
		return since, until
	}
	since = info.ModTime()
	if o, err := f.order(); err == nil {
		until = since.Add(o.Bounds.Timeout)
	}
	return since, until
}

func (f folder) removeSecrets() error {
	var err error
	for _, name := range []string{fileKey, fileExtraVars, dirData, dirControl, dirTemporary} {
		err = errors.Join(err, os.RemoveAll(f.path(name)))
	}
	return err
}

// begin lays the folder out anew and starts the run. An engine that dies in between leaves an Absent run.
func (f folder) begin(ctx context.Context, c Config, r ansible.Run) error {
	// A lost run may have left connections behind.
	if err := f.endProcesses(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(f.dir); err != nil {
		return err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(f.path(fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// From here on the run's processes hold the lock; this process lets go of it.
	defer lock.Close()
	if err := flock(lock, syscall.LOCK_EX); err != nil {
		return err
	}
	err = f.write(r)
	if err == nil {
		err = f.spawn(ctx, c, r, lock)
	}
	if err != nil {
		return errors.Join(err, f.removeSecrets())
	}
	return nil
}

func (f folder) write(r ansible.Run) error {
	vars, err := f.extraVars(r)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		fileConfig:     []byte("# Settings come from the environment. This file keeps Ansible from looking for another one.\n"),
		fileInventory:  r.Inventory,
		fileExtraVars:  vars,
		fileLimit:      []byte(strings.Join(r.Nodes, "\n") + "\n"),
		fileKnownHosts: r.KnownHosts,
		fileEvents:     nil,
	}
	if len(r.SSHPrivateKey) > 0 {
		files[fileKey] = withNewline(r.SSHPrivateKey)
	}
	if text, err := playbookText(r); err != nil {
		return err
	} else if text != nil {
		files[filePlaybook] = text
	}
	if text, err := fence(r); err != nil {
		return err
	} else if text != nil {
		files[fileFence] = text
	}
	for path, data := range r.Data {
		files[filepath.Join(dirData, path)] = data
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, dir := range []string{dirData, dirControl} {
		if err := root.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for path, data := range files {
		if err := root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := root.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// extraVars are the run's, and over them those that no inventory may change: who is talked to, and how it is known.
func (f folder) extraVars(r ansible.Run) ([]byte, error) {
	vars := map[string]any{}
	for name, value := range r.ExtraVars {
		vars[name] = data(value)
	}
	vars["edpm_service_data_dir"] = f.path(dirData)
	vars["ansible_ssh_args"] = sshArguments
	if len(r.Tokens) > 0 {
		vars["ansible_ssh_transfer_method"] = transferMethod
	}
	if len(r.SSHPrivateKey) > 0 {
		vars["ansible_ssh_private_key_file"] = f.path(fileKey)
	}
	data, err := json.Marshal(vars)
	return data, fault.Wrap(fault.Rejected, err, "ansible run %s: extra variables", r.Key)
}

// data marks the texts of a value so that Ansible evaluates nothing in them, in the way its JSON files have for it.
func data(value any) any {
	switch value := value.(type) {
	case string:
		return map[string]string{"__ansible_unsafe": value}
	case []string:
		all := make([]any, len(value))
		for i := range value {
			all[i] = data(value[i])
		}
		return all
	default:
		return value
	}
}

// playbookText is the playbook to write, nil when the run names one of a collection.
func playbookText(r ansible.Run) ([]byte, error) {
	switch {
	case r.Playbook != "":
		return nil, nil
	case r.PlaybookContents != "":
		return []byte(r.PlaybookContents), nil
	default:
		// What ansible-runner makes of its --role option.
		return yaml.Marshal([]map[string]any{{"name": "Run role " + r.Role, "hosts": "all", "roles": []string{r.Role}}})
	}
}

// withNewline ends a key with a newline: OpenSSH refuses one without as malformed.
func withNewline(key []byte) []byte {
	if key[len(key)-1] == '\n' {
		return key
	}
	return append(key[:len(key):len(key)], '\n')
}

func flock(f *os.File, how int) error {
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
