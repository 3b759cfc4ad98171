package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

//go:embed manifests
var templates embed.FS

// inputs fill the templates.
type inputs struct {
	Namespace      string
	SecondNetwork  string // the one on eth1
	Southbound     string
	Hosts          []host
	Nodes          []runningHost
	Image          image
	RepoURL        string
	SSHPrivateKey  string // base64
	Replicas       int
	Services       []string
	PreProvisioned bool
	OwnKernel      bool // of the nodes, which are no containers then
}

type host struct{ Name, BMCUsername, BMCPassword, BMCAddress, BootMAC string }

type runningHost struct {
	Name, Address, HostKey string
	Cards                  []string // names of its network cards
}

type image struct{ URL, Checksum string }

// write renders the template of that name to dir, where the user can read it and `rackplane plan` does.
func (in inputs) write(dir, name string) (string, error) {
	t, err := template.ParseFS(templates, "manifests/"+name+".yaml.tmpl")
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, in); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".yaml")
	return path, os.WriteFile(path, b.Bytes(), 0o600)
}

// apply sends every object of the file, as `kubectl apply --server-side` would.
func apply(ctx context.Context, c client.Client, path, namespace string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(f, 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case len(obj.Object) == 0:
			continue
		}
		if obj.GetNamespace() == "" && namespace != "" {
			obj.SetNamespace(namespace)
		}
		if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner("demo"), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
}

func ensureNamespace(ctx context.Context, c client.Client, name string) error {
	err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// tail is the end of a file, for messages about something that went wrong.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	rows := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	return string(bytes.Join(rows[max(0, len(rows)-lines):], []byte("\n")))
}
