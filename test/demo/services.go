package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/config"
)

// servicesYAML are the default services as the user applies them: config/services.
func servicesYAML() string {
	var docs []string
	names, err := fs.Glob(config.Services, "services/*.yaml")
	if err != nil {
		panic(err) // the pattern is constant
	}
	for _, name := range names {
		data, err := fs.ReadFile(config.Services, name)
		if err != nil {
			panic(err) // embedded files are always readable
		}
		docs = append(docs, string(data))
	}
	return "---\n" + strings.Join(docs, "\n---\n")
}

func applyServices(ctx context.Context, c client.Client, namespace string) error {
	f, err := os.CreateTemp("", "services-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString(servicesYAML()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return apply(ctx, c, filepath.Clean(f.Name()), namespace)
}
