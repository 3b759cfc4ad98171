package config_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/rackplane/rackplane/config"
)

// right is what a role lets one do: on resources of a group, as "group/resource".
type right struct {
	role, on, verbs string
}

// rights are all that the engine may do, each with the reason. A right that is not here is a change of the trust model:
// add it only with what needs it, and say in docs/security.md what it lets a taken-over engine do.
func rights() map[right]string {
	const manager, leader, discovery = "rackplane-manager", "rackplane-leader", "rackplane-cell-discovery"
	own := "dataplane.rackplane.dev/"
	return map[right]string{
		{manager, "/configmaps", "get list watch"}:                                    "data sources of services; the watch is on metadata and starts a pass when one changes",
		{manager, "/secrets", "create delete get list patch watch"}:                   "logins, clouds and data sources are read; host keys, user data, network data and snapshots are made and deleted",
		{manager, own + "nodesets", "get list patch watch"}:                           "plans by them, and puts the finalizer on",
		{manager, own + "nodesets/finalizers", "update"}:                              "owner of nodes and deployments with blockOwnerDeletion",
		{manager, own + "nodesets/status", "patch"}:                                   "tells",
		{manager, own + "dataplanenodes", "create delete get list patch watch"}:       "made, planned and scaled in by their NodeSet; finalizer",
		{manager, own + "dataplanenodes/finalizers", "update"}:                        "owner of Secrets with blockOwnerDeletion",
		{manager, own + "dataplanenodes/status", "patch"}:                             "tells",
		{manager, own + "dataplanedeployments", "create delete get list patch watch"}: "made and cleared away by their NodeSet; finalizer",
		{manager, own + "dataplanedeployments/finalizers", "update"}:                  "owner of snapshots with blockOwnerDeletion",
		{manager, own + "dataplanedeployments/status", "patch"}:                       "tells",
		{manager, own + "dataplaneservices", "get list watch"}:                        "runs them",
		{manager, own + "netconfigs", "get list watch"}:                               "plans addresses by them",
		{manager, own + "addressblocks", "create delete get list update watch"}:       "gives addresses out by compare-and-swap",
		{manager, own + "hostclaimpolicies", "get list watch"}:                        "claims by them",
		{manager, "coordination.k8s.io/leases", "create delete get list update"}:      "a run and its nodes are leased in their namespace: one run per node, whoever asks; those of many nodes are read in one list",
		{manager, "metal3.io/baremetalhosts", "get list patch watch"}:                 "claims, hands over, undeploys; finalizer",
		{manager, "metal3.io/baremetalhosts/finalizers", "update"}:                    "owner of HardwareData with blockOwnerDeletion",
		{manager, "metal3.io/baremetalhosts/status", "update"}:                        "the builtin host backend tells",
		{manager, "metal3.io/hardwaredata", "create delete get list patch watch"}:     "the builtin host backend keeps the inventory",
		{manager, "events.k8s.io/events", "create patch"}:                             "tells of changes",
		{leader, "coordination.k8s.io/leases", "create"}:                              "one engine acts at a time; only in rackplane-system (a name cannot bound create)",
		{leader, "coordination.k8s.io/leases engine.rackplane.dev", "get update"}:     "the lease itself",
		{leader, "/configmaps", "create"}:                                             "what the engine last acted on; only in rackplane-system (a name cannot bound create)",
		{leader, "/configmaps rackplane-epoch", "get update"}:                         "the same, and whether it is paused",
		{manager, "/namespaces", "get"}:                                               "the UID of kube-system tells clusters apart; a namespace that goes is no order to erase servers",
		{manager, "apiextensions.k8s.io/customresourcedefinitions baremetalhosts.metal3.io dataplanenodes.dataplane.rackplane.dev nodesets.dataplane.rackplane.dev", "get"}: "nor is a kind that goes",
		{discovery, "batch/cronjobs", "get"}:     "the Job's template; bound by nobody by default",
		{discovery, "batch/jobs", "create list"}: "cell discovery; bound by nobody by default",
	}
}

// TestEveryRightHasAReason fails on any verb, resource or role that is not in the list above, and on any that is no longer used.
func TestEveryRightHasAReason(t *testing.T) {
	granted := map[right]bool{}
	for _, role := range roles(t) {
		for _, rule := range role.Rules {
			for _, r := range rightsOf(role.Name, rule) {
				granted[r] = true
			}
		}
	}
	known := rights()
	for r := range granted {
		if strings.Contains(fmt.Sprint(r), "*") {
			t.Errorf("%+v: a wildcard", r)
		}
		if known[r] == "" {
			t.Errorf("%+v is new: nobody has said what it is for", r)
		}
	}
	for r := range known {
		if !granted[r] {
			t.Errorf("%+v is granted no more: take it off the list", r)
		}
	}
}

func rightsOf(role string, rule rbacv1.PolicyRule) []right {
	verbs := strings.Join(slices.Sorted(slices.Values(rule.Verbs)), " ")
	var out []right
	for _, url := range rule.NonResourceURLs {
		out = append(out, right{role, url, verbs})
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			on := strings.TrimSpace(group + "/" + resource + " " + strings.Join(rule.ResourceNames, " "))
			out = append(out, right{role, on, verbs})
		}
	}
	return out
}

// TestNobodyIsBoundToMore: the engine is bound to its two roles and nobody else to anything.
func TestNobodyIsBoundToMore(t *testing.T) {
	bound := map[string]string{}
	for _, b := range decoded[rbacv1.ClusterRoleBinding](t, "ClusterRoleBinding") {
		for _, s := range b.Subjects {
			bound[b.RoleRef.Kind+" "+b.RoleRef.Name] += s.Kind + " " + s.Namespace + "/" + s.Name
		}
	}
	for _, b := range decoded[rbacv1.RoleBinding](t, "RoleBinding") {
		for _, s := range b.Subjects {
			bound[b.RoleRef.Kind+" "+b.RoleRef.Name] += s.Kind + " " + s.Namespace + "/" + s.Name + " in " + b.Namespace
		}
	}
	engine := "ServiceAccount rackplane-system/rackplane-manager"
	want := map[string]string{"ClusterRole rackplane-manager": engine, "Role rackplane-leader": engine + " in rackplane-system"}
	if !maps.Equal(bound, want) {
		t.Errorf("bound %v, want %v", bound, want)
	}
}

// roles are all roles of config/rbac, cluster-wide or not.
func roles(t *testing.T) []rbacv1.ClusterRole {
	t.Helper()
	return append(decoded[rbacv1.ClusterRole](t, "ClusterRole"), decoded[rbacv1.ClusterRole](t, "Role")...)
}

// decoded are the objects of that kind in config/rbac.
func decoded[T any](t *testing.T, kind string) []T {
	t.Helper()
	files, err := fs.Glob(config.RBAC, "rbac/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	var out []T
	for _, file := range files {
		data, err := fs.ReadFile(config.RBAC, file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
			var head struct{ Kind string }
			if err := yaml.Unmarshal(doc, &head); err != nil {
				t.Fatal(file, err)
			}
			if head.Kind != kind {
				continue
			}
			var obj T
			if err := yaml.UnmarshalStrict(doc, &obj); err != nil {
				t.Fatal(file, err)
			}
			out = append(out, obj)
		}
	}
	return out
}
