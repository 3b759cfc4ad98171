package claim_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// TestRestoredClaim: after a restore every object has a new UID and references hold the old ones. A node keeps the server
// that runs its image, or gets nothing with a word on it; never a second server under its name.
func TestRestoredClaim(t *testing.T) {
	t.Parallel()
	held := &v1alpha1.HostReference{Namespace: "site", Name: "u01", UID: "old-u01"}
	for name, c := range map[string]struct {
		userData          string
		hostUID, consumer types.UID
		held              *v1alpha1.HostReference
		want              string
	}{
		"handed over":                     {"n0-userdata", "new-u01", "old-node", held, "u01"},
		"handed over, the node made anew": {"n0-userdata", "new-u01", "old-node", nil, "u01"},
		"handed over, the host as it was": {"n0-userdata", "old-u01", "old-node", held, "u01"},
		"nothing tells":                   {"", "new-u01", "old-node", held, ""},
		"nothing tells, made anew":        {"", "new-u01", "old-node", nil, ""},
		"another's image":                 {"n1-userdata", "new-u01", "old-node", held, ""},
		"told by hand":                    {"", "new-u01", "new-node", held, "u01"},
	} {
		hosts := []claim.Host{
			{
				Ref: v1alpha1.HostReference{Namespace: "site", Name: "u01", UID: c.hostUID}, State: "provisioned", HasImage: true, UserData: c.userData,
				Consumer: &claim.Owner{Namespace: "site", Name: "n0", UID: c.consumer}, ConsumerKind: claim.OwnerKind,
			},
			{Ref: v1alpha1.HostReference{Namespace: "site", Name: "u02", UID: "new-u02"}, State: "available"},
		}
		need := claim.Need{Node: claim.Owner{Namespace: "site", Name: "n0", UID: "new-node"}, HostNamespace: "site", Held: c.held}
		p, err := claim.Make([]claim.Need{need}, hosts)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range append(p.Keep, p.Take...) {
			names = append(names, a.Host.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: n0 gets %q, want %q", name, got, c.want)
		}
		if c.want == "" && (len(p.Unmet) != 1 || !strings.HasPrefix(p.Unmet[0].Message(), "carries the claim of an earlier DataPlaneNode of this name") || !strings.Contains(p.Unmet[0].Message(), "set spec.consumerRef.uid to new-node")) {
			t.Errorf("%s: told %+v", name, p.Unmet)
		}
	}
}
