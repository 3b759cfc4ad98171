package main

import (
	"strings"
	"testing"

	"github.com/rackplane/rackplane/manifest"
)

// FuzzManifests reads anything as manifests: it is refused by a message, or planned.
func FuzzManifests(f *testing.F) {
	f.Add("apiVersion: dataplane.rackplane.dev/v1alpha1\nkind: NodeSet\nmetadata: {name: a}\nspec: {replicas: 1, hostNameTemplate: n%d}\n---\n# nothing\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n")
	f.Add(`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, null]}`)
	f.Add("apiVersion: dataplane.rackplane.dev/v1alpha1\nkind: NetConfig\nspec: {networks: [{name: a, subnets: [{cidr: x}]}]}\n")
	f.Add("- a\n---\n&a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Read(newScheme(), strings.NewReader(text), "site", []string{"-"})
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
