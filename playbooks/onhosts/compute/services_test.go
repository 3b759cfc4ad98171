package compute_test

import (
	"context"
	"testing"

	"github.com/rackplane/rackplane/playbooks/onhosts"
	"github.com/rackplane/rackplane/test/openstack"
)

func group() onhosts.Group {
	return onhosts.Group{
		Profile: "compute",
		On:      []string{"bootstrap", "configure_network", "install_os", "configure_os", "ssh_known_hosts"},
	}
}

func TestMain(m *testing.M) {
	onhosts.Main(m, group(), func(ctx context.Context) error { return openstack.Prepare(ctx, openstack.Config{}) })
}

func TestServices(t *testing.T) {
	g, c := group(), &control{life: t}
	g.Suites = []onhosts.Suite{networkSuite(c), computeSuite(c)}
	g.Prove(t)
}
