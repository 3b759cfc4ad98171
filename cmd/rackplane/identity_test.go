package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// command runs the program.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// administrators writes the kubeconfig of the test's API server, whose identity may do everything.
func administrators(t *testing.T) (string, *rest.Config) {
	t.Helper()
	cfg := cluster.Config(t)
	if err := rest.LoadTLSFiles(cfg); err != nil {
		t.Fatal(err)
	}
	out := clientcmdapi.NewConfig()
	out.Clusters["c"] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	out.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}
	out.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	out.CurrentContext = "x"
	path := filepath.Join(t.TempDir(), "admin")
	if err := clientcmd.WriteToFile(*out, path); err != nil {
		t.Fatal(err)
	}
	return path, cfg
}

// TestManagerIsNobodysAdministrator: the manager refuses an identity that may do everything, and takes the one that
// `rackplane kubeconfig` writes for it.
func TestManagerIsNobodysAdministrator(t *testing.T) {
	admin, cfg := administrators(t)
	venv := t.TempDir()
	_, err := command(t, "manager", "--kubeconfig", admin, "--ansible-venv", venv, "--state-dir", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "may do everything") || !strings.Contains(err.Error(), "rackplane kubeconfig --output FILE") {
		t.Fatalf("the administrator's kubeconfig: %v", err)
	}

	own := filepath.Join(t.TempDir(), "engine.kubeconfig")
	if _, err := command(t, "kubeconfig", "--kubeconfig", admin, "--output", own); err == nil || !strings.Contains(err.Error(), "kubectl apply -k config/default") {
		t.Fatalf("without a ServiceAccount: %v", err)
	}
	if _, err := controlplane.InstallRBAC(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "kubeconfig", "--kubeconfig", admin, "--output", own)
	if err != nil || !strings.Contains(out, "ServiceAccount rackplane-system/rackplane-manager until ") {
		t.Fatalf("%s %v", out, err)
	}
	for _, path := range []string{own, own + ".token"} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want it for its owner only", path, info.Mode(), err)
		}
	}
	written, err := os.ReadFile(own)
	if err != nil || bytes.Contains(written, []byte("client-key")) || bytes.Contains(written, []byte("client-certificate")) {
		t.Errorf("the administrator's login is in the engine's kubeconfig (%v)", err)
	}
	flags := kubeFlags{kubeconfig: own}
	engine, err := flags.engineConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := refuseAdministrator(t.Context(), engine); err != nil {
		t.Errorf("its own identity: %v", err)
	}
	checkRights(t, engine)
}

// checkRights asks the API server what the identity is and may.
func checkRights(t *testing.T, cfg *rest.Config) {
	t.Helper()
	c, err := client.New(cfg, client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	self := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(t.Context(), self); err != nil || self.Status.UserInfo.Username != controlplane.EngineUser {
		t.Errorf("it is %q (%v), want %s", self.Status.UserInfo.Username, err, controlplane.EngineUser)
	}
	for _, may := range []struct {
		verb, group, resource, namespace string
		want                             bool
	}{
		{"create", "batch", "jobs", "kube-system", false},
		{"create", "", "pods", "openstack", false},
		{"escalate", "rbac.authorization.k8s.io", "clusterroles", "", false},
		{"update", "coordination.k8s.io", "leases", "rackplane-system", true},
		{"patch", "metal3.io", "baremetalhosts", "metal", true},
		{"patch", "dataplane.rackplane.dev", "hostclaimpolicies", "metal", false},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: may.verb, Group: may.group, Resource: may.resource, Namespace: may.namespace},
		}}
		if err := c.Create(t.Context(), review); err != nil || review.Status.Allowed != may.want {
			t.Errorf("%+v: %t (%v)", may, review.Status.Allowed, err)
		}
	}
}

// TestManagerNeedsAnIdentityOfItsOwn: what kubectl would use is not used.
func TestManagerNeedsAnIdentityOfItsOwn(t *testing.T) {
	admin, _ := administrators(t)
	t.Setenv("KUBECONFIG", admin)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := command(t, "manager", "--ansible-venv", t.TempDir(), "--state-dir", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "--kubeconfig") || !strings.Contains(err.Error(), "are not used") {
		t.Errorf("without --kubeconfig: %v", err)
	}
}

// TestIdentityThatMayNotAsk is taken for no administrator's; one that cannot be asked is an error.
func TestIdentityThatMayNotAsk(t *testing.T) {
	for code, refused := range map[int]bool{http.StatusForbidden: false, http.StatusInternalServerError: true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(code)
				_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"` + http.StatusText(code) + `"}`))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"authorization.k8s.io/v1","resources":[{"name":"selfsubjectaccessreviews","kind":"SelfSubjectAccessReview","verbs":["create"]}]}`))
		}))
		defer server.Close()
		if err := refuseAdministrator(t.Context(), &rest.Config{Host: server.URL}); (err != nil) != refused {
			t.Errorf("%d: %v", code, err)
		}
	}
}
