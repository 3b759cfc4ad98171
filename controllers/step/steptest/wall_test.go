package steptest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// listener is a test that hears what it would fail for.
type listener struct {
	testing.TB
	heard []string
}

func (*listener) Helper() {}
func (l *listener) Errorf(format string, a ...any) {
	l.heard = append(l.heard, fmt.Sprintf(format, a...))
}

// TestWall: what a controller must not read is heard of, and nothing else.
func TestWall(t *testing.T) {
	l := &listener{TB: t}
	c := steptest.Walled(l, steptest.New(t).Plain)
	read := func(namespace, name string) func(context.Context) {
		return func(ctx context.Context) {
			_ = c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
		}
	}
	for name, tc := range map[string]struct {
		do    func(context.Context)
		heard int
	}{
		"own":                      {read("site", "a"), 0},
		"another's":                {read("kube-system", "a"), 1},
		"written for its host":     {read("metal", "n0.site-userdata"), 0},
		"written for another host": {read("metal", "n1.site-userdata"), 1},
		"ConfigMap": {func(ctx context.Context) {
			_ = c.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "a"}, &corev1.ConfigMap{})
		}, 1},
		"list of its own": {func(ctx context.Context) { _ = c.List(ctx, &corev1.SecretList{}, client.InNamespace("site")) }, 0},
		"list of all":     {func(ctx context.Context) { _ = c.List(ctx, &corev1.SecretList{}) }, 1},
		"other kinds":     {func(ctx context.Context) { _ = c.List(ctx, &corev1.PodList{}) }, 0},
	} {
		l.heard = nil
		_, err := steptest.Pass(t.Context(), reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			tc.do(ctx)
			return reconcile.Result{}, nil
		}), types.NamespacedName{Namespace: "site", Name: "n0"})
		if err != nil || len(l.heard) != tc.heard {
			t.Errorf("%s: heard %v", name, l.heard)
		}
	}
	l.heard = nil
	read("site", "a")(t.Context())
	if diff := cmp.Diff(1, len(l.heard)); diff != "" {
		t.Errorf("a read of no pass: %v", l.heard)
	}
}
