package main

import (
	"net/http"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig lays the engine's own way to the API server down for the processes that supervise runs, which go on
// without the engine: with the same rights, in a file of mode 0600.
func writeKubeconfig(cfg *rest.Config, path string) error {
	proxy, err := proxyOf(cfg)
	if err != nil {
		return err
	}
	const name = "engine"
	file := api.Config{
		CurrentContext: name,
		Contexts:       map[string]*api.Context{name: {Cluster: name, AuthInfo: name}},
		Clusters: map[string]*api.Cluster{name: {
			Server: cfg.Host, ProxyURL: proxy,
			TLSServerName: cfg.ServerName, InsecureSkipTLSVerify: cfg.Insecure,
			CertificateAuthority: cfg.CAFile, CertificateAuthorityData: cfg.CAData,
		}},
		AuthInfos: map[string]*api.AuthInfo{name: {
			ClientCertificate: cfg.CertFile, ClientCertificateData: cfg.CertData, ClientKey: cfg.KeyFile, ClientKeyData: cfg.KeyData,
			Token: cfg.BearerToken, TokenFile: cfg.BearerTokenFile, Username: cfg.Username, Password: cfg.Password,
			Impersonate: cfg.Impersonate.UserName, ImpersonateUID: cfg.Impersonate.UID, ImpersonateGroups: cfg.Impersonate.Groups,
			ImpersonateUserExtra: cfg.Impersonate.Extra, Exec: execOf(cfg),
		}},
	}
	if err := clientcmd.WriteToFile(file, path+".new"); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// proxyOf is the proxy between the engine and its API server, if there is one: supervisors have no environment to find it in.
func proxyOf(cfg *rest.Config) (string, error) {
	find := cfg.Proxy
	if find == nil {
		environment := httpproxy.FromEnvironment().ProxyFunc() // net/http's own answers by what it saw first
		find = func(r *http.Request) (*url.URL, error) { return environment(r.URL) }
	}
	server, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return "", err
	}
	proxy, err := find(&http.Request{URL: server})
	if err != nil || proxy == nil {
		return "", err
	}
	return proxy.String(), nil
}

// execOf is the program that makes credentials, if there is one, with what it finds other programs and its files by.
func execOf(cfg *rest.Config) *api.ExecConfig {
	if cfg.ExecProvider == nil {
		return nil
	}
	exec := cfg.ExecProvider.DeepCopy()
	for _, name := range []string{"PATH", "HOME"} {
		exec.Env = append(exec.Env, api.ExecEnvVar{Name: name, Value: os.Getenv(name)})
	}
	return exec
}
