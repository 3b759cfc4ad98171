package inputs

import (
	"context"
	"fmt"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// ReadHosts reads the hosts of a namespace, or of all with "", with their hardware, whom they are lent to and which are one
// server: all that the plan and the claim ask of them.
func ReadHosts(ctx context.Context, r client.Reader, namespace string) ([]claim.Host, error) {
	var list metal3v1alpha1.BareMetalHostList
	if err := r.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list BareMetalHosts: %w", err)
	}
	data, err := readHardware(ctx, r, namespace, list.Items)
	if err != nil {
		return nil, err
	}
	var policies v1alpha1.HostClaimPolicyList
	if err := r.List(ctx, &policies, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list HostClaimPolicies: %w", err)
	}
	hosts := make([]claim.Host, 0, len(list.Items))
	for i := range list.Items {
		hosts = append(hosts, data.host(&list.Items[i]))
	}
	claim.Lend(hosts, policies.Items)
	claim.Pair(hosts)
	return hosts, nil
}

// inspected is the HardwareData by host.
type inspected map[types.NamespacedName]*metal3v1alpha1.HardwareData

// readHardware reads HardwareData if the hosts' status does not tell all: Metal3 is moving the inventory from there to
// HardwareData of the same name (apis v0.13.1).
func readHardware(ctx context.Context, r client.Reader, namespace string, hosts []metal3v1alpha1.BareMetalHost) (inspected, error) {
	if !slices.ContainsFunc(hosts, func(h metal3v1alpha1.BareMetalHost) bool { return h.Status.HardwareDetails == nil }) {
		return nil, nil
	}
	var data metal3v1alpha1.HardwareDataList
	if err := r.List(ctx, &data, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list HardwareData: %w", err)
	}
	byKey := make(inspected, len(data.Items))
	for i := range data.Items {
		byKey[client.ObjectKeyFromObject(&data.Items[i])] = &data.Items[i]
	}
	return byKey, nil
}

// host reads a host, with the hardware that its own status does not tell.
func (i inspected) host(bmh *metal3v1alpha1.BareMetalHost) claim.Host {
	h := claim.FromBareMetalHost(*bmh)
	if data := i[client.ObjectKeyFromObject(bmh)]; h.Hardware == nil && data != nil {
		h.Inspected(data.Spec.HardwareDetails)
	}
	return h
}
