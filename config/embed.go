// Package config holds the manifests a cluster needs for Rackplane. Everything
// under crd/ is generated: edit the Go types and run `make generate`.
package config

import "embed"

// CRDs are the CustomResourceDefinitions: directly under crd/ Rackplane's own kinds, under crd/metal3/ the three
// Metal3 kinds the engine works on (generated from github.com/metal3-io/baremetal-operator/apis v0.13.1).
//
//go:embed crd/dataplane.rackplane.dev_*.yaml crd/metal3/metal3.io_*.yaml
var CRDs embed.FS

// Services are the default DataPlaneServices, one manifest each.
//
//go:embed services/*.yaml
var Services embed.FS

// RBAC are the namespace, service account, roles and bindings that the engine needs and no more.
//
//go:embed rbac/namespace.yaml rbac/service_account.yaml rbac/role.yaml rbac/role_binding.yaml rbac/leader_role.yaml rbac/discovery_role.yaml
var RBAC embed.FS
