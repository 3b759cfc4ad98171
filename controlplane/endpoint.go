package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// endpoint is how clients reach the API.
type endpoint struct {
	dir  string
	host string // host:port
}

func (e endpoint) url() string        { return "https://" + e.host }
func (e endpoint) kubeconfig() string { return filepath.Join(e.dir, "kubeconfig") }

func (e endpoint) restConfig(keys pki) *rest.Config {
	return &rest.Config{
		Host:            e.url(),
		TLSClientConfig: rest.TLSClientConfig{CAFile: keys.bundle(authorityAPI), CertFile: keys.file(certAdmin), KeyFile: keys.file(certAdmin)},
		QPS:             -1, // the API server has its own flow control
	}
}

func (e endpoint) writeKubeconfig(keys pki) error {
	ca, err := os.ReadFile(keys.bundle(authorityAPI))
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	admin, err := readIdentity(keys.file(certAdmin))
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	key, err := pemKey(admin.key)
	if err != nil {
		return err
	}
	const name = "rackplane"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: e.url(), CertificateAuthorityData: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pemCertificate(admin.cert), ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: "default"}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("control plane: kubeconfig: %w", err)
	}
	return WriteFile(e.kubeconfig(), data)
}

// ready asks whether the API server is up as a whole (Kubernetes API health endpoints, /readyz).
func (e endpoint) ready(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url()+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}
