package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"

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
		return p.annotate(ctx, v1alpha1.DeploymentAnnotation, id)
	}
	if err := p.annotate(ctx, v1alpha1.ReleaseAnnotation, ""); err != nil {
		return err
	}
	return p.annotate(ctx, v1alpha1.DeploymentAnnotation, "")
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

// annotate sets an annotation of ours, or takes it off when the value is empty; one that is so already is not written.
func (p *pass) annotate(ctx context.Context, key, value string) error {
	if p.host.Annotations[key] == value {
		return nil
	}
	edited := p.host.DeepCopy()
	if value == "" {
		delete(edited.Annotations, key)
		return p.patchMeta(ctx, edited)
	}
	if edited.Annotations == nil {
		edited.Annotations = map[string]string{}
	}
	edited.Annotations[key] = value
	return p.patchMeta(ctx, edited)
}
