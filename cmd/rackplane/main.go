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
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rackplane/rackplane/line"
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
		fmt.Fprintln(os.Stderr, "rackplane:", shown(err))
		os.Exit(1)
	}
}

// shown is an error as a terminal may get it: API servers and files have a say in its text, a line for each of several.
func shown(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := range lines {
		lines[i] = line.Of(lines[i])
	}
	return strings.Join(lines, "\n")
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "rackplane",
		Short:         "Bare metal racks to OpenStack computes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(
		managerCommand(), kubeconfigCommand(), standaloneCommand(), planCommand(), statusCommand(),
		releaseCommand(), keepCommand(), resumeCommand(), ansibleRunCommand(), ansibleInsideCommand(),
	)
	return cmd
}
