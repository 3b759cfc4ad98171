package lifecycle_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner/lifecycle"
)

// TestRemedyFollowsTheCause: whatever was being done, the field that helps is named.
func TestRemedyFollowsTheCause(t *testing.T) {
	for cause, field := range map[string]string{
		"No suitable device was found for deployment using these hints {'name': 's== /dev/sdz'}":                                                               "spec.rootDeviceHints",
		"Deploy step deploy.write_image failed: Image failed to verify against checksum. location: /dev/sda":                                                   "spec.image.checksum",
		"Error writing image to device: No space left on device":                                                                                               "spec.rootDeviceHints",
		"Download of image http://images/a failed: received status code 404":                                                                                   "spec.image.url",
		"Image http://images/a could not be found. http://images/a: 404 Client Error: Not Found for image href":                                                "spec.image.url",
		"A port with MAC address 52:54:00:aa:00:01 already exists.":                                                                                            "bootMACAddress",
		"Node n1 does not have any port associated with it.":                                                                                                   "bootMACAddress",
		"Failed to get power state for node n1. Error: HTTP GET https://bmc1/redfish/v1/Systems/1 returned code 401. unknown error Extended information: none": "Secret",
		"Redfish exception occurred. Error: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate":                               "disableCertificateVerification",
		"Could not find the following driver(s) or hardware type(s): idrac.":                                                                                   "enabled_hardware_types",
		"Timeout reached while waiting for callback for node n1":                                                                                               "spec.bootMACAddress",
		"Failed to insert virtual media Cd into manager":                                                                                                       "boots over the network",
		"Unable to connect to https://bmc1. Error: HTTPSConnectionPool(host='bmc1', port=443): Max retries exceeded":                                           "answers where Ironic runs",
		"The resource http://bmc1/redfish/v1/Systems/9 was not found":                                                                                          "/redfish/v1/Systems",
		"Error validating config drive: it is no ISO":                                                                                                          "spec.userData",
		"Node n1 can not have boot_interface updated unless it is in one of allowed states":                                                                    metal3v1alpha1.DetachedAnnotation,
		"secure boot cannot be set": "spec.bootMode",
	} {
		for _, kind := range []metal3v1alpha1.ErrorType{metal3v1alpha1.RegistrationError, metal3v1alpha1.ProvisioningError, metal3v1alpha1.InspectionError} {
			got := lifecycle.Explain(words(), want(), kind, cause)
			if _, remedy, _ := strings.Cut(got, cause); !strings.Contains(remedy, field) {
				t.Errorf("%s\n  is answered with %q, which does not name %s", cause, remedy, field)
			}
		}
	}
	for _, kind := range []metal3v1alpha1.ErrorType{metal3v1alpha1.PreparationError, metal3v1alpha1.ServicingError} {
		if got := lifecycle.Explain(words(), want(), kind, "it broke"); strings.HasSuffix(got, ": ") {
			t.Errorf("no remedy for %s", kind)
		}
	}
}
