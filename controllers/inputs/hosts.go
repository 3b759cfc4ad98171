package inputs

import (
	"context"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// ReadHosts reads the hosts of a namespace, or of all with "", with their hardware, whom they are lent to and which are one
// server: all that the plan and the claim ask of them.
func ReadHosts(ctx context.Context, r client.Reader, namespace string) ([]claim.Host, error) {
	var list metal3v1alpha1.BareMetalHostList
	if err := r.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list BareMetalHosts: %w", err)
	}
	hosts := make([]claim.Host, 0, len(list.Items))
	inspected := true
	for i := range list.Items {
		hosts = append(hosts, claim.FromBareMetalHost(list.Items[i]))
		inspected = inspected && hosts[i].Hardware != nil
	}
	if !inspected {
		if err := readHardware(ctx, r, namespace, hosts); err != nil {
			return nil, err
		}
	}
	var policies v1alpha1.HostClaimPolicyList
	if err := r.List(ctx, &policies, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list HostClaimPolicies: %w", err)
	}
	claim.Lend(hosts, policies.Items)
	claim.Pair(hosts)
	return hosts, nil
}

// readHardware fills in what the hosts' status does not tell: Metal3 is moving the inventory from there to HardwareData of
// the same name (apis v0.13.1).
func readHardware(ctx context.Context, r client.Reader, namespace string, hosts []claim.Host) error {
	var data metal3v1alpha1.HardwareDataList
	if err := r.List(ctx, &data, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list HardwareData: %w", err)
	}
	byKey := make(map[types.NamespacedName]*metal3v1alpha1.HardwareDetails, len(data.Items))
	for i := range data.Items {
		byKey[client.ObjectKeyFromObject(&data.Items[i])] = data.Items[i].Spec.HardwareDetails
	}
	for i := range hosts {
		if hosts[i].Hardware == nil {
			hosts[i].Hardware = hardware.FromMetal3(byKey[types.NamespacedName{Namespace: hosts[i].Ref.Namespace, Name: hosts[i].Ref.Name}])
		}
	}
	return nil
}
