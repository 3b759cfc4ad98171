package main

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

const heldID = "0123456789abcdef0123456789abcdef"

func heldHost() *metal3v1alpha1.BareMetalHost {
	h := &metal3v1alpha1.BareMetalHost{}
	h.Namespace, h.Name = "metal", "h1"
	h.Annotations = map[string]string{v1alpha1.HeldAnnotation: heldID}
	h.Status.PoweredOn = true
	h.Status.Provisioning = metal3v1alpha1.ProvisionStatus{ID: "node-uuid", Image: metal3v1alpha1.Image{URL: "http://images/a", Checksum: "abc"}}
	return h
}

// TestReleaseAsksTwice: only both right answers, or the very id, give a server up.
func TestReleaseAsksTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typed, named string
		released     bool
	}{
		"both answers":  {"h1\n01234567\n", "", true},
		"one answer":    {"h1\n", "", false},
		"another host":  {"h2\n01234567\n", "", false},
		"another id":    {"h1\n76543210\n", "", false},
		"yes":           {"yes\nyes\n", "", false},
		"id by flag":    {"", heldID, true},
		"old id":        {"", "fedcba98", false},
		"empty answers": {"\n\n", "", false},
	} {
		h, out := heldHost(), &strings.Builder{}
		_, err := release(h, confirmation(strings.NewReader(c.typed), out, c.named))
		if got := h.Annotations[v1alpha1.ReleaseAnnotation] == heldID; got != c.released || (err == nil) != c.released {
			t.Errorf("%s: released %t, %v", name, got, err)
		}
	}
	h := heldHost()
	delete(h.Annotations, v1alpha1.HeldAnnotation)
	if _, err := release(h, confirmation(strings.NewReader(""), &strings.Builder{}, heldID)); err == nil || !strings.Contains(err.Error(), "is not held") {
		t.Errorf("a host that is not held: %v", err)
	}
}

// TestHeldIsNotShownRaw: the annotation is text of whoever may write hosts.
func TestHeldIsNotShownRaw(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\x1b[2Jx", "a\nb", "a b", strings.Repeat("a", 65)} {
		h, out := heldHost(), &strings.Builder{}
		h.Annotations[v1alpha1.HeldAnnotation] = text
		_, err := release(h, confirmation(strings.NewReader("h1\n"), out, ""))
		_, keeps := keep(h)
		for _, err := range []error{err, keeps} {
			if err == nil || !strings.Contains(err.Error(), "is not what the engine writes there") || strings.ContainsAny(err.Error()+out.String(), "\x1b\n") {
				t.Errorf("%q: %v, %q", text, err, out)
			}
		}
	}
}

// TestKeep: the host gets what is on its server; one being deleted goes without it.
func TestKeep(t *testing.T) {
	t.Parallel()
	h := heldHost()
	if _, err := keep(h); err != nil || h.Annotations[v1alpha1.DeploymentAnnotation] != heldID || h.Spec.Image.URL != "http://images/a" || !h.Spec.Online {
		t.Errorf("%v, %v, %+v", err, h.Annotations, h.Spec)
	}
	h = heldHost()
	h.Annotations[v1alpha1.HeldAnnotation] = "node-uuid"
	if _, err := keep(h); err != nil || h.Annotations[v1alpha1.DeploymentAnnotation] != "" || h.Spec.Image == nil {
		t.Errorf("without an id: %v, %v, %+v", err, h.Annotations, h.Spec)
	}
	h = heldHost()
	h.DeletionTimestamp = &metav1.Time{}
	*h.DeletionTimestamp = metav1.Unix(1, 0)
	if _, err := keep(h); err != nil || h.Annotations[v1alpha1.DeletionPolicyAnnotation] != "Retain" || h.Spec.Image != nil {
		t.Errorf("deleted: %v, %v, %+v", err, h.Annotations, h.Spec)
	}
	h = heldHost()
	h.Status.Provisioning.Image.URL = ""
	if _, err := keep(h); err == nil || !strings.Contains(err.Error(), "set spec.image") {
		t.Errorf("an image nobody knows: %v", err)
	}
}
