package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/rackplane/rackplane/ansible/local"
	"github.com/rackplane/rackplane/wire"
)

// ansibleFlags say how Ansible runs are walled in.
type ansibleFlags struct {
	insecure bool
	users    string
	deny     []string
}

func (f *ansibleFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.insecure, "insecure-ansible", false, "run Ansible without its sandbox, as the engine's user: who can write a NodeSet can then run any command on this machine")
	// Above what sssd gives to users of a directory (200000 to 2000200000), below what systemd leaves out (2147352576).
	flags.StringVar(&f.users, "ansible-users", "2100000000-2100065535", "range of user ids that Ansible runs get, one for each namespace; they must be of nobody else")
	flags.StringSliceVar(&f.deny, "ansible-deny", nil, "what neither an Ansible run nor the engine itself may connect to as a node, as host:port, address or CIDR, beside this machine, the API server and Ironic; may be repeated")
}

func (f *ansibleFlags) check() error {
	_, err := f.sandbox()
	return err
}

// sandbox is nil when runs have none. The services are what no run may reach, as wire.HostPort takes them.
func (f *ansibleFlags) sandbox(services ...string) (*local.Sandbox, error) {
	if f.insecure {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	walls := &local.Sandbox{Inside: []string{self, "ansible-inside"}, Deny: slices.Clone(f.deny)}
	if n, err := fmt.Sscanf(f.users, "%d-%d", &walls.FirstID, &walls.LastID); err != nil || n != 2 {
		return nil, fmt.Errorf("--ansible-users=%s: give a range such as 2100000000-2100065535", f.users)
	}
	for _, service := range services {
		if service == "" {
			continue
		}
		address, err := wire.HostPort(service)
		if err != nil {
			return nil, err
		}
		walls.Deny = append(walls.Deny, address)
	}
	if err := walls.Check(); err != nil {
		return nil, fmt.Errorf("--ansible-users, --ansible-deny: %w", err)
	}
	return walls, nil
}

// explain adds the remedy when the sandbox is why there is no runner.
func explain(err error) error {
	if !errors.Is(err, local.ErrSandbox) {
		return err
	}
	return fmt.Errorf("%w: run the engine as root with all capabilities on Linux 5.12 or newer (in a container: a privileged one), "+
		"or, on a machine where everybody who can write a NodeSet may run any command, give --insecure-ansible", err)
}
