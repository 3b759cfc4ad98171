package step

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/brief"
)

// Current returns nil when obj, which may come from a cache, is the newest there is, and a conflict when it is not: then the
// pass is made again. It is asked before what obj permits cannot be taken back, and no write to obj itself would tell.
func Current(ctx context.Context, live client.Reader, obj client.Object) error {
	fresh, ok := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", obj)
	}
	err := live.Get(brief.Answers(ctx), client.ObjectKeyFromObject(obj), fresh)
	switch {
	case apierrors.IsNotFound(err):
		return Old(obj, "it is gone")
	case err != nil:
		return fmt.Errorf("read %T %s: %w", obj, client.ObjectKeyFromObject(obj), err)
	case fresh.GetUID() != obj.GetUID() || fresh.GetResourceVersion() != obj.GetResourceVersion():
		return Old(obj, "it has changed since it was read")
	}
	return nil
}

// Old returns the conflict of a pass that read obj as it is not any more, and how.
func Old(obj client.Object, how string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: reflect.TypeOf(obj).Elem().Name()}, obj.GetName(), errors.New(how))
}
