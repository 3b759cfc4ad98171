package nodeset_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// observed notes what is read of nodes.
type observed struct {
	client.Reader
	reads []string
}

func (o *observed) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*v1alpha1.DataPlaneNode); ok {
		o.reads = append(o.reads, "get "+key.Name)
	}
	return o.Reader.Get(ctx, key, obj, opts...)
}

func (o *observed) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if strings.HasPrefix(list.GetObjectKind().GroupVersionKind().Kind, "DataPlaneNode") {
		o.reads = append(o.reads, fmt.Sprintf("list %T", list))
	}
	return o.Reader.List(ctx, list, opts...)
}

// late shows nodes as they were.
type late struct {
	client.Reader
	nodes v1alpha1.DataPlaneNodeList
}

func (l late) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if nodes, ok := list.(*v1alpha1.DataPlaneNodeList); ok {
		l.nodes.DeepCopyInto(nodes)
		return nil
	}
	return l.Reader.List(ctx, list, opts...)
}

// TestManyDueNodesAreConfirmedByOneList: before a deployment over many nodes is made, what the API server has is found by the
// versions alone; only a node that has another than it was read with is read whole, and one that has changed stops it.
func TestManyDueNodesAreConfirmedByOneList(t *testing.T) {
	const all = 12
	const list = "list *v1.PartialObjectMetadataList"
	for _, c := range []struct {
		name    string
		members int
		change  func(*v1alpha1.DataPlaneNode)
		reads   []string
		made    int
	}{
		{"as they were read", all, nil, []string{list}, 1},
		{"one tells another thing", all, func(n *v1alpha1.DataPlaneNode) { n.Status.ObservedGeneration++ }, []string{list, "get n3"}, 1},
		{"one has its results", all, func(n *v1alpha1.DataPlaneNode) {
			n.Status.Services = []v1alpha1.ServiceResult{{Name: "bootstrap", InputHash: n.Spec.Services[0].InputHash, Result: v1alpha1.ServiceSucceeded}}
		}, []string{list, "get n3"}, 0},
		{"few are read one by one", 2, nil, []string{"get n0", "get n1"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := site(t, all, int32(c.members))
			r.pass()
			for _, n := range r.nodes() {
				edit(r, &n, func(n *v1alpha1.DataPlaneNode) {
					n.Status.SSHHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
					n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWaitingForSSH}}
				})
			}
			r.pass()
			r.deployed()
			old := late{Reader: r.controller.Reader}
			if err := r.Plain.List(t.Context(), &old.nodes); err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(r.nodes(), func(n v1alpha1.DataPlaneNode) bool { return n.Name == "n3" }); c.change != nil {
				edit(r, &r.nodes()[i], c.change)
			}
			live := &observed{Reader: r.controller.Live}
			r.controller.Reader, r.controller.Live = old, live
			r.pass()
			if diff := cmp.Diff(c.reads, live.reads); diff != "" {
				t.Error("live reads of nodes (-want +got):", diff)
			}
			if n := len(r.deployments()); n != c.made {
				t.Errorf("%d deployments, want %d", n, c.made)
			}
		})
	}
}
