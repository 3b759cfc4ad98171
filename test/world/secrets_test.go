package world

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// witness is a test that may fail.
type witness struct {
	testing.TB
	told []string
}

func (w *witness) Helper() {}

func (w *witness) Error(args ...any) { w.told = append(w.told, fmt.Sprint(args...)) }

// TestShownSecretsAreFound shows each kind of secret in each kind of place.
func TestShownSecretsAreFound(t *testing.T) {
	t.Parallel()
	j := Rack()
	w := j.Make()
	j.Parts[0].Do(t, w)
	w.Settle(t, Smooth{})
	clean := &witness{TB: t}
	if w.checkSecrets(clean); len(clean.told) > 0 {
		t.Fatalf("before anything is shown: %v", clean.told)
	}
	if !strings.Contains(w.told.String(), "event Normal") {
		t.Errorf("no event was seen:\n%s", w.told.String())
	}
	var key corev1.Secret
	for _, obj := range w.Objects(t, &corev1.SecretList{}) {
		if s, ok := obj.(*corev1.Secret); ok && strings.HasSuffix(s.Name, "-hostkey") {
			key = *s
		}
	}
	inner := strings.Split(string(privateKey.Find(key.Data[corev1.SSHAuthPrivateKey])), "\n")
	if len(inner) < 5 {
		t.Fatalf("no private key in %s: %v", key.Name, inner)
	}
	set := w.Objects(t, &v1alpha1.NodeSetList{})[0]
	set.SetAnnotations(map[string]string{"a": "x" + CloudPassword(), "b": inner[3]})
	if err := w.API.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	var recorder events.EventRecorder = &w.told
	recorder.Eventf(set, nil, "Normal", "Told", "Tell", "%s", bmcPassword())
	found := &witness{TB: t}
	w.checkSecrets(found)
	all := strings.Join(found.told, "\n")
	// All nodes have one host key here, so the Secret of any of them may be named.
	for _, want := range []string{"NodeSet rack shows a secret: cloud password", "NodeSet rack shows a secret: n", "the log shows a secret: BMC password"} {
		if !strings.Contains(all, want) {
			t.Errorf("not found: %s\n%s", want, all)
		}
	}
}
