#!/usr/bin/env bash
# controller-runtime v0.25.2, Cache.EnableReadYourWritesConsistency: every write starts an informer of its kind and waits for it before
# the write is sent, also of kinds in Cache.DisableFor, which are never read from a cache. Seen: creating a Secret with DisableFor Secret
# watches all Secrets of the cluster; for a user who may create Secrets but not list them the write is never sent, and without a deadline
# in the context it hangs for good. Unstructured reads that go to the server (the default) start one, too.
# Why it matters: switching the option on loads whole kinds into memory and stops engines with least rights. Writes and reads of such
# kinds need client.DisableReadYourWritesConsistency each. KUBEBUILDER_ASSETS may name a folder with etcd and kube-apiserver.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir" && rm -rf "$dir"' EXIT
export GOFLAGS=-mod=mod
if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
	GOBIN=$dir/bin go install sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.2
	KUBEBUILDER_ASSETS=$("$dir/bin/setup-envtest" use 1.36.x --bin-dir "$dir/envtest" --print path)
fi
export KUBEBUILDER_ASSETS
mkdir "$dir/go" && cd "$dir/go"
cat >go.mod <<'MOD'
module example.com/find

go 1.26

require (
	k8s.io/api v0.37.2
	k8s.io/apimachinery v0.37.2
	k8s.io/client-go v0.37.2
	sigs.k8s.io/controller-runtime v0.25.2
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

type watches struct {
	next http.RoundTripper
	n    *atomic.Int32
}

func (w watches) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/api/v1/secrets" && r.Method == http.MethodGet {
		w.n.Add(1)
	}
	return w.next.RoundTrip(r)
}

func consistent(ctx context.Context, cfg *rest.Config, n *atomic.Int32) client.Client {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return watches{next, n} })
	c, err := cluster.New(cfg, func(o *cluster.Options) {
		o.Scheme, o.Logger = scheme.Scheme, logr.Discard()
		o.Client.Cache = &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}, EnableReadYourWritesConsistency: new(true)}
	})
	must(err)
	go func() { must(c.Start(ctx)) }()
	return c.GetClient()
}

func secret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func run() bool {
	ctx, cancel := context.WithCancel(context.Background())
	ctrl.SetLogger(logr.Discard())
	env := &envtest.Environment{}
	cfg, err := env.Start()
	must(err)
	defer func() {
		cancel() // the server waits for its watches to end
		must(env.Stop())
	}()
	plain, err := client.New(cfg, client.Options{Scheme: scheme.Scheme})
	must(err)

	var all, least atomic.Int32
	must(consistent(ctx, cfg, &all).Create(ctx, secret("a")))
	fmt.Println("all rights: requests for all Secrets of the cluster:", all.Load())

	name, group := "least", "rbac.authorization.k8s.io"
	must(plain.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "get"}}}}))
	must(plain.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef: rbacv1.RoleRef{APIGroup: group, Kind: "ClusterRole", Name: name}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: group, Name: name}}}))
	user, err := env.AddUser(envtest.User{Name: name}, nil)
	must(err)
	c := consistent(ctx, user.Config(), &least)
	must(wait(func() error { return c.Create(ctx, secret("b"), client.DisableReadYourWritesConsistency) }))
	short, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	err = c.Create(short, secret("c"))
	fmt.Println("create and get only:", err)
	return all.Load() > 0 && err != nil && short.Err() != nil && apierrors.IsNotFound(plain.Get(ctx, client.ObjectKey{Namespace: "default", Name: "c"}, secret("c")))
}

// wait gives the server time to learn of the rights.
func wait(do func() error) (err error) {
	for range 50 {
		if err = do(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func main() {
	if !run() {
		fmt.Println("the behaviour is another now")
		os.Exit(1)
	}
}
GO
go mod tidy 2>/dev/null
go run .
