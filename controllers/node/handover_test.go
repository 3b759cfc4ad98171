package node_test

import (
	"context"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// earlier makes the host one that an earlier version handed over: with user data and network data in a Secret each.
func (r *rig) earlier() {
	r.Helper()
	r.pass()
	own := get(r, &corev1.Secret{}, "n0-userdata")
	network := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: own.Namespace, Name: "n0-networkdata", Labels: own.Labels, OwnerReferences: own.OwnerReferences,
	}, Data: map[string][]byte{"networkData": own.Data["networkData"]}}
	if err := r.Plain.Create(r.Context(), network); err != nil {
		r.Fatal(err)
	}
	edit(r, own, func(s *corev1.Secret) { delete(s.Data, "networkData") })
	edit(r, r.host(), func(h *metal3Host) { h.Spec.NetworkData.Name = "n0-networkdata" })
	r.Writes()
}

// TestHandedOverByAnEarlierVersion: a host that reads two Secrets keeps them, gets back what is lost, and none is left of them.
func TestHandedOverByAnEarlierVersion(t *testing.T) {
	r := site(t)
	r.earlier()
	r.pass()
	if h := r.host(); h.Spec.UserData.Name != "n0-userdata" || h.Spec.NetworkData.Name != "n0-networkdata" {
		t.Errorf("reads %v and %v now", h.Spec.UserData, h.Spec.NetworkData)
	}
	for name, key := range map[string]string{"n0-userdata": "userData", "n0-networkdata": "networkData"} {
		r.drop(get(r, &corev1.Secret{}, name))
		r.pass()
		if len(get(r, &corev1.Secret{}, name).Data[key]) == 0 {
			t.Errorf("%s is not made again", name)
		}
	}
	edit(r, r.host(), provisioned)
	r.pass()
	hash := r.node().Status.DeployedHash
	r.settled()
	if hash == "" || r.node().Status.DeployedHash != hash {
		t.Errorf("recorded as %q, then %q", hash, r.node().Status.DeployedHash)
	}
	r.drop(r.node())
	for range 3 {
		r.pass()
		edit(r, r.host(), func(h *metal3Host) { h.Status.Provisioning.State, h.Status.PoweredOn = "available", false })
	}
	if got := r.secrets(); !slices.Equal(got, []string{"site/rack-ssh"}) {
		t.Errorf("left %v", got)
	}
}

// unheard is a cache that hears of no Secret that is made after it began.
type unheard struct {
	client.Reader
	known []string
}

func (u unheard) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*corev1.Secret); ok && !slices.Contains(u.known, key.Name) {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	return u.Reader.Get(ctx, key, obj, opts...)
}

// TestHandOverReadsNoSecretOfItsOwn: what the node has made itself is not looked for, although no cache has heard of it yet.
func TestHandOverReadsNoSecretOfItsOwn(t *testing.T) {
	r := site(t)
	live := &counted{Reader: r.Reader, of: &corev1.Secret{}}
	r.controller.Live, r.controller.Reader = live, unheard{r.Reader, []string{"rack-ssh"}}
	r.pass()
	if r.host().Spec.Image == nil || r.node().Status.DeployedHash == "" {
		t.Fatalf("not handed over: %v", r.node().Status.Conditions)
	}
	if live.reads > 0 {
		t.Errorf("%d uncached reads of Secrets, want none", live.reads)
	}
	key := get(r, &corev1.Secret{}, "n0-hostkey").Data
	r.pass()
	if got := get(r, &corev1.Secret{}, "n0-hostkey").Data; string(got["ssh-privatekey"]) != string(key["ssh-privatekey"]) {
		t.Error("another host key is made by a cache that has not heard of the first")
	}
}

// TestWrittenSecretsAreKnown: contents that were written are not read to be known.
func TestWrittenSecretsAreKnown(t *testing.T) {
	r := site(t)
	live := &counted{Reader: r.Reader, of: &corev1.Secret{}}
	contents := &cached.Contents{Metadata: r.Plain, Live: live}
	r.controller.Live, r.controller.Reader = live, cached.World{Reader: r.Plain, Contents: contents}
	r.controller.Client = cached.Writer{Client: r.controller.Client, Contents: contents}
	for range 3 {
		r.pass()
	}
	if live.reads != 1 {
		t.Errorf("%d uncached reads of Secrets, want one of the login key", live.reads)
	}
	edit(r, &corev1.Secret{ObjectMeta: steptest.Meta("n0-hostkey")}, func(s *corev1.Secret) { s.Data["ssh-publickey"] = []byte("other") })
	if r.pass(); r.node().Status.SSHHostKey != "other" || live.reads != 2 {
		t.Errorf("after somebody else's write: %q, %d reads", r.node().Status.SSHHostKey, live.reads)
	}
}
