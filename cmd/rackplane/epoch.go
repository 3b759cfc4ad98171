package main

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/epoch"
	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner/ironic"
)

// engineNamespace is where the engine keeps what is about itself (config/rbac).
const engineNamespace = "rackplane-system"

// fileStore is a file as a store.
type fileStore string

// Load implements epoch.Store.
func (f fileStore) Load() ([]byte, error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Save implements epoch.Store.
func (f fileStore) Save(data []byte) error { return controlplane.WriteFile(string(f), data) }

// newKeeper notices a restored API. ironic is nil when the engine drives no hosts.
func newKeeper(mgr ctrl.Manager, f engineFlags, dir string, service *ironic.Client) *epoch.Keeper {
	log := mgr.GetLogger()
	k := &epoch.Keeper{
		Client: cached.Writer{Client: mgr.GetClient()}, Live: mgr.GetAPIReader(), Namespace: cmp.Or(f.lease, engineNamespace),
		Store: fileStore(filepath.Join(dir, "epoch")), Clock: clock.RealClock{}, Random: rand.Reader,
		Report: func(reason string) {
			if reason != "" {
				log.Info("PAUSED: nothing is acted on until `rackplane resume`", "reason", reason)
			}
		},
	}
	if service != nil {
		k.Deployments = service.Deployments
	}
	return k
}

func resumeCommand() *cobra.Command {
	var kube kubeFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Let an engine go on that paused because its API was restored or is new",
		Long: `An engine that finds another API than it last acted on looks and tells, and acts on no host, run or cloud. Before you let
it go on: ` + "`rackplane plan`" + ` shows what it would do, the BareMetalHosts show what each of them would.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := kube.config()
			if err != nil {
				return err
			}
			c, err := client.New(cfg, client.Options{Scheme: newScheme()})
			if err != nil {
				return err
			}
			if !yes {
				if f, ok := cmd.InOrStdin().(*os.File); ok && !isTerminal(f) {
					return errors.New("there is no terminal to ask on: give --yes if the engine may act again")
				}
				if !answered(bufio.NewScanner(cmd.InOrStdin()), cmd.OutOrStdout(), "Type resume if the engine may act on what the API says now: ", "resume") {
					return errors.New("that is not it: nothing was changed")
				}
			}
			reason, err := epoch.Resume(cmd.Context(), c, kube.namespace)
			if err != nil {
				return err
			}
			said := "the engine is not paused"
			if reason != "" {
				said = "the engine goes on; it was paused because " + line.Of(reason)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	cmd.Flags().StringVar(&kube.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, then ~/.kube/config, then in-cluster)")
	cmd.Flags().StringVar(&kube.context, "context", "", "kubeconfig context")
	cmd.Flags().StringVar(&kube.namespace, "engine-namespace", engineNamespace, "namespace of the engine")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
