#!/usr/bin/env bash
# kube-apiserver v1.36 and v1.37: metadata.uid in a merge patch is a precondition for the object itself (422, "field is immutable", of another
# UID; client-go's ControllerRefManager relies on it), and is ignored without a word in a patch of a custom resource's status: the
# status of an object is written onto another one that was made under its name. (A custom resource's status strategy takes all
# metadata from the stored object before the update is validated.) resourceVersion is honoured in both.
# Why it matters: a controller that fences its status patches with the UID of the object they speak of fences nothing.
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
	k8s.io/apiextensions-apiserver v0.37.2
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
	"os"

	"github.com/go-logr/logr"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func definition() *apiext.CustomResourceDefinition {
	all := true
	return &apiext.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things.example.com"},
		Spec: apiext.CustomResourceDefinitionSpec{
			Group: "example.com", Scope: apiext.NamespaceScoped,
			Names: apiext.CustomResourceDefinitionNames{Plural: "things", Kind: "Thing"},
			Versions: []apiext.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema:       &apiext.CustomResourceValidation{OpenAPIV3Schema: &apiext.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &all}},
				Subresources: &apiext.CustomResourceSubresources{Status: &apiext.CustomResourceSubresourceStatus{}},
			}},
		},
	}
}

func thing() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("example.com/v1")
	u.SetKind("Thing")
	u.SetNamespace("default")
	u.SetName("one")
	return u
}

func run() bool {
	ctx := context.Background()
	ctrl.SetLogger(logr.Discard())
	env := &envtest.Environment{CRDs: []*apiext.CustomResourceDefinition{definition()}}
	cfg, err := env.Start()
	must(err)
	defer func() { must(env.Stop()) }()
	c, err := client.New(cfg, client.Options{Scheme: scheme.Scheme})
	must(err)

	first := thing()
	must(c.Create(ctx, first))
	must(c.Delete(ctx, first))
	must(c.Create(ctx, thing()))
	patch := func(body string, args ...any) client.Patch {
		return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, body, args...))
	}
	object := c.Patch(ctx, thing(), patch(`{"metadata":{"uid":%q,"labels":{"a":"b"}}}`, first.GetUID()))
	fmt.Println("the object, with another UID:", object)
	second := thing()
	status := c.Status().Patch(ctx, second, patch(`{"metadata":{"uid":%q},"status":{"of":"the first"}}`, first.GetUID()))
	fmt.Println("its status, with another UID:", status, second.Object["status"], "uid changed:", second.GetUID() == first.GetUID())
	version := c.Status().Patch(ctx, thing(), patch(`{"metadata":{"resourceVersion":%q},"status":{"of":"the first"}}`, first.GetResourceVersion()))
	fmt.Println("its status, with another resourceVersion:", version)
	return apierrors.IsInvalid(object) && status == nil && second.Object["status"] != nil && second.GetUID() != first.GetUID() && apierrors.IsConflict(version)
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
