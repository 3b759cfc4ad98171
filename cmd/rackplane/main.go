// Command rackplane turns racks of bare metal into OpenStack computes. One
// binary: the engine (manager, standalone) and the tools to look at it (plan,
// status). Linked under the name kubectl-rackplane it is a kubectl plugin.
// This is the only package that knows every implementation.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// exitError carries an exit code that is not a failure, such as plan's 2 for "there are changes".
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	var code exitError
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(code.code)
	default:
		fmt.Fprintln(os.Stderr, "rackplane:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "rackplane",
		Short:         "Bare metal racks to OpenStack computes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(managerCommand(), standaloneCommand(), planCommand(), statusCommand(), ansibleRunCommand())
	return cmd
}
