#!/usr/bin/env bash
# kube-apiserver v1.36 and v1.37: a merge patch with metadata.managedFields [{}] beside other changes clears the account of who owns which
# field, and the patch's own changes are not entered either; nor is anything that is patched or updated later, the status too, by
# whatever manager: the object stays without managedFields until somebody applies it. Then all that was there belongs to a manager
# "before-first-apply", so that an apply which changes such a field is a conflict, whoever wrote it.
# Guessed before: as documented ("Clearing managedFields"), the changes of the same request are owned by its manager, and the next
# updates are entered as ever. Why it matters: a controller can halve its objects so (fifteen list entries keyed by name: 10.3 kB, 4.5 of
# them managedFields); one that clears them of objects that users apply makes all later applies conflict.
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
	"slices"

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

	one := thing()
	one.Object["spec"] = map[string]any{"z": "0"}
	must(c.Create(ctx, one, client.FieldOwner("maker")))
	made := len(one.GetManagedFields())
	patch := func(body string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(body)) }
	must(c.Patch(ctx, one, patch(`{"metadata":{"managedFields":[{}]},"spec":{"a":"1"}}`), client.FieldOwner("cleaner")))
	cleared := len(one.GetManagedFields())
	must(c.Patch(ctx, one, patch(`{"spec":{"b":"2"}}`), client.FieldOwner("second")))
	must(c.Status().Patch(ctx, one, patch(`{"status":{"c":"3"}}`), client.FieldOwner("third")))
	must(c.Update(ctx, one, client.FieldOwner("fourth")))
	later := len(one.GetManagedFields())
	fmt.Println("managers after create, the clearing patch, three more writes:", made, cleared, later)

	applied := thing()
	applied.Object["spec"] = map[string]any{"a": "other"}
	conflict := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("user"))
	fmt.Println("apply of another value:", conflict)
	applied.Object["spec"] = map[string]any{"a": "1"}
	must(c.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("user")))
	must(c.Get(ctx, client.ObjectKeyFromObject(one), one))
	var managers []string
	for _, entry := range one.GetManagedFields() {
		managers = append(managers, entry.Manager)
	}
	fmt.Println("managers after an apply of the same value:", managers)
	return made == 1 && cleared == 0 && later == 0 && apierrors.IsConflict(conflict) && slices.Contains(managers, "before-first-apply") && !slices.Contains(managers, "third")
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
