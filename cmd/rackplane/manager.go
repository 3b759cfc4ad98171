package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
)

func managerCommand() *cobra.Command {
	var engine engineFlags
	var kube kubeFlags
	var stateDir string
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the engine against an existing cluster (apply config/default there first)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := engine.check(); err != nil {
				return err
			}
			cfg, _, err := kube.config()
			if err != nil {
				return err
			}
			cfg.QPS, cfg.Burst = 200, 400 // the default of 5 requests a second would be the rack's speed limit
			return runEngine(cmd.Context(), cfg, engine, stateDir, newLogger())
		},
	}
	engine.add(cmd)
	cmd.Flags().StringVar(&kube.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, then ~/.kube/config, then in-cluster)")
	cmd.Flags().StringVar(&kube.context, "context", "", "kubeconfig context")
	cmd.Flags().StringVar(&engine.lease, "lease-namespace", "rackplane-system", "namespace of the lease that lets one engine act at a time")
	cmd.Flags().DurationVar(&engine.runLease, "run-lease", time.Minute, "how long after the last sign of life of an Ansible run another engine may run it; one that cannot give any ends itself after half of it")
	cmd.Flags().StringVar(&stateDir, "state-dir", "/var/lib/rackplane", "where Ansible runs are kept; must survive restarts")
	return cmd
}

// newLogger writes one line per event to standard error. RACKPLANE_DEBUG=1 shows what each pass did.
func newLogger() logr.Logger {
	level := slog.LevelInfo
	if os.Getenv("RACKPLANE_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
