package ssh_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote/ssh"
)

// facts are the least a node tells, as one line.
const facts = `{"os":{"id":"debian"},"kernel":{"running":"6.1"},"identity":{"hostName":"n0"},"clock":{"unix":1}}`

func TestExamine(t *testing.T) {
	t.Parallel()
	for name, output := range map[string]string{
		"facts":                facts,
		"with a line feed":     facts + "\n",
		"after a chatty shell": "Welcome!\nfortune of the day\n" + facts + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshd{host: newKey(t), known: newKey(t), output: output}
			got, err := ssh.Examiner{}.Examine(t.Context(), s.start(t), adoption.Question{})
			if err != nil || got.OS.ID != "debian" || got.Identity.HostName != "n0" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestExamineRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		output, complaint string
		kind              fault.Kind
		text              string
	}{
		"silence":             {"", "", fault.Unsupported, "does not tell what it is like"},
		"prose":               {"This account is not available.\n", "", fault.Unsupported, "does not tell what it is like"},
		"terminal codes":      {"", "\x1b[2J\x1b]0;owned\x07", fault.Unsupported, "does not tell what it is like"},
		"half of it":          {facts[:40], "", fault.Unsupported, "does not tell what it is like"},
		"a field too many":    {`{"evil": 1}`, "", fault.Unsupported, "does not tell what it is like"},
		"no end of it":        {strings.Repeat("x", 5<<20), "", fault.Unsupported, "answers more than 4 MiB"},
		"complaints for ever": {"", strings.Repeat("y", 1<<20), fault.Unsupported, "yyy..."},
		"sudo with password":  {"", "sudo: a password is required\n", fault.Denied, "NOPASSWD"},
		"no sudoer":           {"", "cloud-admin is not in the sudoers file.\n", fault.Denied, "NOPASSWD"},
		"no python":           {"", "sudo: python3: command not found\n", fault.Unsupported, "has no python3: install it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := sshd{host: newKey(t), known: newKey(t), output: c.output, complaint: c.complaint}.start(t)
			_, err := ssh.Examiner{Timeout: 20 * time.Second}.Examine(t.Context(), target, adoption.Question{})
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), net.JoinHostPort(target.Address, strconv.Itoa(int(target.Port)))) {
				t.Errorf("%s: %v, want %s with the address and %q", fault.KindOf(err), err, c.kind, c.text)
			}
			if err != nil && (strings.ContainsAny(err.Error(), "\n\x1b\x07") || len(err.Error()) > 600) {
				t.Errorf("the error carries what the node said: %.800q", err)
			}
		})
	}
}

func TestExamineTrustsPinnedKeysOnly(t *testing.T) {
	t.Parallel()
	target := sshd{host: newKey(t), known: newKey(t), output: facts}.start(t)
	target.HostKeys = []string{newKey(t).public}
	if _, err := (ssh.Examiner{}).Examine(t.Context(), target, adoption.Question{}); !fault.Is(err, fault.Rejected) {
		t.Errorf("another host key: %v", err)
	}
}

func TestExamineEndsInTime(t *testing.T) {
	t.Parallel()
	target := sshd{host: newKey(t), known: newKey(t), hanging: true}.start(t)
	began := time.Now()
	_, err := ssh.Examiner{Timeout: 300 * time.Millisecond}.Examine(t.Context(), target, adoption.Question{})
	if !fault.Is(err, fault.Transient) || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// script is what a node would get to run.
func script(t *testing.T, question string) string {
	t.Helper()
	text, err := os.ReadFile("examine.py")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(text), "@QUESTION@", question, 1)
}

// python runs a program as a node would.
func python(t *testing.T, program string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", "-I", "-B", "-")
	cmd.Stdin = strings.NewReader(program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// TestScriptOnThisMachine runs the script here, where it must find its own listener and nothing at a closed port.
func TestScriptOnThisMachine(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	open := listener.Addr().String()
	question, err := json.Marshal(adoption.Question{Connect: []string{open, "127.0.0.1:1", `"""); import os #:1`, "portless"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := adoption.Parse(python(t, script(t, string(question))))
	if err != nil {
		t.Fatal(err)
	}
	if got.OS.ID == "" || got.Kernel.Architecture == "" || len(got.Disks) != 3 || got.Disks[0].FreeBytes == 0 || len(got.Addresses) == 0 {
		t.Errorf("%+v", got)
	}
	if got.Endpoints[open] != "" || got.Endpoints["127.0.0.1:1"] != "connection refused" || got.Endpoints[`"""); import os #:1`] == "" || got.Endpoints["portless"] != "not an address with a port" {
		t.Errorf("endpoints %v", got.Endpoints)
	}
	if age := time.Since(time.UnixMilli(got.Clock.Unix)); age.Abs() > time.Minute {
		t.Errorf("its clock is %s behind", age)
	}
}

// TestScriptReadsWhatOthersLeave lets the script's parts look at files as Kolla, TripleO, podman and docker write them.
func TestScriptReadsWhatOthersLeave(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, content := range map[string]string{
		"etc/nova/nova.conf":                                            "[DEFAULT]\nhost = older\ntransport_url = rabbit://nova:p%40ss@192.0.2.1:5672,malformed,nova:x@192.0.2.2?ssl=1\n[neutron]\nhost = wrong\n",
		"etc/nova/nova.conf.d/02.conf":                                  "[DEFAULT]\nhost = compute-a.example.com\n",
		"etc/kolla/nova-compute/nova.conf":                              "[DEFAULT]\nhost = oldest\n",
		"var/lib/containers/storage/overlay-containers/containers.json": `[{"id": "aa", "names": ["nova_compute"]}, {"id": "bb"}]`,
		"var/lib/docker/containers/cc/config.v2.json":                   `{"Name": "/grafana", "State": {"Running": true}}`,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := strings.ReplaceAll(script(t, `{"connect": []}`), "\nmain()\n", `
commands = lambda: iter([["/usr/bin/conmon", "-c", "aa"], ["/usr/bin/qemu-system-x86_64", "-name", "guest=instance-1,debug-threads=on", "-uuid", "u"]])
print(json.dumps([nova(), containers(), guests()]))
`)
	program = strings.ReplaceAll(program, `"/var/lib/`, `"`+root+`/var/lib/`)
	program = strings.ReplaceAll(program, `"/etc/`, `"`+root+`/etc/`)
	want := `[["compute-a.example.com", ["192.0.2.1:5672", "192.0.2.2:5672"]], ` +
		`[{"name": "nova_compute", "runtime": "podman", "running": true}, {"name": "bb", "runtime": "podman", "running": false}, {"name": "grafana", "runtime": "docker", "running": true}], ` +
		`[{"name": "instance-1", "uuid": "u"}]]`
	if got := strings.TrimSpace(string(python(t, program))); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestScriptSpeaksToOpenVSwitch answers as ovsdb-server does (RFC 7047).
func TestScriptSpeaksToOpenVSwitch(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "db.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	asked := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		request := make([]byte, 1<<16)
		n, _ := conn.Read(request)
		asked <- string(request[:n])
		answer := `{"id": 1, "error": null, "result": [` +
			`{"rows": [{"external_ids": ["map", [["ovn-remote", "tcp:192.0.2.5:6642"], ["system-id", "c"]]]}]}, {"rows": [{"target": "ptcp:6640:127.0.0.1"}]}, ` +
			`{"rows": [{"name": "br-int", "controller": ["set", []]}, {"name": "br-ex", "controller": ["uuid", "u1"]}]}, {"rows": [{"_uuid": ["uuid", "u1"], "target": "tcp:127.0.0.1:6633"}]}]}`
		_, _ = conn.Write([]byte(answer[:50]))
		time.Sleep(10 * time.Millisecond)
		_, _ = conn.Write([]byte(answer[50:]))
	}()
	program := strings.ReplaceAll(script(t, `{"connect": []}`), "\nmain()\n", "\nprint(json.dumps(open_vswitch()))\n")
	got := strings.TrimSpace(string(python(t, strings.ReplaceAll(program, "/run/openvswitch/db.sock", socket))))
	want := `{"running": true, "externalIDs": {"ovn-remote": "tcp:192.0.2.5:6642", "system-id": "c"}, "managers": ["ptcp:6640:127.0.0.1"], ` +
		`"bridges": [{"name": "br-int", "controllers": []}, {"name": "br-ex", "controllers": ["tcp:127.0.0.1:6633"]}]}`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if request := <-asked; strings.Contains(request, "insert") || strings.Contains(request, "update") || strings.Contains(request, "mutate") || strings.Contains(request, "delete") {
		t.Errorf("asked to write: %s", request)
	}
}
