package hostile

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// venv is the Python environment that runs playbooks.
func venv(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../../hack/ansible/venv.sh").Output()
	if err != nil {
		t.Fatalf("hack/ansible/venv.sh: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// command is a program of the environment in a folder that is its home.
func command(t *testing.T, home, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "ANSIBLE_LOCAL_TEMP=" + filepath.Join(home, "tmp"), "ANSIBLE_NOCOLOR=1", "ANSIBLE_COLLECTIONS_PATH=" + collections(t)}
	return cmd
}

func collections(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../playbooks")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, home, program string, arguments ...string) []byte {
	t.Helper()
	out, err := command(t, home, program, arguments...).Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return out
}

// TestVariablesOfAnsibleAreRefused: of all that the pinned ansible-core reads from a variable, a user may set nothing.
func TestVariablesOfAnsibleAreRefused(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("variables.py")
	if err != nil {
		t.Fatal(err)
	}
	env := venv(t)
	var names []string
	if err := json.Unmarshal(output(t, t.TempDir(), env+"/bin/python3", script), &names); err != nil {
		t.Fatal(err)
	}
	if len(names) < 150 {
		t.Fatalf("only %d variables are known: %v", len(names), names)
	}
	for _, name := range names {
		vars := map[string]apiextensionsv1.JSON{name: {Raw: []byte(`"x"`)}}
		errs := inventory.Check(v1alpha1.AnsibleOptions{AnsibleVars: vars})
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), name) {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

// texts are what Ansible evaluates or misreads when it may.
var texts = []string{
	"{{ lookup('pipe', 'touch canary') }}", "{% for x in [1] %}{{ x }}{% endfor %}", "{# gone #}", "{{", "}}", "{{ no end", "100%", "a # b",
	"#jinja2: variable_start_string:'[%', variable_end_string:'%]'\n[% lookup('pipe', 'touch canary') %]",
	"0600", "12:30", "1_000", "0x1F2E", "1e5", "yes", "NO", "null", "~", "", "=", "<<", "2026-11-28", "52:54:00:12:34:56",
	"line\nanother", "tab\t\"quoted\" 'single' \\n", "\a\u0085\u2028\u00e9\x7f", "!vault |", "!unsafe x", "- a", "a: b", "&a", "*a", strings.Repeat("x", 1<<16),
}

// TestTextIsData: no byte of what is not a user's variable changes on its way to a task, however deep it lies, and
// nothing in it is evaluated. A user's own variables are evaluated.
func TestTextIsData(t *testing.T) {
	t.Parallel()
	list, nested := []any{}, map[string]any{}
	for _, text := range texts {
		list = append(list, text)
		nested[text] = map[string]any{text: []any{text}}
	}
	inv := inventory.Inventory{
		Group:     "rack",
		GroupVars: map[string]any{"shared": list, "evaluated": inventory.Template("{{ 6 * 7 }}"), "text": inventory.Template("0600")},
		Hosts:     []inventory.Host{{Name: "n0", Vars: map[string]any{"own": nested, "hidden": "{{ lookup('pipe', 'touch canary') }}"}}},
	}
	text, err := inv.YAML()
	if err != nil {
		t.Fatal(err)
	}
	env, home := venv(t), t.TempDir()
	write(t, filepath.Join(home, "inventory.yaml"), string(text))
	write(t, filepath.Join(home, "play.yaml"), `
- hosts: all
  connection: local
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
  - ansible.builtin.copy:
      content: "{{ {'shared': shared, 'own': own, 'hidden': hidden, 'evaluated': evaluated, 'text': text} | to_json }}"
      dest: "{{ playbook_dir }}/seen.json"
`)
	output(t, home, env+"/bin/ansible-playbook", "-i", "inventory.yaml", "play.yaml")
	seen, err := os.ReadFile(filepath.Join(home, "seen.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(seen, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"shared": list, "own": nested, "hidden": "{{ lookup('pipe', 'touch canary') }}", "evaluated": float64(42), "text": "0600"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if found, _ := filepath.Glob(filepath.Join(home, "canary*")); len(found) > 0 {
		t.Error("a text was evaluated")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
