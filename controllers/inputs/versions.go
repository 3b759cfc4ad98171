package inputs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Versions reads for somebody and notes which versions of what was read.
type Versions struct {
	client.Reader
	seen []string
}

// Get implements client.Reader.
func (v *Versions) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := v.Reader.Get(ctx, key, obj, opts...)
	switch {
	case err == nil:
		v.note(obj)
	case apierrors.IsNotFound(err):
		v.seen = append(v.seen, fmt.Sprintf("%T %s is missing", obj, key))
	}
	return err
}

// List implements client.Reader.
func (v *Versions) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if err := v.Reader.List(ctx, list, opts...); err != nil {
		return err
	}
	return meta.EachListItem(list, func(item runtime.Object) error {
		obj, ok := item.(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", item)
		}
		v.note(obj)
		return nil
	})
}

func (v *Versions) note(obj client.Object) {
	v.seen = append(v.seen, fmt.Sprintf("%T %s %s", obj, client.ObjectKeyFromObject(obj), versionOf(obj)))
}

// Version identifies all that was read.
func (v *Versions) Version() Version {
	slices.Sort(v.seen) // a cache lists in any order
	return sha256.Sum256([]byte(strings.Join(v.seen, "\n")))
}
