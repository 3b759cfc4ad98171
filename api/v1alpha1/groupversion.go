package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "dataplane.rackplane.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&NodeSet{}, &NodeSetList{},
		&DataPlaneNode{}, &DataPlaneNodeList{},
		&DataPlaneService{}, &DataPlaneServiceList{},
		&DataPlaneDeployment{}, &DataPlaneDeploymentList{},
		&NetConfig{}, &NetConfigList{},
		&HostClaimPolicy{}, &HostClaimPolicyList{},
		&AddressBlock{}, &AddressBlockList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
