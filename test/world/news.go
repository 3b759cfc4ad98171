package world

import (
	"reflect"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// news knows which objects a write concerns, as the controllers' watches do: a host and the node that claims it are looked at when
// the host was written, a node when it was, sets and deployments after every write, and all after a write of what all go by.
type news struct {
	store       *Store
	last        map[string]int64 // the version of the last write that concerns a node or a host
	all         int64            // or everybody
	generations map[types.NamespacedName]int64
}

func newNews(s *Store) *news {
	return &news{store: s, last: map[string]int64{}, generations: map[types.NamespacedName]int64{}}
}

// note is told of every write.
func (n *news) note(_ reflect.Type, key types.NamespacedName, obj client.Object) {
	version := n.store.version
	switch obj := obj.(type) {
	case *v1alpha1.DataPlaneNode:
		n.last["node "+key.String()] = version
	case *metal3v1alpha1.BareMetalHost:
		n.last["host "+key.String()] = version
		if ref := obj.Spec.ConsumerRef; ref != nil {
			n.last["node "+ref.Namespace+"/"+ref.Name] = version
		}
	case *v1alpha1.NodeSet:
		if n.generations[key] != obj.Generation {
			n.generations[key], n.all = obj.Generation, version
		}
	case *v1alpha1.NetConfig, *v1alpha1.DataPlaneService:
		n.all = version
	}
}

// of is the version of the last write that is news for an object of the list's kind.
func (n *news) of(list client.ObjectList, key types.NamespacedName) int64 {
	switch list.(type) {
	case *v1alpha1.DataPlaneNodeList:
		return max(n.all, n.last["node "+key.String()])
	case *metal3v1alpha1.BareMetalHostList:
		return max(n.all, n.last["host "+key.String()])
	}
	return n.store.version
}
