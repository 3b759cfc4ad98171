package steptest

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// reconciled is the context key of the object that a pass is about.
type reconciled struct{}

// Pass makes a pass of a controller over the object of that name. What it reads on the way through a Walled client is
// held against the object's namespace.
func Pass(ctx context.Context, r reconcile.Reconciler, key types.NamespacedName) (reconcile.Result, error) {
	return r.Reconcile(context.WithValue(ctx, reconciled{}, key), reconcile.Request{NamespacedName: key})
}

// Walled is a client that fails the test when a pass reads a Secret or ConfigMap of another namespace than that of its
// object: the engine may read them all, its users may not. Two kinds of Secret are outside of that: those that a node
// itself wrote for its host, whose names end in the node's namespace.
func Walled(tb testing.TB, c client.Client) client.Client {
	tb.Helper()
	return walled{c, tb}
}

type walled struct {
	client.Client
	tb testing.TB
}

func (w walled) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	w.tb.Helper()
	checkRead(ctx, w.tb, key, obj)
	return w.Client.Get(ctx, key, obj, opts...)
}

func (w walled) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	w.tb.Helper()
	checkList(ctx, w.tb, list, opts)
	return w.Client.List(ctx, list, opts...)
}

// inSite is the context of a pass over what the objects of this package are made for, unless it is known to be over another.
func inSite(ctx context.Context) context.Context {
	if ctx.Value(reconciled{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, reconciled{}, types.NamespacedName{Namespace: Namespace})
}

// site is a reader for passes over the objects of this package.
type site struct{ client.Reader }

func (s site) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return s.Reader.Get(inSite(ctx), key, obj, opts...)
}

func (s site) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return s.Reader.List(inSite(ctx), list, opts...)
}

func checkRead(ctx context.Context, tb testing.TB, key client.ObjectKey, obj client.Object) {
	tb.Helper()
	if !guarded(obj) {
		return
	}
	about, known := ctx.Value(reconciled{}).(types.NamespacedName)
	switch {
	case !known:
		tb.Errorf("%T %s is read by nobody's pass: make it with steptest.Pass", obj, key)
	case key.Namespace == about.Namespace, key.Name == ofForeignHost(about, "userdata"), key.Name == ofForeignHost(about, "networkdata"):
	default:
		tb.Errorf("the pass over %s reads %T %s: references stay in their object's namespace", about, obj, key)
	}
}

func checkList(ctx context.Context, tb testing.TB, list client.ObjectList, opts []client.ListOption) {
	tb.Helper()
	if !guarded(list) {
		return
	}
	var options client.ListOptions
	options.ApplyOptions(opts)
	if about, _ := ctx.Value(reconciled{}).(types.NamespacedName); options.Namespace == "" || options.Namespace != about.Namespace {
		tb.Errorf("the pass over %s lists %T of namespace %q: references stay in their object's namespace", about, list, options.Namespace)
	}
}

func guarded(obj any) bool {
	switch obj.(type) {
	case *corev1.Secret, *corev1.ConfigMap, *corev1.SecretList, *corev1.ConfigMapList:
		return true
	}
	return false
}

// ofForeignHost is the name of a Secret that a node writes for a host of another namespace.
func ofForeignHost(node types.NamespacedName, what string) string {
	return strings.Join([]string{node.Name, ".", node.Namespace, "-", what}, "")
}
