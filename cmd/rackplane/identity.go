package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controlplane"
)

// engineAccount is the ServiceAccount of engineNamespace that the roles in config/rbac are bound to.
const engineAccount = "rackplane-manager"

// engineConfig is how the manager reaches its cluster: by the kubeconfig it is given, else as its pod's ServiceAccount.
// Never by what kubectl would take: that is the identity of whoever starts it.
func (f *kubeFlags) engineConfig() (*rest.Config, error) {
	if f.kubeconfig != "" {
		cfg, _, err := f.config()
		return cfg, err
	}
	cfg, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, errors.New("outside of a cluster the manager needs --kubeconfig with an identity of its own: " +
			"`rackplane kubeconfig --output FILE` writes one; ~/.kube/config and $KUBECONFIG are yours and are not used")
	}
	return cfg, err
}

// refuseAdministrator returns an error if the identity may do everything: a mistake of the engine, or of whoever takes it
// over, would be one of the whole cluster's.
func refuseAdministrator(ctx context.Context, cfg *rest.Config) error {
	c, err := client.New(cfg, client.Options{Scheme: newScheme()})
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"},
	}}
	if err := c.Create(ctx, review); apierrors.IsForbidden(err) {
		return nil // who may not even ask is no administrator
	} else if err != nil {
		return fmt.Errorf("ask what the manager's identity may do: %w", err)
	}
	if !review.Status.Allowed {
		return nil
	}
	self := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(ctx, self); err != nil {
		return fmt.Errorf("ask for the manager's identity: %w", err)
	}
	return fmt.Errorf("the manager's identity %q may do everything in the cluster, and the engine must not: "+
		"apply config/default, write it a kubeconfig of its own with `rackplane kubeconfig --output FILE` and give that to --kubeconfig "+
		"(--allow-administrator starts it all the same)", self.Status.UserInfo.Username)
}

func kubeconfigCommand() *cobra.Command {
	var kube kubeFlags
	var output string
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "kubeconfig --output FILE",
		Short: "Write a kubeconfig of the engine's own ServiceAccount, for a manager outside of the cluster",
		Long: `Asks the cluster, with your rights, for a token of the ServiceAccount rackplane-system/rackplane-manager, and writes
FILE and FILE.token, readable by their owner only. The token ends: run the command again before then, from a timer for
example. A manager that runs takes the new token within a minute, without a restart.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := kube.config()
			if err != nil {
				return err
			}
			until, err := writeIdentity(cmd.Context(), cfg, output, duration)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ServiceAccount %s/%s until %s\n", output, engineNamespace, engineAccount, until.Format(time.RFC3339))
			return err
		},
	}
	cmd.Flags().StringVar(&kube.kubeconfig, "kubeconfig", "", "your kubeconfig file (default: $KUBECONFIG, then ~/.kube/config)")
	cmd.Flags().StringVar(&kube.context, "context", "", "your kubeconfig context")
	cmd.Flags().StringVarP(&output, "output", "o", "", "where to write the engine's kubeconfig (required)")
	cmd.Flags().DurationVar(&duration, "duration", 30*24*time.Hour, "how long the token is asked for; the cluster may give less")
	if err := cmd.MarkFlagRequired("output"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// writeIdentity writes the engine's kubeconfig for the cluster of cfg, and its token beside it. It returns when the token ends.
func writeIdentity(ctx context.Context, cfg *rest.Config, output string, duration time.Duration) (time.Time, error) {
	c, err := client.New(cfg, client.Options{Scheme: newScheme()})
	if err != nil {
		return time.Time{}, fmt.Errorf("reach the cluster: %w", err)
	}
	account := &corev1.ServiceAccount{}
	account.Namespace, account.Name = engineNamespace, engineAccount
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(duration.Seconds()))}}
	if err := c.SubResource("token").Create(ctx, account, request); apierrors.IsNotFound(err) {
		return time.Time{}, fmt.Errorf("the cluster has no ServiceAccount %s/%s: kubectl apply -k config/default", engineNamespace, engineAccount)
	} else if err != nil {
		return time.Time{}, fmt.Errorf("ask for a token of ServiceAccount %s/%s: %w", engineNamespace, engineAccount, err)
	}
	token, err := filepath.Abs(output + ".token")
	if err != nil {
		return time.Time{}, err
	}
	own := rest.CopyConfig(cfg)
	if err := rest.LoadTLSFiles(own); err != nil {
		return time.Time{}, fmt.Errorf("read the cluster's certificate authority: %w", err)
	}
	own = rest.AnonymousClientConfig(own)
	own.BearerTokenFile = token
	// The token first: a manager that reads the kubeconfig finds it.
	if err := controlplane.WriteFile(token, []byte(request.Status.Token)); err != nil {
		return time.Time{}, err
	}
	return request.Status.ExpirationTimestamp.Time, writeKubeconfig(own, output)
}
