package deployment_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// nodeReads counts what is read of nodes.
type nodeReads struct {
	client.Reader
	gets, lists, metadata int
}

func (c *nodeReads) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	switch o := obj.(type) {
	case *v1alpha1.DataPlaneNode:
		c.gets++
	case *metav1.PartialObjectMetadata:
		if o.Kind == "DataPlaneNode" {
			c.metadata++
		}
	}
	return c.Reader.Get(ctx, key, obj, opts...)
}

func (c *nodeReads) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	switch o := list.(type) {
	case *v1alpha1.DataPlaneNodeList:
		c.lists++
	case *metav1.PartialObjectMetadataList:
		if o.Kind == "DataPlaneNode" {
			c.metadata++
		}
	}
	return c.Reader.List(ctx, list, opts...)
}

// twelve is a site with twelve nodes; the world and what is read live are counted apart.
func twelve(t *testing.T) (r *rig, world, live *nodeReads) {
	t.Helper()
	var more []client.Object
	for i := 3; i < 12; i++ {
		more = append(more, nodeOf(i), steptest.Host(fmt.Sprintf("h%d", i)))
	}
	r = site(t, newDeployment(), more...)
	world, live = &nodeReads{Reader: r.Reader}, &nodeReads{Reader: r.Reader}
	r.controller.Reader, r.controller.Live = world, live
	return r, world, live
}

// TestResultsAreOneListAndOneWritePerNode: the end of a run reads the world once and no node for itself; the next run looks
// live which nodes are still there, at their metadata alone.
func TestResultsAreOneListAndOneWritePerNode(t *testing.T) {
	r, world, live := twelve(t)
	r.pass() // decides on the first run
	for service := range 3 {
		r.pass() // starts the run
		r.pass() // sees it go on
		r.Writes()
		*world, *live = nodeReads{Reader: r.Reader}, nodeReads{Reader: r.Reader}
		r.pass() // closes the run
		nodes := 0
		for _, w := range r.Writes() {
			if strings.HasPrefix(w, "patch status DataPlaneNode ") {
				nodes++
			}
		}
		more := 1
		if service == 2 {
			more = 0 // nothing runs after the last
		}
		got := []int{nodes, world.gets, world.lists, live.gets, live.lists, live.metadata}
		if diff := cmp.Diff([]int{12, 0, 1, 0, 0, more}, got); diff != "" {
			t.Errorf("service %d: writes, reads of the world, live reads (-want +got):\n%s", service, diff)
		}
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "3 services on 12 nodes")
}

// TestOneNodeThatFailsKeepsItsRunOpen: the results of the others are written, the run is closed when all are, and the next
// pass writes the one that is missing.
func TestOneNodeThatFailsKeepsItsRunOpen(t *testing.T) {
	r, _, _ := twelve(t)
	for range 3 {
		r.pass()
	}
	r.Inject = func(_ string, obj client.Object) error {
		if obj.GetName() == "n1" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "dataplanenodes"}, "n1", fmt.Errorf("not now")) // a pass without an answer writes no status at all
		}
		return nil
	}
	if _, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKeyFromObject(newDeployment())); err == nil {
		t.Fatal("no error, want the API server's")
	}
	if got := r.deployment().Status.Runs[0].State; got != v1alpha1.RunRunning {
		t.Errorf("the run is %s without a result in n1", got)
	}
	if got := r.results(11); got != "bootstrap:Succeeded:0" {
		t.Errorf("n11 has %q, want its result whatever became of n1", got)
	}
	r.Inject = nil
	r.Writes()
	r.pass()
	for _, w := range r.Writes() {
		if strings.HasPrefix(w, "patch status DataPlaneNode ") && w != "patch status DataPlaneNode n1" {
			t.Errorf("%s: written twice", w)
		}
	}
	if got := r.deployment().Status.Runs[0].State; got != v1alpha1.RunSucceeded {
		t.Errorf("the run is %s", got)
	}
}

// oldWorld shows nodes as they were.
type oldWorld struct {
	client.Reader
	nodes v1alpha1.DataPlaneNodeList
}

func (o *oldWorld) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if nodes, ok := list.(*v1alpha1.DataPlaneNodeList); ok {
		o.nodes.DeepCopyInto(nodes)
		return nil
	}
	return o.Reader.List(ctx, list, opts...)
}

// TestResultsAreWrittenWhateverTheWorldShows: a node that the world shows as it was, or not at all, gets its results as the
// others do, each once.
func TestResultsAreWrittenWhateverTheWorldShows(t *testing.T) {
	for _, known := range []int{0, 3} {
		r := site(t, newDeployment())
		r.runner.Inject(ansibletest.Failure{What: "osp.edpm.known", Node: "n1", Result: v1alpha1.ServiceFailed, Message: "no"})
		old := &oldWorld{Reader: r.Reader}
		if err := r.Plain.List(t.Context(), &old.nodes); err != nil {
			t.Fatal(err)
		}
		old.nodes.Items = old.nodes.Items[:known]
		r.controller.Reader = old
		r.run()
		for i, want := range []string{"bootstrap:Succeeded:0 network:Succeeded:0 known:Succeeded:0", "bootstrap:Succeeded:0 network:Succeeded:0 known:Failed:1"} {
			if got := r.results(i); got != want {
				t.Errorf("the world shows %d nodes: n%d has %q, want %q", known, i, got, want)
			}
		}
	}
}
