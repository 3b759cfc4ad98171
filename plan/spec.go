package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/crypto/ssh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/provisioner"
)

// SpecProblems returns what a user has to put right in a set's spec beyond what the API server can tell, or would have
// told had it been asked, each naming object, field and remedy. site is the namespace's networks; without them only
// names that have a domain of their own are compared in full. It is pure.
func (w *World) SpecProblems(set *v1alpha1.NodeSet, site network.Site) []string {
	name := set.Namespace + "/" + set.Name
	var problems []string
	for _, found := range slices.Concat(hostProblems(set), nodeProblems(set), w.ownershipProblems(set)) {
		problems = append(problems, fmt.Sprintf("NodeSet %s: %s", name, found))
	}
	for _, clash := range w.NameClashes(set, site) {
		problems = append(problems, fmt.Sprintf("NodeSet %s: %s", name, clash))
	}
	return problems
}

// hostProblems are those of the hosts asked for and what is written to them.
func hostProblems(set *v1alpha1.NodeSet) []string {
	var problems []string
	if _, err := metav1.LabelSelectorAsSelector(set.Spec.Hosts.Selector); err != nil {
		problems = append(problems, fmt.Sprintf("spec.hosts.selector: %v: correct it", err))
	}
	if image := set.Spec.Image; image != nil {
		if err := provisioner.CheckImage(provisioner.Image{URL: image.URL, Checksum: image.Checksum}); err != nil {
			problems = append(problems, fmt.Sprintf("spec.%v", err))
		}
	}
	return problems
}

// nodeProblems are those of the template and of each node's own section.
func nodeProblems(set *v1alpha1.NodeSet) []string {
	var problems []string
	for _, err := range inventory.Check(set.Spec.NodeTemplate.Ansible) {
		problems = append(problems, fmt.Sprintf("spec.nodeTemplate.%v", err))
	}
	for _, name := range slices.Sorted(maps.Keys(set.Spec.Nodes)) {
		for _, err := range sectionProblems(set.Spec.Nodes[name]) {
			problems = append(problems, fmt.Sprintf("spec.nodes[%s].%v", name, err))
		}
	}
	return problems
}

// layoutCard is what a layout calls a card that it leaves to the node (NICReference, and mac of an interface).
var layoutCard = regexp.MustCompile(`^nic[0-9]{1,2}$`)

func sectionProblems(section v1alpha1.NodeSection) []error {
	errs := inventory.Check(section.Ansible)
	if section.HostName != "" {
		if err := network.CheckName(section.HostName); err != nil {
			errs = append(errs, fmt.Errorf("hostName %w", err))
		}
	}
	if _, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: section.BMHLabelSelector}); err != nil {
		errs = append(errs, fmt.Errorf("bmhLabelSelector: %w: correct it", err))
	}
	for _, card := range slices.Sorted(maps.Keys(section.NICs)) {
		if !layoutCard.MatchString(card) {
			errs = append(errs, fmt.Errorf("nics[%s]: layouts call cards nic0 to nic99, so nothing uses it: name it so, or take it out", line.Short(strconv.Quote(card), 64)))
		}
	}
	for i, key := range section.SSHHostKeys {
		if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(key)); err != nil || len(rest) > 0 {
			errs = append(errs, fmt.Errorf("sshHostKeys[%d] is no public host key: give it as in /etc/ssh/ssh_host_*_key.pub, such as ssh-ed25519 AAAA", i))
		}
	}
	return errs
}

// ownershipProblems are nodes that another set has already.
func (w *World) ownershipProblems(set *v1alpha1.NodeSet) []string {
	var problems []string
	for _, node := range Desired(set) {
		if other := w.Node(node.Namespace, node.Name); other != nil && !IsMember(other, set) {
			problems = append(problems, fmt.Sprintf("node %s already belongs to NodeSet %s: rename it in spec.nodes, or change spec.hostNameTemplate",
				node.Name, other.Labels[v1alpha1.NodeSetLabel]))
		}
	}
	return problems
}
