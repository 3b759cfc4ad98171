package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/report"
)

func statusCommand() *cobra.Command {
	var kube kubeFlags
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [NODESET]",
		Short: "Show NodeSets, their nodes, and what each one waits for",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, namespace, err := kube.config()
			if err != nil {
				return err
			}
			c, err := client.New(cfg, client.Options{Scheme: newScheme()})
			if err != nil {
				return err
			}
			nodeSet := ""
			if len(args) == 1 {
				nodeSet = args[0]
			}
			read := func(ctx context.Context) (report.View, error) { return readView(ctx, c, namespace, nodeSet) }
			if watch {
				return follow(cmd.Context(), cmd.OutOrStdout(), read)
			}
			v, err := read(cmd.Context())
			if err != nil {
				return err
			}
			return report.Tree(cmd.OutOrStdout(), v, style())
		},
	}
	kube.add(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "follow until interrupted: a live tree on a terminal, one line per change in a pipe")
	return cmd
}

// style has colours on a terminal that wants them.
func style() report.Style {
	if isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "" {
		return report.Colour()
	}
	return report.Style{}
}

// follow shows the view every second: redrawn on a terminal, one plain line per change otherwise.
func follow(ctx context.Context, w io.Writer, read func(context.Context) (report.View, error)) error {
	show := report.NewChanges(w).Write
	if isTerminal(os.Stdout) {
		show = report.NewScreen(w, style()).Draw
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		v, err := read(ctx)
		if ctx.Err() != nil {
			return nil // interrupted by the user: what was shown stands
		}
		if err != nil {
			return err
		}
		if err := show(v); err != nil {
			return fmt.Errorf("writing the view: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
