package claim

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Lend fills in which other namespaces may have each host: those that a HostClaimPolicy of the host's namespace names and
// whose selector it matches. A policy with a malformed selector lends nothing.
func Lend(hosts []Host, policies []v1alpha1.HostClaimPolicy) {
	for i := range hosts {
		hosts[i].LentTo = nil
	}
	for p := range policies {
		selector, err := selectorOf(policies[p].Spec.HostSelector)
		if err != nil {
			continue
		}
		for i := range hosts {
			h := &hosts[i]
			if h.Ref.Namespace == policies[p].Namespace && selector.Matches(labels.Set(h.Labels)) {
				h.LentTo = append(h.LentTo, policies[p].Spec.Namespaces...)
			}
		}
	}
	for i := range hosts {
		slices.Sort(hosts[i].LentTo)
		hosts[i].LentTo = slices.Compact(hosts[i].LentTo)
	}
}

// Pair fills in which hosts are one server that is written down twice: hosts of a namespace with one BMC address or one
// boot MAC. One of them stays what it is, the first that serves somebody or else the first by name; the others are refused.
// Across namespaces nothing is compared: else whoever writes hosts could take any server out of service by its address.
func Pair(hosts []Host) {
	type mark struct{ namespace, field, value string }
	order := slices.SortedFunc(slices.Values(pointers(hosts)), func(a, b *Host) int {
		if a.inUse() != b.inUse() {
			if a.inUse() {
				return -1
			}
			return 1
		}
		return compareHosts(a.Ref, b.Ref)
	})
	first := map[mark]*Host{}
	for _, h := range order {
		h.Twin = ""
		for _, m := range []mark{{h.Ref.Namespace, "spec.bmc.address", h.BMC}, {h.Ref.Namespace, "spec.bootMACAddress", h.BootMAC}} {
			switch other := first[m]; {
			case m.value == "":
			case other == nil:
				first[m] = h
			case h.Twin == "":
				h.Twin = fmt.Sprintf("the same server as %s by %s: delete one of the two", other.Ref.Name, m.field)
			}
		}
	}
}

func pointers(hosts []Host) []*Host {
	out := make([]*Host, len(hosts))
	for i := range hosts {
		out[i] = &hosts[i]
	}
	return out
}

// inUse reports whether the host serves somebody already.
func (h *Host) inUse() bool { return h.Consumer != nil || h.HasImage || h.ExternallyProvisioned }

// visibleTo reports whether the host is the namespace's own or lent to it.
func (h *Host) visibleTo(namespace string) bool {
	return h.Ref.Namespace == namespace || slices.Contains(h.LentTo, namespace)
}

// Carries reports whether the host carries the node's claim beyond doubt, UID included.
func (h *Host) Carries(node Owner) bool {
	c := h.Consumer
	return c != nil && h.ConsumerKind == OwnerKind && c.Namespace == node.Namespace && c.Name == node.Name && (c.UID == node.UID || node.UID == "")
}

// carriesEarlier reports whether the host carries the claim of an earlier node of that name, as in a restored backup: the
// node that stands there now is another object, and no other can be meant.
func (h *Host) carriesEarlier(node Owner) bool {
	c := h.Consumer
	return c != nil && h.ConsumerKind == OwnerKind && c.Namespace == node.Namespace && c.Name == node.Name &&
		c.UID != "" && node.UID != "" && c.UID != node.UID
}

// DataSecret is the name of a Secret of the node that a host of the namespace reads. Nodes of several namespaces may
// share that one: then their names carry the node's namespace, which holds no dot.
func DataSecret(node Owner, hostNamespace, what string) string {
	name := node.Name
	if hostNamespace != node.Namespace {
		name += "." + node.Namespace
	}
	return name + "-" + what
}

// UserData is what DataSecret calls the user data.
const UserData = "userdata"

// HandedOverBy reports whether the image on the host is the node's: image and user data are set at once. It needs no
// status, and whoever could forge it could as well write the image.
func (h *Host) HandedOverBy(node Owner) bool {
	return h.UserData != "" && h.UserData == DataSecret(node, h.Ref.Namespace, UserData)
}

// Refused says why the node must not claim the host as it is now; "" when it may. It asks every rule of the plan. A host
// that names the node without a UID is taken for unclaimed, and so is one that runs the node's image and carries the claim
// of an earlier node of its name. The error is a malformed selector.
func Refused(n Need, h Host) (string, error) {
	c, err := classOf(&n)
	if err != nil {
		return "", err
	}
	return c.refusedTo(n.Node, &h), nil
}

// refusedTo is Refused for a need of the class. A server that the node itself handed its image over to need not be free
// and fit again, only still be lent and there.
func (c *class) refusedTo(node Owner, h *Host) string {
	asked := *h
	named := asked.Consumer != nil && asked.ConsumerKind == OwnerKind && asked.Consumer.same(node)
	if named || (asked.carriesEarlier(node) && asked.HandedOverBy(node)) {
		asked.Consumer, asked.ConsumerKind = nil, ""
	}
	rules := allRules()
	if asked.HandedOverBy(node) && asked.Consumer == nil {
		rules = ownRules()
	}
	if i := firstRefusal(rules, c, &asked); i >= 0 {
		return rules[i].reason(c, &asked)
	}
	return ""
}
