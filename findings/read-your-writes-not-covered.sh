#!/usr/bin/env bash
# controller-runtime v0.25.2 against kube-apiserver v1.36 and v1.37, Cache.EnableReadYourWritesConsistency: three writes that are answered
# without an error and that the client does not read back. After the patch that takes the last finalizer off a deleted object, Get
# still finds it, at once (the answer bears the resourceVersion from before the deletion). After an unstructured Create with Cache.Unstructured, Get finds nothing
# (the write is booked as a typed one). After a Delete with DryRunAll, Get and List of the kind wait for an event that never comes, until the
# context ends, and for good where it has no deadline. Each is seen on a watch that is slowed down by a second.
# Why it matters: "block until the cache observed all write requests that started before" is what the option promises.
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
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// slow hands the events of watches on late.
type slow struct{ next http.RoundTripper }

type late struct{ io.ReadCloser }

func (l late) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	time.Sleep(time.Second)
	return n, err
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.next.RoundTrip(r)
	if err == nil && r.URL.Query().Has("watch") {
		answer.Body = late{answer.Body}
	}
	return answer, err
}

func consistent(ctx context.Context, cfg *rest.Config) client.Client {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return slow{next} })
	c, err := cluster.New(cfg, func(o *cluster.Options) {
		o.Scheme, o.Logger = scheme.Scheme, logr.Discard()
		o.Client.Cache = &client.CacheOptions{Unstructured: true, EnableReadYourWritesConsistency: new(true)}
	})
	must(err)
	go func() { must(c.Start(ctx)) }()
	return c.GetClient()
}

func config(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
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
	c := consistent(ctx, cfg)
	get := func(obj client.Object) error {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return c.Get(short, client.ObjectKeyFromObject(obj), obj)
	}

	held := config("held")
	held.Finalizers = []string{"example.com/held"}
	must(c.Create(ctx, held))
	must(c.Delete(ctx, held))
	must(get(held))
	fmt.Println("deleted, finalizer on: deletion is seen:", held.DeletionTimestamp != nil)
	old := held.DeepCopy()
	held.Finalizers = nil
	must(c.Patch(ctx, held, client.MergeFrom(old)))
	gone := get(config("held"))
	fmt.Println("finalizer off: get says", gone)

	anyKind := func(name string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("v1")
		u.SetKind("ConfigMap")
		u.SetNamespace("default")
		u.SetName(name)
		return u
	}
	_ = get(anyKind("none")) // starts the cache
	must(c.Create(ctx, anyKind("any")))
	made := get(anyKind("any"))
	fmt.Println("unstructured create: get says", made)

	stays := config("stays")
	must(c.Create(ctx, stays))
	must(get(stays))
	must(c.Delete(ctx, stays, client.DryRunAll))
	dry := get(stays)
	fmt.Println("dry run of a delete: get says", dry)
	return gone == nil && apierrors.IsNotFound(made) && errors.Is(dry, context.DeadlineExceeded)
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
