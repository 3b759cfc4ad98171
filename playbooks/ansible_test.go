package playbooks

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const collectionDir = "ansible_collections/osp/edpm"

// taskBudget is what the default services may take on a node: an executed task costs the engine about 80 ms of CPU.
const taskBudget = 150

// defaultServices are the playbooks of the default services, in the order RHOSO runs them.
func defaultServices() []string {
	return []string{
		"download_cache", "bootstrap", "configure_network", "validate_network", "install_os", "configure_os", "ssh_known_hosts",
		"run_os", "reboot_os", "install_certs", "ovn", "neutron_metadata", "libvirt", "nova", "telemetry",
	}
}

// services are all playbooks that a node set can name. reboot is RHOSO's name of reboot_os.
func services() []string {
	return append(defaultServices(), "reboot", "update", "update_services")
}

func TestEveryPlaybookParses(t *testing.T) {
	files, err := filepath.Glob(collectionDir + "/playbooks/*.yml")
	if err != nil || len(files) != len(services()) {
		t.Fatalf("the collection has playbooks %v (%v), want those of %v", files, err, services())
	}
	words := []string{"--syntax-check", "-i", "localhost,"}
	for _, name := range services() {
		words = append(words, "osp.edpm."+name)
	}
	out := ansible(t, extracted(t), "ansible-playbook", words...)
	if strings.Contains(out, "WARNING") {
		t.Errorf("the syntax check warns:\n%s", out)
	}
}

// One node that hangs must not keep the others from their next task, so no play goes in step; what only works in step would
// be ignored by Ansible with a warning at most.
func TestNoPlayGoesInStep(t *testing.T) {
	inStep := regexp.MustCompile(`\b(run_once|serial|throttle|delegate_to|max_fail_percentage|any_errors_fatal: true)\b|\b(add_host|group_by|pause):`)
	for _, pattern := range []string{"playbooks/*.yml", "roles/*/tasks/*.yml", "roles/*/handlers/*.yml"} {
		files, err := filepath.Glob(filepath.Join(collectionDir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if word := inStep.Find(text); word != nil {
				t.Errorf("%s says %q, which strategy host_pinned does not keep", file, word)
			}
			if plays := strings.Count(string(text), "  hosts: "); strings.Count(string(text), "  strategy: host_pinned\n") != plays {
				t.Errorf("%s has %d plays, want each with strategy: host_pinned", file, plays)
			}
		}
	}
}

// Every task counts, also one that a node skips, and so do the facts that a play gathers.
func TestTasksOfTheDefaultServices(t *testing.T) {
	words := []string{"--list-tasks", "-i", "localhost,"}
	for _, name := range defaultServices() {
		words = append(words, "osp.edpm."+name)
	}
	total := 0
	books := strings.Split(ansible(t, extracted(t), "ansible-playbook", words...), "playbook: ")[1:]
	for i, book := range books {
		name := defaultServices()[i]
		text, err := os.ReadFile(filepath.Join(collectionDir, "playbooks", name+".yml"))
		if err != nil {
			t.Fatal(err)
		}
		tasks := strings.Count(book, "TAGS: [") - strings.Count(book, "  play #") + strings.Count(string(text), "gather_facts: true")
		t.Logf("%-20s %3d", name, tasks)
		total += tasks
	}
	t.Logf("%-20s %3d", "together", total)
	if len(books) != len(defaultServices()) || total == 0 || total > taskBudget {
		t.Errorf("%d playbooks take %d tasks, want %d with at most %d", len(books), total, len(defaultServices()), taskBudget)
	}
}

// What the execution environment installs is what the engine runs by itself.
func TestExecutionEnvironmentPinsTheSameAnsible(t *testing.T) {
	definition, err := os.ReadFile("execution-environment.yml")
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := os.ReadFile("../hack/ansible/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	core := regexp.MustCompile(`ansible-core==\S+`)
	if want := core.FindString(string(pinned)); want == "" || core.FindString(string(definition)) != want {
		t.Errorf("execution-environment.yml pins %q, hack/ansible/requirements.txt %q", core.FindString(string(definition)), want)
	}
}

// A service that has no playbook, or a playbook that no service names, is of no use to a node set.
func TestServicesNamePlaybooks(t *testing.T) {
	named := map[string]bool{"osp.edpm.reboot_os": true} // The service is called reboot-os and runs RHOSO's playbook, reboot.
	files, err := filepath.Glob("../config/services/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, playbook, _ := strings.Cut(string(text), "playbook: ")
		playbook, _, _ = strings.Cut(playbook, "\n")
		named[playbook] = true
		if !slices.Contains(services(), strings.TrimPrefix(playbook, "osp.edpm.")) {
			t.Errorf("%s runs %q, which the collection does not have", file, playbook)
		}
	}
	for _, name := range services() {
		if !named["osp.edpm."+name] {
			t.Errorf("no service runs osp.edpm.%s", name)
		}
	}
}

func TestEveryRoleDocumentsItsInputs(t *testing.T) {
	dir := extracted(t)
	roles, err := filepath.Glob(collectionDir + "/roles/*")
	if err != nil || len(roles) == 0 {
		t.Fatalf("no roles found (%v)", err)
	}
	words := []string{"-t", "role", "--json"}
	for _, role := range roles {
		words = append(words, "osp.edpm."+filepath.Base(role))
	}
	var documented map[string]struct {
		Entries map[string]struct {
			Options map[string]any
		} `json:"entry_points"`
	}
	if err := json.Unmarshal([]byte(ansible(t, dir, "ansible-doc", words...)), &documented); err != nil {
		t.Fatal(err)
	}
	for _, name := range words[3:] {
		if len(documented[name].Entries["main"].Options) == 0 {
			t.Errorf("ansible-doc knows no variable of %s", name)
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
