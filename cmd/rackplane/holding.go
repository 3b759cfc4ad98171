package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// shownDigits of a deployment id are what a person types.
const shownDigits = 8

// maxHolding bounds what is shown of an annotation.
const maxHolding = 64

func releaseCommand() *cobra.Command {
	var kube kubeFlags
	var force bool
	var deployment string
	cmd := &cobra.Command{
		Use:   "release --force HOST",
		Short: "Allow a held BareMetalHost to erase what is on its server",
		Long: `A BareMetalHost is held when its server holds something that it did not put there, or was not told to take off.
This writes into the API that what is there now, and nothing else, may be erased. It asks twice.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !force {
				return errors.New("release erases a server: give --force if that is meant; `rackplane keep HOST` lets it run")
			}
			ask := confirmation(cmd.InOrStdin(), cmd.OutOrStdout(), deployment)
			return onHost(cmd.Context(), kube, args[0], func(h *metal3v1alpha1.BareMetalHost) (string, error) { return release(h, ask) }, cmd.OutOrStdout())
		},
	}
	kube.addNamespaced(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "erase the server")
	cmd.Flags().StringVar(&deployment, "deployment", "", "what may be erased, as annotation "+v1alpha1.HeldAnnotation+" of the host names it, instead of the questions")
	return cmd
}

func keepCommand() *cobra.Command {
	var kube kubeFlags
	cmd := &cobra.Command{
		Use:   "keep HOST",
		Short: "Make what runs on a held BareMetalHost's server what is wanted there",
		Long: `Writes into the API that what is on the server now is the host's: its deployment and its image. The server is not
touched. A host that is being deleted goes without its server.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onHost(cmd.Context(), kube, args[0], keep, cmd.OutOrStdout())
		},
	}
	kube.addNamespaced(cmd)
	return cmd
}

// onHost makes a decision about a held host and writes it, if nobody changed the host meanwhile.
func onHost(ctx context.Context, kube kubeFlags, name string, decide func(*metal3v1alpha1.BareMetalHost) (string, error), w io.Writer) error {
	cfg, namespace, err := kube.config()
	if err != nil {
		return err
	}
	c, err := client.New(cfg, client.Options{Scheme: newScheme()})
	if err != nil {
		return err
	}
	h := &metal3v1alpha1.BareMetalHost{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, h); err != nil {
		return err
	}
	old := h.DeepCopy()
	said, err := decide(h)
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, h, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("BareMetalHost %s/%s: %w: look again and repeat", namespace, name, err)
	}
	_, err = fmt.Fprintln(w, said)
	return err
}

// held is what the server of a host holds.
func held(h *metal3v1alpha1.BareMetalHost) (string, error) {
	holding := h.Annotations[v1alpha1.HeldAnnotation]
	if holding == "" {
		return "", fmt.Errorf("BareMetalHost %s/%s is not held: to free its server, delete its DataPlaneNode, or clear spec.image of a host without one", h.Namespace, h.Name)
	}
	if !holdingName.MatchString(holding) { // whoever may write hosts wrote it, and it is shown on this terminal
		return "", fmt.Errorf("BareMetalHost %s/%s: annotation %s is not what the engine writes there (%s): remove it, and it is written anew",
			h.Namespace, h.Name, v1alpha1.HeldAnnotation, line.Short(holding, maxHolding))
	}
	return holding, nil
}

// holdingName is a deployment's id, or the UUID of an Ironic node.
var holdingName = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// release orders that what the server holds may go. ask gets that and the host, and fails without a person's consent.
func release(h *metal3v1alpha1.BareMetalHost, ask func(h *metal3v1alpha1.BareMetalHost, holding string) error) (string, error) {
	holding, err := held(h)
	if err != nil {
		return "", err
	}
	if err := ask(h, holding); err != nil {
		return "", err
	}
	h.Annotations[v1alpha1.ReleaseAnnotation] = holding
	return fmt.Sprintf("BareMetalHost %s/%s: %s may be erased", h.Namespace, h.Name, holding), nil
}

// keep makes what the server holds the host's.
func keep(h *metal3v1alpha1.BareMetalHost) (string, error) {
	holding, err := held(h)
	if err != nil {
		return "", err
	}
	if !h.DeletionTimestamp.IsZero() {
		h.Annotations[v1alpha1.DeletionPolicyAnnotation] = string(v1alpha1.DeletionRetain)
		return fmt.Sprintf("BareMetalHost %s/%s goes, its server keeps running", h.Namespace, h.Name), nil
	}
	has := h.Status.Provisioning
	if has.Image.URL == "" {
		return "", fmt.Errorf("BareMetalHost %s/%s: nobody knows which image is on the server: set spec.image to it", h.Namespace, h.Name)
	}
	if holding != has.ID { // an id of ours; else Ironic's node holds none, and gets one
		h.Annotations[v1alpha1.DeploymentAnnotation] = holding
	}
	h.Spec.Image, h.Spec.Online = has.Image.DeepCopy(), h.Status.PoweredOn || h.Spec.Online
	return fmt.Sprintf("BareMetalHost %s/%s keeps %s with image %s", h.Namespace, h.Name, holding, line.Address(has.Image.URL)), nil
}

// confirmation asks twice on a terminal. Elsewhere what may be erased must have been named.
func confirmation(in io.Reader, out io.Writer, named string) func(*metal3v1alpha1.BareMetalHost, string) error {
	return func(h *metal3v1alpha1.BareMetalHost, holding string) error {
		if named != "" {
			if named != holding {
				return fmt.Errorf("--deployment=%s: BareMetalHost %s/%s holds %s: nothing was changed", named, h.Namespace, h.Name, holding)
			}
			return nil
		}
		if f, ok := in.(*os.File); ok && !isTerminal(f) {
			return fmt.Errorf("there is no terminal to ask on: give --deployment=%s if that may be erased", holding)
		}
		digits := holding[:min(shownDigits, len(holding))]
		fmt.Fprintf(out, "BareMetalHost %s/%s: %s\n\n", h.Namespace, h.Name, line.Of(h.Status.ErrorMessage))
		lines := bufio.NewScanner(in)
		if !answered(lines, out, "Type the name of the host whose disks may be erased: ", h.Name) ||
			!answered(lines, out, fmt.Sprintf("Everything on it will be gone. Type the first %d characters of %s: ", len(digits), holding), digits) {
			return errors.New("that is not it: nothing was changed")
		}
		return nil
	}
}

func answered(lines *bufio.Scanner, out io.Writer, question, answer string) bool {
	fmt.Fprint(out, question)
	return lines.Scan() && lines.Text() == answer
}
