package provisionertest_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
)

func TestSimulatorConforms(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{0, time.Second} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
			sim := provisionertest.New(func() time.Time { mu.Lock(); defer mu.Unlock(); return now }, step)
			bad := provisioner.Image{URL: "http://images/bad", Checksum: "abc"}
			sim.BreakImage(bad, provisionertest.ChecksumMismatch)
			provisionertest.Conformance(t, provisionertest.Subject{
				Provisioner:   sim,
				WrongPassword: "not it",
				BadImage:      bad,
				Pause:         func() { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second) },
				Patience:      200,
				Want: func(n int) provisioner.Want {
					address := fmt.Sprintf("redfish://bmc%d", n)
					sim.SetBMC(address, "admin", "the password")
					return provisioner.Want{
						Host: provisioner.HostID{Namespace: "metal", Name: fmt.Sprintf("h%d", n), UID: provisionertest.AnyUID(n)},
						BMC: bmc.Access{
							Address: address, Username: "admin", Password: "the password", CredentialsName: "bmc", CredentialsVersion: "1",
						},
						BootMode: metal3v1alpha1.UEFI, Online: true,
						Image: &provisioner.Image{URL: "http://images/good", Checksum: "abc"},
					}
				},
			})
		})
	}
}
