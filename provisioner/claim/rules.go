package claim

import (
	"fmt"
	"slices"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// class is what needs that accept the same hosts have in common.
type class struct {
	place        place
	selector     labels.Selector
	labels       labels.Set
	requirements v1alpha1.HardwareRequirements

	adjacent []int32 // indices of the free hosts that fit, ascending
}

// rule is one link of the eligibility chain. passes is on the hot path (needs x hosts); reason is asked only of hosts
// that do not pass, and is shown to users.
type rule struct {
	passes func(c *class, h *Host) bool
	reason func(c *class, h *Host) string
}

// allRules are the whole chain.
func allRules() []rule { return slices.Concat(placeRules(), freeRules(), fitRules()) }

// ownRules are what is asked of a host that runs the node's own image already.
func ownRules() []rule {
	return []rule{
		{lent, lendsNot},
		{func(_ *class, h *Host) bool { return !h.Deleting }, say("being deleted")},
	}
}

// placeRules say whether a host is meant for the need at all. They come first: a host of another rack is refused for
// being there, whatever else is wrong with it.
func placeRules() []rule {
	return []rule{
		{inNamespace, func(c *class, h *Host) string {
			return fmt.Sprintf("in namespace %s, needs %s", h.Ref.Namespace, c.place.namespace)
		}},
		{lent, lendsNot},
		{matchesSelector, func(c *class, _ *Host) string {
			return fmt.Sprintf("labels do not match spec.hosts.selector (%s)", c.selector)
		}},
		{hasLabels, missingLabels},
	}
}

// freeRules say whether a host can be taken now. They look at the host only.
func freeRules() []rule {
	return []rule{
		{func(_ *class, h *Host) bool { return h.Consumer == nil }, claimedBy},
		{func(_ *class, h *Host) bool { return !h.Deleting }, say("being deleted")},
		{func(_ *class, h *Host) bool { return !h.ExternallyProvisioned }, say("externally provisioned")},
		{func(_ *class, h *Host) bool { return len(h.Marks) == 0 }, func(_ *class, h *Host) string { return strings.Join(h.Marks, "; ") }},
		{func(_ *class, h *Host) bool { return h.Error == "" }, func(_ *class, h *Host) string { return "host error: " + h.Error }},
		{func(_ *class, h *Host) bool { return !h.Detached }, say("detached: remove annotation " + metal3v1alpha1.DetachedAnnotation)},
		{func(_ *class, h *Host) bool { return !h.Paused }, say("paused: remove annotation " + metal3v1alpha1.PausedAnnotation)},
		{func(_ *class, h *Host) bool { return !h.HasImage }, hasImage},
		{func(_ *class, h *Host) bool { return h.Twin == "" }, func(_ *class, h *Host) string { return h.Twin }},
		{isAvailable, notAvailable},
	}
}

// fitRules compare the host's hardware with what the need requires.
func fitRules() []rule {
	return []rule{
		{inspected, say("not inspected yet")},
		{archFits, func(c *class, h *Host) string {
			return fmt.Sprintf("architecture %s, needs %s", orUnknown(h.Hardware.Arch), c.requirements.CPU.Arch)
		}},
		{cpusFit, func(c *class, h *Host) string {
			return fmt.Sprintf("%d CPUs, needs %d", h.Hardware.CPUs, c.requirements.CPU.MinCount)
		}},
		{memoryFits, func(c *class, h *Host) string {
			return fmt.Sprintf("memory %s, needs %d GiB", gib(h.Hardware.MemoryMiB), c.requirements.Memory.MinGiB)
		}},
		{nicsFit, tooFewNICs},
		{diskFits, func(c *class, h *Host) string {
			return fmt.Sprintf("largest disk %d GiB, needs %d GiB", h.Hardware.LargestDiskGiB, c.requirements.Disk.MinGiB)
		}},
	}
}

func say(reason string) func(*class, *Host) string {
	return func(*class, *Host) string { return reason }
}

func inNamespace(c *class, h *Host) bool { return h.Ref.Namespace == c.place.namespace }

func hasImage(_ *class, h *Host) string {
	if h.CustomDeploy {
		return "already deployed by spec.customDeploy: clear spec.customDeploy to free it"
	}
	return "already has an image: clear spec.image to free it"
}

func lent(c *class, h *Host) bool { return h.visibleTo(c.place.reader) }

func lendsNot(c *class, h *Host) string {
	return fmt.Sprintf("no HostClaimPolicy of namespace %s lends it to namespace %s", h.Ref.Namespace, c.place.reader)
}

func matchesSelector(c *class, h *Host) bool { return c.selector.Matches(labels.Set(h.Labels)) }

func hasLabels(c *class, h *Host) bool {
	for k, v := range c.labels {
		if got, ok := h.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func missingLabels(c *class, _ *Host) string {
	return fmt.Sprintf("labels do not match the node's bmhLabelSelector (%s)", c.labels)
}

func claimedBy(c *class, h *Host) string {
	text := "claimed by " + h.ConsumerFor(c.place.reader)
	if h.ConsumerGone && h.Consumer.Namespace == c.place.reader {
		text += ", which does not exist: clear spec.consumerRef"
	}
	return text
}

// ConsumerFor names the host's consumer for a reader of the namespace: one of another namespace is not named to it.
func (h *Host) ConsumerFor(namespace string) string {
	if h.Consumer.Namespace != namespace {
		return "a consumer of another namespace"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", h.ConsumerKind, h.Consumer))
}

// Abandoned reports whether the host carries a node's claim and nothing of it beyond that: no image was ever handed over. If there
// is no such node, the claim is of nobody.
func (h *Host) Abandoned() bool {
	return h.Consumer != nil && h.ConsumerKind == OwnerKind && h.Consumer.UID != "" &&
		!h.HasImage && h.UserData == "" && !h.ExternallyProvisioned && !h.Deleting && isAvailable(nil, h)
}

// isAvailable also accepts "ready", the name older baremetal-operators wrote for the same state.
func isAvailable(_ *class, h *Host) bool {
	return h.State == string(metal3v1alpha1.StateAvailable) || h.State == string(metal3v1alpha1.StateReady)
}

func notAvailable(_ *class, h *Host) string {
	if h.State == "" {
		return "not registered yet, needs state available"
	}
	return fmt.Sprintf("state %s, needs available", h.State)
}

func inspected(c *class, h *Host) bool {
	return h.Hardware != nil || c.requirements == v1alpha1.HardwareRequirements{}
}

func archFits(c *class, h *Host) bool {
	return c.requirements.CPU.Arch == "" || c.requirements.CPU.Arch == h.Hardware.Arch
}

func cpusFit(c *class, h *Host) bool {
	return c.requirements.CPU.MinCount == 0 || h.Hardware.CPUs >= int(c.requirements.CPU.MinCount)
}

func memoryFits(c *class, h *Host) bool {
	return c.requirements.Memory.MinGiB == 0 || h.Hardware.MemoryMiB >= int(c.requirements.Memory.MinGiB)*1024
}

func diskFits(c *class, h *Host) bool {
	return c.requirements.Disk.MinGiB == 0 || h.Hardware.LargestDiskGiB >= int(c.requirements.Disk.MinGiB)
}

func nicsFit(c *class, h *Host) bool {
	return c.requirements.NICs.MinCount == 0 || fastNICs(c, h) >= int(c.requirements.NICs.MinCount)
}

func tooFewNICs(c *class, h *Host) string {
	want := c.requirements.NICs
	if want.MinGbps == 0 {
		return fmt.Sprintf("%d NICs, needs %d", fastNICs(c, h), want.MinCount)
	}
	return fmt.Sprintf("%d NICs of at least %d Gbit/s, needs %d", fastNICs(c, h), want.MinGbps, want.MinCount)
}

// fastNICs counts interfaces that are fast enough, each once: Metal3 lists an interface with an IPv4 and an IPv6
// address twice.
func fastNICs(c *class, h *Host) int {
	n := 0
	for i, nic := range h.Hardware.NICs {
		twice := slices.ContainsFunc(h.Hardware.NICs[:i], func(o hardware.NIC) bool { return o.Name == nic.Name && o.MAC == nic.MAC })
		if !twice && nic.SpeedGbps >= int(c.requirements.NICs.MinGbps) {
			n++
		}
	}
	return n
}

// gib shows MiB as GiB, rounded down to a tenth, so that too little never reads as enough.
func gib(mib int) string {
	tenths := mib * 10 / 1024
	if mib%1024 == 0 {
		return fmt.Sprintf("%d GiB", tenths/10)
	}
	return fmt.Sprintf("%d.%d GiB", tenths/10, tenths%10)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
