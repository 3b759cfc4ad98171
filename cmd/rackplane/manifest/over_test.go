package manifest_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
)

func reader(t *testing.T, text string) *manifest.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	m, err := manifest.Read(scheme, strings.NewReader(text), "site", []string{"-"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOver: a user's objects replace what they wrote before, and keep what others write of it.
func TestOver(t *testing.T) {
	base := reader(t, `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: rack, uid: u1, annotations: {theirs: kept, ours: old}}
spec: {replicas: 1, hostNameTemplate: n%d}
status: {replicas: 1}
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: h0, uid: u2}
spec: {bootMACAddress: "52:54:00:00:00:01", userData: {name: data}, consumerRef: {kind: DataPlaneNode, name: n0}}
status: {operationalStatus: OK, errorCount: 0, errorMessage: "", poweredOn: true, provisioning: {ID: x, state: provisioned, image: {url: "http://images/a"}}}
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: h1}
`)
	over := reader(t, `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: rack, annotations: {ours: new}}
spec: {replicas: 2}
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: h0}
spec: {bootMACAddress: "52:54:00:00:00:02"}
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: h2}
`).Over(base)
	if n := len(over.Objects()); n != 4 {
		t.Errorf("%d objects, want rack, h0, h1 and h2", n)
	}
	var set v1alpha1.NodeSet
	if err := over.Get(t.Context(), client.ObjectKey{Namespace: "site", Name: "rack"}, &set); err != nil {
		t.Fatal(err)
	}
	if set.UID != "u1" || *set.Spec.Replicas != 2 || set.Spec.HostNameTemplate != "" || set.Status.Replicas != 1 || set.Annotations["theirs"] != "kept" || set.Annotations["ours"] != "new" {
		t.Errorf("NodeSet %+v", set)
	}
	var host metal3v1alpha1.BareMetalHost
	if err := over.Get(t.Context(), client.ObjectKey{Namespace: "site", Name: "h0"}, &host); err != nil {
		t.Fatal(err)
	}
	if host.UID != "u2" || host.Spec.BootMACAddress != "52:54:00:00:00:02" || host.Spec.ConsumerRef == nil || host.Spec.UserData == nil || !host.Status.PoweredOn {
		t.Errorf("BareMetalHost %+v", host)
	}
	if err := base.Get(t.Context(), client.ObjectKey{Namespace: "site", Name: "rack"}, &set); err != nil || *set.Spec.Replicas != 1 {
		t.Errorf("what it was laid over has %d replicas, %v", *set.Spec.Replicas, err)
	}
}
