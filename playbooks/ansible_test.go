package playbooks

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const collectionDir = "ansible_collections/osp/edpm"

// services are the playbooks that a node set can name, as RHOSO users know them.
func services() []string {
	return []string{"bootstrap", "configure_network", "install_os", "configure_os", "ssh_known_hosts", "install_certs", "ovn", "neutron_metadata",
		"libvirt", "nova", "telemetry"}
}

func TestEveryPlaybookParses(t *testing.T) {
	files, err := filepath.Glob(collectionDir + "/playbooks/*.yml")
	if err != nil || len(files) != len(services()) {
		t.Fatalf("the collection has playbooks %v (%v), want those of %v", files, err, services())
	}
	dir := extracted(t)
	for _, name := range services() {
		t.Run(name, func(t *testing.T) {
			out := ansible(t, dir, "ansible-playbook", "--syntax-check", "-i", "localhost,", "osp.edpm."+name)
			if strings.Contains(out, "WARNING") {
				t.Errorf("the syntax check warns:\n%s", out)
			}
		})
	}
}

func TestEveryRoleDocumentsItsInputs(t *testing.T) {
	dir := extracted(t)
	roles, err := filepath.Glob(collectionDir + "/roles/*")
	if err != nil || len(roles) == 0 {
		t.Fatalf("no roles found (%v)", err)
	}
	for _, role := range roles {
		name := "osp.edpm." + filepath.Base(role)
		if out := ansible(t, dir, "ansible-doc", "-t", "role", name); !strings.Contains(out, "edpm_") {
			t.Errorf("ansible-doc knows no variable of %s:\n%s", name, out)
		}
	}
}

// Unit tests of modules, filters and the callback, golden keyfiles among them.
func TestPython(t *testing.T) {
	out := ansible(t, ".", "python", "-m", "unittest", "discover", "-s", collectionDir+"/tests/unit")
	t.Log(out)
}

// ansible runs a program of the pinned environment with the collection found under dir, and fails the test with its output.
func ansible(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	path, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(environment(t), "bin", program), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "ANSIBLE_COLLECTIONS_PATH="+path, "PYTHONPATH="+path, "PYTHONDONTWRITEBYTECODE=1",
		"ANSIBLE_HOME="+home, "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=False")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// environment is the virtual environment that hack/ansible/venv.sh keeps in the cache; it makes it when there is none.
func environment(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "../hack/ansible/venv.sh")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("hack/ansible/venv.sh: %v", err)
	}
	return strings.TrimSpace(string(out))
}
