#!/usr/bin/env bash
# gofmt of Go 1.26.8, controller-gen v0.21.0: a CEL marker in a type's doc comment that compares with the empty string, '', is rewritten
# by gofmt to a typographic quote (U+201D), as in prose, since markers ("// +kubebuilder:...") are no directives to it.
# controller-gen then writes the broken rule into the CRD without a word: the API server is the first to refuse it.
# Why it matters: formatting on save changes an API's validation. The same marker above a field of a struct is left as it is, so
# only some rules break. Write size(self.name) > 0.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir" && rm -rf "$dir"' EXIT
export GOBIN=$dir/bin GOFLAGS=-mod=mod
go install sigs.k8s.io/controller-tools/cmd/controller-gen@v0.21.0
mkdir "$dir/api" && cd "$dir/api"
printf 'module example.com/api\n\ngo 1.26\n\nrequire k8s.io/apimachinery v0.36.3\n' >go.mod
cat >types.go <<'TYPES'
// Package api has one kind.
// +groupName=example.com
// +versionName=v1
package api

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Spec is what is wanted.
// +kubebuilder:validation:XValidation:rule="self.name != ''",message="name it"
type Spec struct {
	Name string `json:"name"`
}

// Thing is a kind.
// +kubebuilder:object:root=true
type Thing struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec `json:"spec"`
}
TYPES
go mod tidy 2>/dev/null
rule() { "$dir/bin/controller-gen" crd:allowDangerousTypes=true paths=. output:crd:dir=crd && grep -o 'rule: .*' crd/*.yaml; }
before=$(rule)
gofmt -w types.go
after=$(rule)
printf 'before gofmt  %s\nafter gofmt   %s\n' "$before" "$after"
[ "$before" = "rule: self.name != ''" ] && [ "$after" = 'rule: self.name != ”' ] || { echo "the behaviour is another now" >&2; exit 1; }
