package inputs_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// listed is a cache that shares what it lists.
type listed struct {
	client.Reader
	nodes []v1alpha1.DataPlaneNode
	hosts []metal3v1alpha1.BareMetalHost
}

func (l *listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.DataPlaneNodeList:
		list.Items = append([]v1alpha1.DataPlaneNode(nil), l.nodes...)
	case *metal3v1alpha1.BareMetalHostList:
		list.Items = append([]metal3v1alpha1.BareMetalHost(nil), l.hosts...)
	}
	return nil
}

// What one change costs to be seen does not grow with what has not changed: a result of a node, a label of a host.
func TestOneChangeIsSeenAtTheSameCostAtAnySize(t *testing.T) {
	allocations := func(size int, change func(l *listed, version string)) float64 {
		l := &listed{}
		for i := range size {
			node := v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta(fmt.Sprintf("n%d", i))}
			node.UID, node.ResourceVersion = types.UID(node.Name), "1"
			host := steptest.Host(fmt.Sprintf("h%d", i))
			host.UID, host.ResourceVersion = types.UID(host.Name), "1"
			l.nodes, l.hosts = append(l.nodes, node), append(l.hosts, *host)
		}
		var worlds inputs.Worlds
		version := 1
		read := func() {
			version++
			change(l, strconv.Itoa(version))
			if _, err := worlds.Read(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		read()
		return testing.AllocsPerRun(10, read)
	}
	for what, change := range map[string]func(*listed, string){
		"a result": func(l *listed, version string) {
			l.nodes[0].ResourceVersion = version
			l.nodes[0].Status.Services = []v1alpha1.ServiceResult{{Name: version}}
		},
		"a label": func(l *listed, version string) {
			l.hosts[0].ResourceVersion = version
			l.hosts[0].Labels = map[string]string{"rack": version}
		},
		"nothing": func(*listed, string) {},
	} {
		if few, many := allocations(100, change), allocations(1000, change); many > 1.2*few {
			t.Errorf("%s: %.0f allocations at 1,000, %.0f at 100", what, many, few)
		}
	}
}
