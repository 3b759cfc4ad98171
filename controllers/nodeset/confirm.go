package nodeset

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
)

const (
	// few is how many due nodes are looked at one by one, however small the set is.
	few = 8
	// listShare is how many nodes of the set may be listed for one that is due: of each the list has the metadata, which is that
	// much smaller than a whole node.
	listShare = 4
)

// confirm returns a conflict unless the API server itself shows what the deployments were decided by. A cache may tell of
// one that has ended before it tells what that did to its nodes: everything would run again.
func (p *pass) confirm(ctx context.Context, due []rollout.Due) error {
	if len(due) == 0 {
		return nil
	}
	if err := step.Current(ctx, p.Live, p.set); err != nil {
		return err
	}
	newest, err := p.newest(ctx, due)
	if err != nil {
		return err
	}
	for _, d := range due {
		for _, name := range d.Nodes {
			node := p.find(name)
			if newest[client.ObjectKeyFromObject(node)] == seen(node) {
				continue
			}
			if err := p.confirmNode(ctx, node); err != nil {
				return err
			}
		}
	}
	return nil
}

// version is what an object was read as.
type version struct {
	uid types.UID
	of  string
}

func seen(obj metav1.Object) version { return version{obj.GetUID(), obj.GetResourceVersion()} }

// newest returns the versions that the set's nodes have at the API server, when many of them are due: a node that was read with
// its newest version is as it was read, and only the others are read whole.
func (p *pass) newest(ctx context.Context, due []rollout.Due) (map[client.ObjectKey]version, error) {
	count := 0
	for _, d := range due {
		count += len(d.Nodes)
	}
	if count <= few || count*listShare < len(p.members) {
		return nil, nil
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("DataPlaneNode"))
	if err := p.Live.List(ctx, &list, client.InNamespace(p.set.Namespace), client.MatchingLabels{v1alpha1.NodeSetLabel: p.set.Name}); err != nil {
		return nil, fmt.Errorf("list DataPlaneNodes of NodeSet %s: %w", p.set.Name, err)
	}
	newest := make(map[client.ObjectKey]version, len(list.Items))
	for i := range list.Items {
		newest[client.ObjectKeyFromObject(&list.Items[i])] = seen(&list.Items[i])
	}
	return newest, nil
}

// confirmNode returns a conflict unless the API server shows what the node is to have and has as it was read.
func (p *pass) confirmNode(ctx context.Context, node *v1alpha1.DataPlaneNode) error {
	var now v1alpha1.DataPlaneNode
	key := client.ObjectKeyFromObject(node)
	switch err := p.Live.Get(ctx, key, &now); {
	case apierrors.IsNotFound(err):
		return step.Old(node, "it is gone")
	case err != nil:
		return fmt.Errorf("read DataPlaneNode %s: %w", key, err)
	case now.UID != node.UID || !equality.Semantic.DeepEqual(now.Spec, node.Spec) || !equality.Semantic.DeepEqual(now.Status.Services, node.Status.Services):
		return step.Old(node, "it has changed since it was read")
	}
	return nil
}
