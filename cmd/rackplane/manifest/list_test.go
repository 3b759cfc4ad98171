package manifest_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
)

func readText(t *testing.T, text string) (*manifest.Reader, error) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return manifest.Read(scheme, strings.NewReader(text), "site", []string{"-"})
}

// TestListOfKubectl: what kubectl get prints is read as its items, as YAML and as JSON, a list in a list included.
func TestListOfKubectl(t *testing.T) {
	for _, text := range []string{
		"apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems:\n- {apiVersion: metal3.io/v1alpha1, kind: BareMetalHost, metadata: {name: u01, namespace: a}}\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: b}}\n",
		`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "metal3.io/v1alpha1", "kind": "BareMetalHost", "metadata": {"name": "u01", "namespace": "a"}}]},
		  {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}]}`,
	} {
		m, err := readText(t, text)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, obj := range m.Objects() {
			names = append(names, obj.GetNamespace()+"/"+obj.GetName())
			if s, ok := obj.(*corev1.Secret); ok && string(s.Data["a"]) != "b" {
				t.Errorf("the Secret holds %v", s.Data)
			}
		}
		if got := strings.Join(names, " "); got != "a/u01 site/s" {
			t.Errorf("read as %q", got)
		}
	}
	_, err := readText(t, "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n- {apiVersion: metal3.io/v1alpha1, kind: BareMetalHost, spec: {nope: 1}}\n")
	if err == nil || !strings.Contains(err.Error(), "items[1]") || !strings.Contains(err.Error(), "nope") {
		t.Errorf("the error names the item and the field, not: %v", err)
	}
}

// TestErrorsShowNoSecret: no part of a document that may be a Secret is in an error, whatever is wrong with it.
func TestErrorsShowNoSecret(t *testing.T) {
	for _, text := range []string{
		"apiVersion: v1\nmetadata: {name: bmc}\nstringData: {password: hunter2}\n",
		"kind: Secret\nmetadata: {name: bmc}\nstringData: {password: hunter2}\n",
		"apiVersion: v1\nkind: Secret\nstringData: {password: *hunter2}\n",
		"apiVersion: v1\nkind: Secret\nstringData: {password: [hunter2]}\n",
		"apiVersion: v1\nkind: Secret\nstringData:\n  password: \"hunter2\n",
		"apiVersion: v1\nkind: Secret\ndata: {password: hunter2!}\n",
		"apiVersion: v1\nkind: Secret\nstringData: hunter2\n",
		"apiVersion: v1\nkind: Secret\nstringData: {password: hunter2}\nstringdata: {a: b}\n",
		`{"apiVersion": "v1", "kind": "Secret", "data": {"password": hunter2}}`,
		`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "stringData": {"password": "hunter2"}}]}`,
	} {
		if _, err := readText(t, text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\n-> %v", text, err)
		}
	}
}
