package onhosts

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed ansible.py
var ansibleProgram string

// ansible runs ansible-playbook, as often as it is asked, in processes that need not load it: that took half a second of CPU each.
type ansible struct {
	orders  io.Writer
	answers *bufio.Scanner
	output  string // file for what a run prints
	log     string // file for what goes wrong beside runs
}

// loadAnsible starts Ansible with the bench's settings. It ends with the test.
func (b *Bench) loadAnsible(t *testing.T) *ansible {
	t.Helper()
	// As the engine does (ansible/local/layout.go).
	b.Write(t, "ansible.cfg", []byte("[defaults]\ninternal_poll_interval = 0.01\n"))
	a := &ansible{output: b.Path("output"), log: b.Path("log")}
	log, err := os.Create(a.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(environmentVariable), "bin", "python3"), "-P", "-c", ansibleProgram)
	cmd.Dir, cmd.Stderr = b.dir, log
	cmd.Env = append(os.Environ(),
		"ANSIBLE_CONFIG="+b.Path("ansible.cfg"),
		"ANSIBLE_COLLECTIONS_PATH="+b.Path("playbooks"), "ANSIBLE_HOME="+b.Path(".ansible"),
		// Racks have the same addresses: without a folder of its own for each, one rack's connections would be taken for another's.
		"ANSIBLE_SSH_CONTROL_PATH_DIR="+b.Path("cp"), "ANSIBLE_PIPELINING=True",
		"ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3", "ANSIBLE_NOCOLOR=True", "ANSIBLE_SSH_ARGS="+strings.Join(b.sshOptions(), " "),
		"ANSIBLE_CALLBACKS_ENABLED=osp.edpm.rackplane", "RACKPLANE_EVENTS="+b.Path("events"))
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = orders.Close()
		_ = cmd.Wait() // the test's end may have killed it
	})
	a.orders, a.answers = orders, bufio.NewScanner(answers)
	return a
}

// run runs ansible-playbook to its end. Its error is that of a run that did not end well.
func (a *ansible) run(t *testing.T, args []string) error {
	t.Helper()
	order, err := json.Marshal(map[string]any{"argv": append([]string{"ansible-playbook"}, args...), "output": a.output})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.orders.Write(append(order, '\n')); err != nil || !a.answers.Scan() {
		complaint, _ := os.ReadFile(a.log) // it says why, when it can
		t.Fatalf("Ansible has ended: %v\n%s", err, complaint)
	}
	if status := a.answers.Text(); status != "0" {
		return fmt.Errorf("ansible-playbook: exit status %s", status)
	}
	return nil
}
