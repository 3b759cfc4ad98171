package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
)

// record writes what the API is to say of the host's deployment. The next pass reads it back before it acts on it.
func (p *pass) record(ctx context.Context, what lifecycle.Record) error {
	if what == lifecycle.Begin {
		id, err := p.deploymentID()
		if err != nil {
			return err
		}
		return p.annotate(ctx, map[string]string{v1alpha1.DeploymentAnnotation: id})
	}
	return p.annotate(ctx, map[string]string{v1alpha1.ReleaseAnnotation: "", v1alpha1.DeploymentAnnotation: ""})
}

// deploymentID is one that was never used: a restored host must not know what was deployed after its backup was made.
func (p *pass) deploymentID() (string, error) {
	random := p.Random
	if random == nil {
		random = rand.Reader
	}
	id := make([]byte, 16)
	if _, err := io.ReadFull(random, id); err != nil {
		return "", fmt.Errorf("make a deployment id: %w", err)
	}
	return hex.EncodeToString(id), nil
}

// annotate sets annotations of ours in one write, or takes off those whose value is empty; what is so already is not written.
func (p *pass) annotate(ctx context.Context, want map[string]string) error {
	edited := p.host.DeepCopy()
	if edited.Annotations == nil {
		edited.Annotations = map[string]string{}
	}
	for key, value := range want {
		if edited.Annotations[key] = value; value == "" {
			delete(edited.Annotations, key)
		}
	}
	if maps.Equal(edited.Annotations, p.host.Annotations) {
		return nil
	}
	return p.patchMeta(ctx, edited)
}
