package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/config"
)

// EngineUser is the identity that the roles in config/rbac are bound to.
const EngineUser = "system:serviceaccount:rackplane-system:rackplane-manager"

// InstallRBAC installs the engine's roles and returns a configuration that acts as EngineUser: with them and no more,
// whatever cfg itself may do. Idempotent; a second call changes nothing.
func InstallRBAC(ctx context.Context, cfg *rest.Config) (*rest.Config, error) {
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("install roles: %w", err)
	}
	// The namespace comes first: what lives in it is refused before.
	for _, name := range []string{"namespace", "service_account", "role", "role_binding", "leader_role", "discovery_role"} {
		if err := applyFile(ctx, c, "rbac/"+name+".yaml"); err != nil {
			return nil, fmt.Errorf("install roles: %w", err)
		}
	}
	limited := rest.CopyConfig(cfg)
	limited.Impersonate = rest.ImpersonationConfig{UserName: EngineUser}
	return limited, nil
}

func applyFile(ctx context.Context, c client.Client, path string) error {
	data, err := fs.ReadFile(config.RBAC, path)
	if err != nil {
		return err
	}
	reader := yamlutil.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &obj.Object); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(obj.Object) == 0 {
			continue
		}
		if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner(managedBy), client.ForceOwnership); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}
