package inputs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

func TestAuthorizedKeys(t *testing.T) {
	for _, c := range []struct {
		name string
		data map[string]string
		want []string
	}{
		{"given", map[string]string{"authorized_keys": "ssh-rsa A a\n\nssh-rsa B b\n", "ssh-publickey": "ssh-rsa C"}, []string{"ssh-rsa A a", "ssh-rsa B b"}},
		{"public half", map[string]string{"ssh-publickey": "ssh-rsa C\n"}, []string{"ssh-rsa C"}},
		{"derived", nil, []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			secret := steptest.LoginSecret(t)
			for name, text := range c.data {
				secret.Data[name] = []byte(text)
			}
			key, err := inputs.ReadSSHKey(t.Context(), steptest.New(t, secret).Plain, steptest.NodeSet(1))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, key.Authorized); diff != "" {
				t.Errorf("authorized keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadService(t *testing.T) {
	files := &corev1.ConfigMap{ObjectMeta: steptest.Meta("files"), Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"b": {2}}}
	secret := &corev1.Secret{ObjectMeta: steptest.Meta("secret"), Data: map[string][]byte{"a": []byte("later wins")}}
	obj := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("s"), Spec: v1alpha1.DataPlaneServiceSpec{Role: "r", TaskTimeoutSeconds: 30, RunTimeoutSeconds: 90, DataSources: []v1alpha1.DataSource{
		{ConfigMapRef: &v1alpha1.DataSourceRef{Name: "files"}}, {SecretRef: &v1alpha1.DataSourceRef{Name: "secret"}},
	}}}
	got, err := inputs.ReadService(t.Context(), steptest.New(t, files, secret, obj).Plain, client.ObjectKeyFromObject(obj))
	if err != nil {
		t.Fatal(err)
	}
	want := rollout.Service{
		Name: "s", Role: "r", Type: "s", Data: map[string][]byte{"a": []byte("later wins"), "b": {2}},
		Limits: rollout.Limits{Task: 30 * time.Second, Run: 90 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
}
