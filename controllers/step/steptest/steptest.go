// Package steptest gives controllers' tests an API server in memory that
// watches what they write: it counts writes and, after every write of a status,
// checks what must hold for the conditions of every object of this project.
package steptest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// API is an API server in memory.
type API struct {
	// WithWatch is the client of the controller under test: its writes are watched.
	client.WithWatch
	// Reader is what the controller under test reads uncached through. Both fail the test as Walled does; a pass is over an
	// object of Namespace unless Pass says otherwise.
	Reader client.Reader
	// Plain is the client of everybody else.
	Plain client.WithWatch
	// Clock is what objects and conditions are dated by.
	Clock *clocktesting.FakeClock
	// Inject, when set, is asked before every write of the controller; what it returns is the write's answer.
	Inject func(verb string, obj client.Object) error

	tb     testing.TB
	writes []string
}

// Scheme has all kinds the engine uses.
func Scheme(tb testing.TB) *runtime.Scheme {
	tb.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, coordinationv1.AddToScheme, v1alpha1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			tb.Fatal(err)
		}
	}
	return scheme
}

// Start is the time an API's clock begins at.
func Start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// New makes an API server with the objects, their statuses included. Objects without a UID get one.
func New(tb testing.TB, objects ...client.Object) *API {
	tb.Helper()
	a := &API{tb: tb, Clock: clocktesting.NewFakeClock(Start())}
	for _, obj := range objects {
		a.complete(obj)
	}
	a.Plain = fake.NewClientBuilder().WithScheme(Scheme(tb)).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.NodeSet{}, &v1alpha1.DataPlaneNode{}, &v1alpha1.DataPlaneDeployment{}, &metal3v1alpha1.BareMetalHost{}).
		Build()
	a.Reader = site{Walled(tb, a.Plain)}
	a.WithWatch = interceptor.NewClient(a.Plain, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			checkRead(inSite(ctx), tb, key, obj)
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			checkList(inSite(ctx), tb, list, opts)
			return c.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return a.write("create", obj, func() error { a.complete(obj); return c.Create(ctx, obj, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return a.write("delete", obj, func() error { return c.Delete(ctx, obj, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			return a.write("update", obj, func() error { return c.Update(ctx, obj, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return a.write("patch", obj, func() error { return c.Patch(ctx, obj, patch, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			err := a.write("patch "+sub, obj, func() error { return c.SubResource(sub).Patch(ctx, obj, patch, opts...) })
			if err == nil {
				a.check(ctx, obj)
			}
			return err
		},
	})
	return a
}

// complete does what an API server does to a new object.
func (a *API) complete(obj client.Object) {
	if obj.GetUID() == "" {
		obj.SetUID(types.UID(fmt.Sprintf("uid-of-%s-%s", obj.GetNamespace(), obj.GetName())))
	}
	if created := obj.GetCreationTimestamp(); created.IsZero() {
		obj.SetCreationTimestamp(metav1.NewTime(a.Clock.Now()))
	}
	if obj.GetGeneration() == 0 {
		obj.SetGeneration(1)
	}
}

func (a *API) write(verb string, obj client.Object, do func() error) error {
	a.tb.Helper()
	kind := strings.TrimPrefix(fmt.Sprintf("%T", obj), "*")
	a.writes = append(a.writes, fmt.Sprintf("%s %s %s", verb, kind[strings.IndexByte(kind, '.')+1:], obj.GetName()))
	if a.Inject != nil {
		if err := a.Inject(verb, obj); err != nil {
			return err
		}
	}
	return do()
}

// Writes are the controller's writes since the last call, as "verb Kind name".
func (a *API) Writes() []string {
	writes := a.writes
	a.writes = nil
	return writes
}

// check reads the object back and looks at its conditions.
func (a *API) check(ctx context.Context, written client.Object) {
	a.tb.Helper()
	if err := a.Plain.Get(ctx, client.ObjectKeyFromObject(written), written); err != nil {
		a.tb.Fatal(err)
	}
	conditions := Conditions(written)
	for _, problem := range Problems(conditions, written.GetGeneration(), a.Clock.Now()) {
		a.tb.Errorf("%T %s: %s", written, written.GetName(), problem)
	}
}

// Edit changes an object, status included, as somebody else.
func Edit[T client.Object](a *API, obj T, change func(T)) {
	a.tb.Helper()
	ctx := a.tb.Context()
	if err := a.Plain.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
		a.tb.Fatal(err)
	}
	before := specOf(a.tb, obj)
	change(obj)
	if !reflect.DeepEqual(before, specOf(a.tb, obj)) {
		obj.SetGeneration(obj.GetGeneration() + 1) // as the API server does
	}
	if err := a.Plain.Update(ctx, obj); err != nil {
		a.tb.Fatal(err)
	}
	change(obj)
	if err := a.Plain.Status().Update(ctx, obj); client.IgnoreNotFound(err) != nil {
		a.tb.Fatal(err)
	}
}

func specOf(tb testing.TB, obj client.Object) any {
	tb.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		tb.Fatal(err)
	}
	return fields["spec"]
}

// Expect looks at one of an object's conditions, and for words in its message.
func (a *API) Expect(obj client.Object, want metav1.Condition, words ...string) {
	a.tb.Helper()
	c := meta.FindStatusCondition(Conditions(obj), want.Type)
	if c == nil || c.Status != want.Status || c.Reason != want.Reason {
		a.tb.Errorf("%s: %+v, want %s for %s", want.Type, c, want.Status, want.Reason)
		return
	}
	for _, word := range words {
		if !strings.Contains(c.Message, word) {
			a.tb.Errorf("%s does not mention %q: %s", want.Type, word, c.Message)
		}
	}
}

// Conditions of an object of this project; nil for any other.
func Conditions(obj client.Object) []metav1.Condition {
	switch o := obj.(type) {
	case *v1alpha1.NodeSet:
		return o.Status.Conditions
	case *v1alpha1.DataPlaneNode:
		return o.Status.Conditions
	case *v1alpha1.DataPlaneDeployment:
		return o.Status.Conditions
	default:
		return nil
	}
}

// Problems are what is wrong with conditions as such, whatever they are about.
func Problems(conditions []metav1.Condition, generation int64, now time.Time) []string {
	var problems []string
	seen := map[string]bool{}
	for _, c := range conditions {
		if problem := problemOf(c, generation, now); problem != "" {
			problems = append(problems, c.Type+" "+problem)
		}
		if seen[c.Type] {
			problems = append(problems, c.Type+" is there twice")
		}
		seen[c.Type] = true
	}
	if len(conditions) == 0 {
		return problems
	}
	ready, rest := conditions[len(conditions)-1], conditions[:len(conditions)-1]
	if ready.Type != v1alpha1.ConditionReady {
		problems = append(problems, "Ready is not the last condition")
	}
	for _, c := range rest {
		if c.Status != metav1.ConditionTrue && ready.Status == metav1.ConditionTrue {
			problems = append(problems, fmt.Sprintf("Ready is True although %s is %s", c.Type, c.Status))
		}
	}
	return problems
}

// problemOf is what is wrong with one condition; "" when nothing is.
func problemOf(c metav1.Condition, generation int64, now time.Time) string {
	switch {
	case c.Reason == "":
		return "has no reason"
	case c.Status == metav1.ConditionUnknown && c.Type != v1alpha1.ConditionJoined && c.Type != v1alpha1.ConditionReady:
		return fmt.Sprintf("is %s: what is not known is left out", c.Status)
	case c.Status != metav1.ConditionTrue && c.Message == "":
		return fmt.Sprintf("is %s for %s without saying more", c.Status, c.Reason)
	case c.ObservedGeneration > generation:
		return fmt.Sprintf("speaks of generation %d, the object has %d", c.ObservedGeneration, generation)
	case c.LastTransitionTime.After(now):
		return fmt.Sprintf("will change at %s", c.LastTransitionTime)
	case strings.ContainsAny(c.Message, "\n\r"):
		return fmt.Sprintf("has a message of several lines: %q", c.Message)
	default:
		return ""
	}
}
