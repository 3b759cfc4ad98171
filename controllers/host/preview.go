package host

import (
	"cmp"
	"context"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
)

// preview shows what would be done with the server, and does nothing.
func (p *pass) preview(ctx context.Context, why string) error {
	problem, err := p.gather(ctx)
	if err != nil {
		return err
	}
	if !problem.isNone() {
		p.showProblem(problem)
		return p.writeStatus(ctx)
	}
	p.seen, err = p.Provisioner.Observe(ctx, p.want.Host)
	if err != nil && !fault.Is(err, fault.Missing) {
		_, err = p.unreachable(ctx, err)
		return err
	}
	d := lifecycle.Next(p.Provisioner.Words(), p.want, p.seen, p.past, p.now)
	shown := lifecycle.Decision{
		Kind: lifecycle.Hold, State: cmp.Or(p.host.Status.Provisioning.State, metal3v1alpha1.StateRegistering),
		Reason: fmt.Sprintf("the engine is paused (%s); `rackplane resume` lets it go on with: %s", why, d),
	}
	p.show(shown)
	return p.writeStatus(ctx)
}
