package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/rackplane/rackplane/controlplane"
)

func standaloneCommand() *cobra.Command {
	var engine engineFlags
	var plane controlplane.Config
	cmd := &cobra.Command{
		Use:   "standalone --state-dir DIR",
		Short: "Run the engine with its own API server, for a site without Kubernetes",
		Long: `Starts etcd and kube-apiserver, installs the kinds and runs the engine. Everything is kept in the state directory;
a kubeconfig is written there. Killed at any moment and started again, it goes on where it was.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := engine.check(); err != nil {
				return err
			}
			plane.Built = built()
			return standalone(cmd.Context(), plane, engine)
		},
	}
	engine.add(cmd)
	cmd.Flags().StringVar(&plane.Dir, "state-dir", "", "the state directory (required)")
	cmd.Flags().StringVar(&plane.Listen, "listen", "127.0.0.1", "IP address the API is served on")
	cmd.Flags().BoolVar(&plane.AcceptClock, "accept-clock", false, "start although the clock is behind what was written before: it was wrong then and is right now; needed once")
	cmd.Flags().IntVar(&plane.Port, "port", 0, "port the API is served on (default: chosen once, then kept)")
	if err := cmd.MarkFlagRequired("state-dir"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// built is when the commit this program was built from was made; zero when it is not known.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, err := time.Parse(time.RFC3339, s.Value)
			if err == nil {
				return at
			}
		}
	}
	return time.Time{}
}

// standalone runs the engine beside its own control plane; the end of either ends both.
func standalone(ctx context.Context, cfg controlplane.Config, engine engineFlags) (err error) {
	log := newLogger()
	start, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	began := time.Now()
	plane, err := controlplane.Start(start, cfg)
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, plane.Stop(stop))
	}()
	if err := controlplane.InstallCRDs(start, plane.RESTConfig()); err != nil {
		return err
	}
	// The engine has the same rights here as in anyone's cluster, so that the roles in config/rbac are proven by every use.
	limited, err := controlplane.InstallRBAC(start, plane.RESTConfig())
	if err != nil {
		return err
	}
	log.Info("control plane ready", "seconds", fmt.Sprintf("%.1f", time.Since(began).Seconds()), "kubeconfig", plane.Kubeconfig())
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-plane.Done():
			end(plane.Err())
		case <-ctx.Done():
		}
	}()
	err = runEngine(ctx, limited, engine, filepath.Join(cfg.Dir, "engine"), log)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}
