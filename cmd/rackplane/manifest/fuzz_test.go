package manifest_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
)

// FuzzManifests reads anything as manifests: it is refused by a message, or planned.
func FuzzManifests(f *testing.F) {
	f.Add("apiVersion: dataplane.rackplane.dev/v1alpha1\nkind: NodeSet\nmetadata: {name: a}\nspec: {replicas: 1, hostNameTemplate: n%d}\n---\n# nothing\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n")
	f.Add(`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, null]}`)
	f.Add("apiVersion: dataplane.rackplane.dev/v1alpha1\nkind: NetConfig\nspec: {networks: [{name: a, subnets: [{cidr: x}]}]}\n")
	f.Add("- a\n---\n&a [*a]\n")
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Read(scheme, strings.NewReader(text), "site", []string{"-"})
		if err != nil {
			return
		}
		for _, obj := range m.Objects() {
			if obj.GetNamespace() == "" {
				t.Errorf("%T %s has no namespace", obj, obj.GetName())
			}
		}
	})
}
