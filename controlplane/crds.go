package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/config"
)

const (
	// managedByLabel marks the definitions that Rackplane installed and may therefore replace.
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "rackplane"
	establishPoll  = 50 * time.Millisecond
)

// InstallCRDs installs the definitions of Rackplane's kinds and of the Metal3 kinds it works on, and returns when
// all are served; bound the wait with ctx. Rackplane's own are brought up to this version. Metal3's are installed
// only where they are absent, and replaced only if Rackplane installed them: a cluster whose Metal3 brought
// its own keeps them untouched. Idempotent; a second call changes nothing.
func InstallCRDs(ctx context.Context, cfg *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("install CRDs: %w", err)
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("install CRDs: %w", err)
	}
	var names []string
	err = fs.WalkDir(config.CRDs, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		crd, err := readCRD(path)
		if err != nil {
			return err
		}
		names = append(names, crd.GetName())
		return installCRD(ctx, c, crd)
	})
	if err != nil {
		return fmt.Errorf("install CRDs: %w", err)
	}
	for _, name := range names {
		if err := waitEstablished(ctx, c, name); err != nil {
			return fmt.Errorf("install CRDs: %w", err)
		}
	}
	return nil
}

func readCRD(path string) (*unstructured.Unstructured, error) {
	data, err := fs.ReadFile(config.CRDs, path)
	if err != nil {
		return nil, err
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &crd.Object); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	crd.SetLabels(map[string]string{managedByLabel: managedBy})
	return crd, nil
}

func installCRD(ctx context.Context, c client.Client, crd *unstructured.Unstructured) error {
	if strings.HasSuffix(crd.GetName(), ".metal3.io") {
		var have apiextensionsv1.CustomResourceDefinition
		err := c.Get(ctx, client.ObjectKeyFromObject(crd), &have)
		switch {
		case apierrors.IsNotFound(err):
			// Create, not apply: whoever installs it at this very moment keeps it.
			return client.IgnoreAlreadyExists(c.Create(ctx, crd, client.FieldOwner(managedBy)))
		case err != nil:
			return err
		case have.Labels[managedByLabel] != managedBy:
			return nil
		}
	}
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(crd), client.FieldOwner(managedBy), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("%s: %w", crd.GetName(), err)
	}
	return nil
}

func waitEstablished(ctx context.Context, c client.Client, name string) error {
	poll := time.NewTicker(establishPoll)
	defer poll.Stop()
	var crd apiextensionsv1.CustomResourceDefinition
	for {
		err := c.Get(ctx, client.ObjectKey{Name: name}, &crd)
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err == nil {
			if problem, done := established(&crd); done {
				return problem
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not served: %w", name, ctx.Err())
		case <-poll.C:
		}
	}
}

// established reports whether the answer is final: served, or refused for a reason that does not pass.
func established(crd *apiextensionsv1.CustomResourceDefinition) (problem error, done bool) {
	for _, condition := range crd.Status.Conditions {
		switch {
		case condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue:
			return nil, true
		case condition.Type == apiextensionsv1.NamesAccepted && condition.Status == apiextensionsv1.ConditionFalse:
			return errors.New(crd.Name + ": " + condition.Message), true
		}
	}
	return nil, false
}
