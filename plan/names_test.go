package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/plan"
)

// named is a set with explicit nodes of these host names, made that many minutes after another.
func named(name string, minutes int, hostNames map[string]string) v1alpha1.NodeSet {
	set := *steptest.NodeSet(0)
	set.Name, set.Spec.Replicas, set.Spec.Nodes = name, nil, map[string]v1alpha1.NodeSection{}
	set.CreationTimestamp = metav1.NewTime(time.Unix(int64(minutes)*60, 0))
	for node, hostName := range hostNames {
		set.Spec.Nodes[node] = v1alpha1.NodeSection{HostName: hostName}
	}
	return set
}

func holding(set *v1alpha1.NodeSet, name, hostName string, minutes int) v1alpha1.DataPlaneNode {
	node := v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta(name), Spec: v1alpha1.DataPlaneNodeSpec{HostName: hostName}}
	node.Labels = map[string]string{v1alpha1.NodeSetLabel: set.Name}
	node.CreationTimestamp = metav1.NewTime(time.Unix(int64(minutes)*60, 0))
	return node
}

func TestNameClashes(t *testing.T) {
	for name, c := range map[string]struct {
		mine, other map[string]string
		held        []string // nodes that are there, oldest first, m... of mine and o... of the other
		want        []string
	}{
		"none": {mine: map[string]string{"m0": "a", "m1": "b"}, other: map[string]string{"o0": "c"}},
		"in one set": {
			mine: map[string]string{"m0": "a", "m1": "a"},
			want: []string{"nodes m1 and m0 are both called a.example.com: m1 waits until hostName in spec.nodes, or spec.hostNameTemplate, gives it another name"},
		},
		"with and without the domain": {mine: map[string]string{"m0": "a", "m1": "a.example.com"}, want: []string{"nodes m1 and m0 are both called a.example.com"}},
		"another domain":              {mine: map[string]string{"m0": "a", "m1": "a.example.org"}},
		"a node's own name":           {mine: map[string]string{"m0": "m1", "m1": ""}, want: []string{"nodes m1 and m0 are both called m1.example.com"}},
		"the other set was first":     {mine: map[string]string{"m0": "a"}, other: map[string]string{"o0": "a"}, want: []string{"nodes m0 and o0 of NodeSet other are both called a.example.com: m0 waits"}},
		"mine has it":                 {mine: map[string]string{"m0": "a"}, other: map[string]string{"o0": "a"}, held: []string{"m0"}},
		"both have it, mine first":    {mine: map[string]string{"m0": "a"}, other: map[string]string{"o0": "a"}, held: []string{"m0", "o0"}},
		"both have it, mine later":    {mine: map[string]string{"m0": "a"}, other: map[string]string{"o0": "a"}, held: []string{"o0", "m0"}, want: []string{"nodes m0 and o0 of NodeSet other are both called a.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			mine, other := named("mine", 1, c.mine), named("other", 0, c.other)
			elsewhere := named("elsewhere", 0, c.mine)
			elsewhere.Namespace = "elsewhere"
			var nodes []v1alpha1.DataPlaneNode
			for age, node := range c.held {
				if node[0] == 'm' {
					nodes = append(nodes, holding(&mine, node, c.mine[node], age))
				} else {
					nodes = append(nodes, holding(&other, node, c.other[node], age))
				}
			}
			w := plan.NewWorld([]v1alpha1.NodeSet{mine, other, elsewhere}, nodes, nil)
			var got []string
			for _, clash := range w.NameClashes(&mine, steptest.Networks()) {
				got = append(got, clash.String())
			}
			for i := range got {
				if i < len(c.want) {
					got[i] = got[i][:min(len(got[i]), len(c.want[i]))]
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestComputesOfOneCloudShareTheirNames: over namespaces a name counts once its node is a compute of the same cloud, and the
// message tells nothing of whose it is.
func TestComputesOfOneCloudShareTheirNames(t *testing.T) {
	for name, c := range map[string]struct {
		cloud, host string
		clash       bool
	}{
		"joined under the full name":  {"cloud-1", "a.example.com", true},
		"joined under the short name": {"cloud-1", "a", true},
		"another domain":              {"cloud-1", "a.example.org", false},
		"not joined":                  {"cloud-1", "", false},
		"another cloud":               {"cloud-2", "a.example.com", false},
		"no cloud":                    {"", "a.example.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			mine, foreign := named("mine", 0, map[string]string{"m0": "a"}), named("payroll", 1, map[string]string{"db": "a"})
			mine.Status.Cloud, foreign.Status.Cloud, foreign.Namespace = "cloud-1", c.cloud, "tenant-b"
			node := holding(&foreign, "db", "a", 2)
			node.Namespace, node.Status.OpenStack = "tenant-b", &v1alpha1.ComputeStatus{Host: c.host}
			w := plan.NewWorld([]v1alpha1.NodeSet{mine, foreign}, []v1alpha1.DataPlaneNode{node}, nil)
			clashes := w.NameClashes(&mine, steptest.Networks())
			if (len(clashes) == 1) != c.clash {
				t.Fatalf("%v", clashes)
			}
			if !c.clash {
				return
			}
			want := "nodes m0 and one of another namespace, which is a compute of the same cloud, are both called a.example.com: m0 waits"
			if got := clashes[0].String(); !strings.HasPrefix(got, want) || strings.Contains(got, "payroll") || strings.Contains(got, "tenant-b") {
				t.Error(got)
			}
			if theirs := w.NameClashes(&foreign, steptest.Networks()); len(theirs) > 0 {
				t.Errorf("who has the name waits: %v", theirs)
			}
		})
	}
}
