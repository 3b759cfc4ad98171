package system_test

import (
	"testing"

	"github.com/rackplane/rackplane/playbooks/onhosts"
)

func group() onhosts.Group {
	return onhosts.Group{Profile: "base", Suites: []onhosts.Suite{baseSuite(), osSuite()}}
}

func TestMain(m *testing.M) { onhosts.Main(m, group(), nil) }

func TestServices(t *testing.T) {
	g := group()
	g.Prove(t)
}
