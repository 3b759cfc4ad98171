package main

import (
	"fmt"

	"github.com/spf13/cobra"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/ansible/keeper"
	"github.com/rackplane/rackplane/ansible/local"
)

// ansibleRunCommand is what the engine starts for each Ansible run; nobody calls it by hand.
func ansibleRunCommand() *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{
		Use:    "ansible-run DIR",
		Short:  "Supervise the Ansible run that the engine laid out in DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if kubeconfig == "" {
				return local.Supervise(cmd.Context(), args[0], nil)
			}
			return local.Supervise(cmd.Context(), args[0], func(h local.Hold) (local.Tenure, error) { return tenure(kubeconfig, h) })
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file to renew the run's lease with (default: it is not renewed)")
	return cmd
}

// ansibleInsideCommand is what a run's supervisor starts, to wall the run in and to let it out to its nodes.
func ansibleInsideCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "ansible-inside",
		Short:              "Be a process of an Ansible run's sandbox",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, words []string) error {
			code, err := local.Inside(cmd.Context(), words)
			if err == nil && code != 0 {
				err = exitError{code}
			}
			return err
		},
	}
}

// tenure is a run's Lease in the API.
func tenure(kubeconfig string, h local.Hold) (local.Tenure, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	client, err := coordinationv1.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kubeconfig, err)
	}
	return &keeper.Tenure{Leases: client.Leases(h.Namespace), Key: h.Key, Token: h.Token, Clock: clock.RealClock{}}, nil
}
