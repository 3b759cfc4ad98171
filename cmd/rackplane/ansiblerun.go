package main

import (
	"github.com/spf13/cobra"

	"github.com/rackplane/rackplane/ansible/local"
)

// ansibleRunCommand is what the engine starts for each Ansible run; nobody calls it by hand.
func ansibleRunCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "ansible-run DIR",
		Short:  "Supervise the Ansible run that the engine laid out in DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(cmd *cobra.Command, args []string) error { return local.Supervise(cmd.Context(), args[0]) },
	}
}
