package cached_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// counted counts the reads that reach the API server.
type counted struct {
	client.Reader
	reads int
}

func (c *counted) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	c.reads++
	return c.Reader.Get(ctx, key, obj, opts...)
}

func secret(i int) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: steptest.Meta(fmt.Sprintf("s%d", i)), Data: map[string][]byte{"k": []byte("old")}}
}

func TestContentsAreReadOncePerVersion(t *testing.T) {
	api := steptest.New(t, secret(0))
	live := &counted{Reader: api.Plain}
	c := &cached.Contents{Metadata: api.Plain, Live: live}
	get := func() (string, error) {
		var s corev1.Secret
		err := c.Get(t.Context(), client.ObjectKeyFromObject(secret(0)), &s)
		value := string(s.Data["k"])
		if err == nil {
			s.Data["k"][0] = 'X' // what is handed out is the caller's
		}
		return value, err
	}
	for range 3 {
		if v, err := get(); v != "old" || err != nil {
			t.Fatal(v, err)
		}
	}
	if live.reads != 1 {
		t.Errorf("%d reads of one version, want 1", live.reads)
	}
	steptest.Edit(api, secret(0), func(s *corev1.Secret) { s.Data["k"] = []byte("new") })
	if v, err := get(); v != "new" || err != nil {
		t.Errorf("after a change: %q, %v", v, err)
	}
	if err := api.Plain.Delete(t.Context(), secret(0)); err != nil {
		t.Fatal(err)
	}
	before := live.reads
	if _, err := get(); !apierrors.IsNotFound(err) || live.reads != before {
		t.Errorf("of one that is gone: %v, %d reads", err, live.reads-before)
	}
}

func TestContentsAreBounded(t *testing.T) {
	api := steptest.New(t, secret(0), secret(1), secret(2))
	live := &counted{Reader: api.Plain}
	c := &cached.Contents{Metadata: api.Plain, Live: live, MaxBytes: 2500} // two of them
	for _, step := range []struct{ ask, reads int }{{0, 1}, {1, 2}, {0, 2}, {2, 3}, {0, 3}, {1, 4}} {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret(step.ask)), &corev1.Secret{}); err != nil || live.reads != step.reads {
			t.Errorf("asked for %d: %v, %d reads, want %d: what was asked for longest ago is forgotten", step.ask, err, live.reads, step.reads)
		}
	}
}
