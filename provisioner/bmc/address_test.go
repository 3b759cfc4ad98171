package bmc

import (
	"strings"
	"testing"

	"github.com/rackplane/rackplane/fault"
)

func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", " ", "redfish://", "redfish:///redfish/v1", "redfish://bmc:0/s", "redfish://bmc:65536/s", "redfish://bmc:x/s",
		"redfish://admin:hunter2@bmc/s", "redfish://bmc/s#hunter2", "redfish://bmc/s?hunter2=1", "redfish://bmc/s?",
		"redfish+ftp://bmc/s", "ipmi+https://bmc", "http://bmc", "file:///etc/passwd", "ipmi://bmc/path", "ipmi://bmc?other=1",
		"ipmi://bmc?privilegelevel=root", "ipmi://bmc?privilegelevel=%zz", "redfish://2001:db8::1/s", "redfish://[10.0.0.1]/s",
		"redfish://[zz]/s", "redfish://bmc;rm -rf/s", "redfish://bmc\n/s", "redfish://bmc/\x00", "redfish://b%6dc$(id)/s", "redfish://`id`/s",
		"redfish://bmc/s\r\nX-Evil: 1", "redfish:bmc", "javascript:alert(1)", "://", "[", "ipmi://bmc'--", "ipmi://-oProxy", "redfish://[fe80::1%25eth0]/s",
	} {
		a, err := Parse(address)
		switch {
		case err == nil:
			t.Errorf("%q is taken: %+v", address, a)
		case !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "spec.bmc.address"):
			t.Errorf("%q: %v", address, err)
		case strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\n\r"):
			t.Errorf("%q: the error tells too much: %q", address, err)
		}
	}
}
