// Package schema walks the schemas of Rackplane's own kinds: every field a
// user may write, with values it takes and values it must not take. No list of
// fields is kept by hand, so a new field is tested the day it is made.
package schema

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/config"
)

// Field is one field of a kind's spec, at any depth.
type Field struct {
	// Kind it belongs to.
	Kind string
	// Path from the object's root; ItemOf stands for the first item of a list, AnyKey for a key of a map.
	Path []string
	// Schema is the field's own.
	Schema apiextensionsv1.JSONSchemaProps
}

const (
	// ItemOf is the first item of a list.
	ItemOf = "[0]"
	// AnyKey is some key of a map.
	AnyKey = "*"
)

func (f Field) String() string {
	return f.Kind + ": " + strings.ReplaceAll(strings.Join(f.Path, "."), ".[0]", "[0]")
}

// Name is the innermost name on the path, as messages call the field.
func (f Field) Name() string {
	for _, part := range slices.Backward(f.Path) {
		if part != ItemOf && part != AnyKey {
			return part
		}
	}
	return ""
}

// Kinds returns the schemas of Rackplane's own kinds by name.
func Kinds() (map[string]apiextensionsv1.JSONSchemaProps, error) {
	kinds := map[string]apiextensionsv1.JSONSchemaProps{}
	err := fs.WalkDir(config.CRDs, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(config.CRDs, path)
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if crd.Spec.Group == v1alpha1.GroupVersion.Group {
			kinds[crd.Spec.Names.Kind] = *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		}
		return nil
	})
	return kinds, err
}

// Fields returns every field below the spec of a kind, parents before what is in them.
func Fields(kind string, schema apiextensionsv1.JSONSchemaProps) []Field {
	return below(Field{Kind: kind, Path: []string{"spec"}, Schema: schema.Properties["spec"]})
}

func below(f Field) (all []Field) {
	at := func(part string, s apiextensionsv1.JSONSchemaProps) {
		inner := Field{Kind: f.Kind, Path: append(slices.Clone(f.Path), part), Schema: s}
		all = append(append(all, inner), below(inner)...)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Schema.Properties)) {
		at(name, f.Schema.Properties[name])
	}
	if f.Schema.Items != nil && f.Schema.Items.Schema != nil {
		at(ItemOf, *f.Schema.Items.Schema)
	}
	if f.Schema.AdditionalProperties != nil && f.Schema.AdditionalProperties.Schema != nil {
		at(AnyKey, *f.Schema.AdditionalProperties.Schema)
	}
	return all
}

// samples are texts of the shapes that fields of this field have.
func samples() []string {
	return []string{
		"a", "b", "n1", "ctlplane", "192.0.2.10", "192.0.2.11", "192.0.2.0/24", "198.51.100.0/24", "0000:18:00.0", "0000:18:00.1", "2001:db8::/64", "http://192.0.2.1/x", "http://192.0.2.2/y",
		"52:54:00:aa:bb:cc", "0123456789abcdef", "n%d", "m%d", "5%", "10s", "1m", "A", "Aa", "CUSTOM_A", "CUSTOM_B", "tcp:192.0.2.1:6642", "ssl:192.0.2.2:6642",
		"a.example.com", "https://192.0.2.1/image", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBDqaoLLjXiwMGr4Au8nCcRVzDHcVb3VVZ6XEyTDdLnS", "osp.edpm.bootstrap",
		"- hosts: all\n", "1", "2", "a/b", "sha256", "2026-01-01T00:00:00Z",
	}
}

// Values returns up to two different values the schema takes; of a structure, with all that it requires.
func Values(s apiextensionsv1.JSONSchemaProps) []any {
	if len(s.Enum) > 0 {
		return enumerated(s)
	}
	switch {
	case s.XIntOrString:
		return []any{int64(1), "5%"}
	case s.XPreserveUnknownFields != nil && *s.XPreserveUnknownFields && s.Type == "":
		return []any{"a", map[string]any{"b": int64(1)}}
	}
	switch s.Type {
	case "boolean":
		return []any{true, false}
	case "integer", "number":
		low := int64(1)
		if s.Minimum != nil {
			low = int64(*s.Minimum)
		}
		return []any{low, low + 1}
	case "string":
		return texts(s)
	case "array":
		return lists(s)
	case "object":
		return structures(s)
	}
	return nil
}

func enumerated(s apiextensionsv1.JSONSchemaProps) (values []any) {
	for _, raw := range s.Enum {
		var v any
		if yaml.Unmarshal(raw.Raw, &v) == nil {
			values = append(values, v)
		}
	}
	return values[:min(2, len(values))]
}

func texts(s apiextensionsv1.JSONSchemaProps) (values []any) {
	for _, sample := range samples() {
		if fits(s, sample) && len(values) < 2 {
			values = append(values, sample)
		}
	}
	return values
}

func fits(s apiextensionsv1.JSONSchemaProps, text string) bool {
	if (s.MinLength != nil && int64(len(text)) < *s.MinLength) || (s.MaxLength != nil && int64(len(text)) > *s.MaxLength) {
		return false
	}
	matched, err := regexp.MatchString(s.Pattern, text)
	return err == nil && matched
}

func lists(s apiextensionsv1.JSONSchemaProps) (values []any) {
	if s.Items == nil || s.Items.Schema == nil {
		return nil
	}
	for _, item := range Values(*s.Items.Schema) {
		values = append(values, []any{item})
	}
	return values
}

func structures(s apiextensionsv1.JSONSchemaProps) (values []any) {
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		for i, v := range Values(*s.AdditionalProperties.Schema) {
			values = append(values, map[string]any{[]string{"a", "b"}[i]: v})
		}
		return values
	}
	first := map[string]any{}
	for _, name := range s.Required {
		if inner := Values(s.Properties[name]); len(inner) > 0 {
			first[name] = inner[0]
		}
	}
	return []any{first}
}

// Wrong returns values the schema must refuse: of another type, beyond its bounds, in another shape.
func Wrong(s apiextensionsv1.JSONSchemaProps) (values []any) {
	switch {
	case s.XIntOrString:
		return []any{true}
	case s.XPreserveUnknownFields != nil && *s.XPreserveUnknownFields:
		return nil
	}
	switch s.Type {
	case "boolean":
		return []any{"yes", int64(1)}
	case "integer", "number":
		values = []any{"1", true}
		if s.Maximum != nil {
			values = append(values, int64(*s.Maximum)+1)
		}
		if s.Minimum != nil {
			values = append(values, int64(*s.Minimum)-1)
		}
	case "string":
		values = []any{int64(7), map[string]any{}}
		if s.MaxLength != nil {
			values = append(values, strings.Repeat("x", int(*s.MaxLength)+1))
		}
		if len(s.Enum) > 0 || !fits(s, "{{ x }}\n-o x") {
			values = append(values, "{{ x }}\n-o x")
		}
	case "array":
		values = []any{"a"}
	case "object":
		values = []any{"a", []any{}}
	}
	return values
}
