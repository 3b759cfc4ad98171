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
	var administrator bool
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the engine against an existing cluster (apply config/default there first)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := engine.check(); err != nil {
				return err
			}
			cfg, err := kube.engineConfig()
			if err != nil {
				return err
			}
			if !administrator {
				if err := refuseAdministrator(cmd.Context(), cfg); err != nil {
					return err
				}
			}
			cfg.QPS, cfg.Burst = 200, 400 // the default of 5 requests a second would be the rack's speed limit
			return runEngine(cmd.Context(), cfg, engine, stateDir, newLogger())
		},
	}
	engine.add(cmd)
	cmd.Flags().StringVar(&kube.kubeconfig, "kubeconfig", "", "kubeconfig file of the engine's own, as `rackplane kubeconfig` writes it (default: the pod's ServiceAccount)")
	cmd.Flags().StringVar(&kube.context, "context", "", "context of --kubeconfig")
	cmd.Flags().BoolVar(&administrator, "allow-administrator", false, "start although the identity may do everything in the cluster")
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
