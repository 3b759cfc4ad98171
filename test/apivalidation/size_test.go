package apivalidation

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/test/cluster"
)

// TestDeploymentOfAllNodes: a deployment of fifteen services on 5,000 nodes with names of twenty letters, named by its user or not,
// is taken, and with all that the API server keeps of it stays far below the 256 KiB that an object may take.
func TestDeploymentOfAllNodes(t *testing.T) {
	namespace := cluster.Namespace(t, newClient(t))
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cluster.Config(t), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	var nodes []string
	for i := range 5000 {
		nodes = append(nodes, fmt.Sprintf("rack7-compute-n-%04d", i))
	}
	for name, d := range map[string]*v1alpha1.DataPlaneDeployment{
		"named": {Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", Nodes: nodes}},
		"all":   {Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack"}},
	} {
		t.Run(name, func(t *testing.T) {
			d.Namespace, d.Name = namespace, name
			if err := c.Create(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if name == "all" {
				d.Status.Nodes = nodes
			}
			var runs []rollout.Run
			for i := range 15 {
				runs = append(runs, rollout.Run{Nodes: nodes, FailedNodes: nodes[100*i : 100*i+50], RunStatus: v1alpha1.RunStatus{
					Service: fmt.Sprintf("service-%02d", i), Key: strings.Repeat("0", 30) + fmt.Sprintf("%02d", i), Lease: string(d.UID) + "-0", State: v1alpha1.RunFailed, StartedAt: metav1.Now(),
				}})
			}
			rollout.Record(d, runs)
			if err := c.Status().Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			var stored v1alpha1.DataPlaneDeployment
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(d), &stored); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(stored)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d KiB", len(text)>>10)
			if len(text) > 160<<10 {
				t.Errorf("%d KiB, more than 160", len(text)>>10)
			}
			if got := rollout.Runs(&stored)[14]; len(got.Nodes) != 5000 || len(got.FailedNodes) != 50 {
				t.Errorf("the last run is on %d nodes and failed on %d", len(got.Nodes), len(got.FailedNodes))
			}
		})
	}
}
