package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

func TestKubeconfigOfRuns(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := rest.Config{
		Host:            "https://api.example.com:6443",
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca"), CertData: []byte("cert"), KeyData: []byte("key"), ServerName: "api"},
		Impersonate:     rest.ImpersonationConfig{UserName: "system:serviceaccount:a:b", Groups: []string{"g"}},
		BearerTokenFile: token,
		ExecProvider:    &api.ExecConfig{Command: "login", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: api.NeverExecInteractiveMode},
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := writeKubeconfig(&want, path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	got, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != want.Host || got.BearerTokenFile != want.BearerTokenFile {
		t.Errorf("host %s, token file %s", got.Host, got.BearerTokenFile)
	}
	if diff := cmp.Diff(want.TLSClientConfig, got.TLSClientConfig); diff != "" {
		t.Errorf("TLS (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Impersonate.UserName, got.Impersonate.UserName); diff != "" {
		t.Errorf("impersonation (-want +got):\n%s", diff)
	}
	if got.ExecProvider == nil || got.ExecProvider.Command != "login" || len(got.ExecProvider.Env) != 2 {
		t.Errorf("exec %+v", got.ExecProvider)
	}
	if got.Proxy == nil {
		t.Error("no proxy")
	}
}
