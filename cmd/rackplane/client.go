package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/epoch"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/report"
)

// newScheme knows every kind the engine reads or writes.
func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	utilruntime.Must(metal3v1alpha1.AddToScheme(s))
	return s
}

// kubeFlags find the API server the way kubectl does.
type kubeFlags struct {
	kubeconfig, context, namespace string
	allNamespaces                  bool
}

func (f *kubeFlags) add(cmd *cobra.Command) {
	f.addNamespaced(cmd)
	cmd.Flags().BoolVarP(&f.allNamespaces, "all-namespaces", "A", false, "all namespaces")
}

// addNamespaced is for commands about one object.
func (f *kubeFlags) addNamespaced(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, then ~/.kube/config, then in-cluster)")
	cmd.Flags().StringVar(&f.context, "context", "", "kubeconfig context")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace (default: the context's)")
}

// config returns the connection and the namespace to look at; "" means all.
func (f *kubeFlags) config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	overrides.Context.Namespace = f.namespace
	cc := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	cfg, err := cc.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("no API server to talk to: %w (give --kubeconfig; `rackplane standalone` writes one into its state directory)", err)
	}
	if f.allNamespaces {
		return cfg, "", nil
	}
	ns, _, err := cc.Namespace()
	return cfg, ns, err
}

// readView reads what report shows. Hosts are read in every namespace the NodeSets of the view name.
func readView(ctx context.Context, c client.Reader, namespace, nodeSet string) (report.View, error) {
	v := report.View{Now: time.Now()}
	var sets v1alpha1.NodeSetList
	if err := c.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
		if meta.IsNoMatchError(err) {
			return v, errors.New("the API server does not know Rackplane's kinds: apply config/crd, or run `rackplane standalone`")
		}
		return v, err
	}
	hostNamespaces := map[string]bool{}
	for _, s := range sets.Items {
		if nodeSet != "" && s.Name != nodeSet {
			continue
		}
		v.NodeSets = append(v.NodeSets, s)
		hostNamespaces[plan.HostNamespace(&s)] = true
	}
	if nodeSet != "" && len(v.NodeSets) == 0 {
		return v, fmt.Errorf("NodeSet %q not found in namespace %q: `rackplane status -A` lists all", nodeSet, namespace)
	}
	if len(v.NodeSets) == 0 {
		hostNamespaces[namespace] = true
	}
	v.Paused = epoch.WhyPaused(ctx, c, engineNamespace)
	opts := []client.ListOption{client.InNamespace(namespace)}
	if nodeSet != "" {
		opts = append(opts, client.MatchingLabels{v1alpha1.NodeSetLabel: nodeSet})
	}
	if err := readNodes(ctx, c, &v, opts); err != nil {
		return v, err
	}
	return v, readHosts(ctx, c, &v, hostNamespaces)
}

func readNodes(ctx context.Context, c client.Reader, v *report.View, opts []client.ListOption) error {
	var nodes v1alpha1.DataPlaneNodeList
	if err := c.List(ctx, &nodes, opts...); err != nil {
		return err
	}
	var deps v1alpha1.DataPlaneDeploymentList
	if err := c.List(ctx, &deps, opts[0]); err != nil {
		return err
	}
	v.Nodes, v.Deployments = nodes.Items, deps.Items
	return nil
}

func readHosts(ctx context.Context, c client.Reader, v *report.View, namespaces map[string]bool) error {
	for ns := range namespaces {
		var hosts metal3v1alpha1.BareMetalHostList
		if err := c.List(ctx, &hosts, client.InNamespace(ns)); err != nil {
			return err
		}
		v.Hosts = append(v.Hosts, hosts.Items...)
	}
	return nil
}

// isTerminal reports whether f is a terminal, where a live view and colours help.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
