package lifecycle

import (
	"fmt"
	"regexp"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner"
)

// Explain puts object, field and remedy to a cause. The cause tells what helps; where its words say nothing, what was being done
// does. Addresses are shown without logins.
func Explain(words provisioner.Words, want provisioner.Want, t metal3v1alpha1.ErrorType, cause string) string {
	remedy := ""
	for _, r := range remedies() {
		if r.cause.MatchString(cause) {
			remedy = r.remedy(want)
			break
		}
	}
	if remedy == "" {
		remedy = byPhase(want, t)
	}
	if cause == "" {
		cause = words.Service + " gave no reason"
	}
	return fmt.Sprintf("BareMetalHost %s: %s: %s", want.Host, line.Of(cause), remedy)
}

// remedy is what helps against causes of some wording.
type remedy struct {
	cause  *regexp.Regexp
	remedy func(provisioner.Want) string
}

// The wordings of causes (ironic 39.0.0, ironic/common/exception.py, ironic/drivers/modules and conductor; sushy 5.14.0,
// sushy/exceptions.py; ironic-python-agent's errors.py), special ones before general ones.
var (
	causeHints    = regexp.MustCompile(`(?i)root device hints|using these hints|No suitable device|root_device`)
	causeChecksum = regexp.MustCompile(`(?i)checksum|failed to verify`)
	causeSpace    = regexp.MustCompile(`(?i)no space left|does not fit|too (large|big|small)|larger than|not enough (space|memory|disk)|insufficient (space|memory|disk)`)
	causeDrive    = regexp.MustCompile(`(?i)config ?drive`)
	causeLogin    = regexp.MustCompile(`(?i)\b40[13]\b|unauthori[sz]ed|incorrect (user ?name|password)|access denied|AccessError|RAKP|authentication (failed|code)|privilege|invalid credentials`)
	causeMAC      = regexp.MustCompile(`(?i)MAC address|bootMACAddress|does not have any port|\bports?\b.*(exist|associated|enabled)`)
	causeImage    = regexp.MustCompile(`(?i)(download|fetch|retriev|image service|image href|ImageDownload|image_source|image source|convert|qemu-img|malformed image|disk format)`)
	causeTLS      = regexp.MustCompile(`(?i)certificate|SSL|TLS|self[- ]signed`)
	causeDriver   = regexp.MustCompile(`(?i)(hardware type|driver|interface|microversion).*(not (found|enabled|supported)|could not|cannot|no default|unsupported)|Could not find the following (driver|interface)`)
	causeFixed    = regexp.MustCompile(`(?i)can not have .* updated|cannot (be )?updated? .* in .*state|associated with|already (associated|exists)`)
	causeAgent    = regexp.MustCompile(`(?i)callback|call-back|ramdisk|agent|no sign of life|Timeout reached while`)
	causeMedia    = regexp.MustCompile(`(?i)virtual ?media|vmedia|InsertMedia|boot ?iso`)
	causeBoot     = regexp.MustCompile(`(?i)secure ?boot|boot mode|boot device`)
	causeReach    = regexp.MustCompile(`(?i)timed? ?out|unable to (connect|reach)|connection|no route|unreachable|name or service|resolve|max retries|refused|session setup|RMCP`)
	causeSystem   = regexp.MustCompile(`(?i)(Systems|system|resource).*not (be )?found|\b404\b`)
	causePower    = regexp.MustCompile(`(?i)power`)
)

func remedies() []remedy {
	media := "the BMC must reach Ironic's images, or use a scheme of spec.bmc.address that boots over the network (redfish, idrac-redfish, ilo5-redfish)"
	return []remedy{
		{causeHints, say("correct spec.rootDeviceHints: compare them with the disks in HardwareData of the same name, or remove them")},
		{causeChecksum, checksumRemedy},
		{causeSpace, say("the image does not fit: name a larger disk in spec.rootDeviceHints, or correct spec.image")},
		{causeDrive, say("check the Secrets of spec.userData, spec.networkData and spec.metaData")},
		{causeFixed, fixedRemedy},
		{causeMAC, say("correct spec.bootMACAddress: it is the MAC address of the card that the server boots from, and of this server alone")},
		{causeLogin, loginRemedy},
		{causeImage, imageRemedy},
		{causeTLS, say("have the BMC's certificate signed by a CA that Ironic trusts, or set spec.bmc.disableCertificateVerification")},
		{causeDriver, say("enable it in Ironic's configuration (enabled_hardware_types, enabled_*_interfaces), or use another scheme in spec.bmc.address")},
		{causeMedia, say(media)},
		{causeBoot, say("correct spec.bootMode, and what the server's firmware is set to")},
		{causeAgent, say("the deploy agent did not come up or did not answer: check spec.bootMACAddress, the provisioning network and the host's console")},
		{causeSystem, systemRemedy},
		{causeReach, reachRemedy},
		{causePower, reachRemedy},
	}
}

func say(text string) func(provisioner.Want) string {
	return func(provisioner.Want) string { return text }
}

func checksumRemedy(want provisioner.Want) string {
	if want.Image == nil {
		return "correct spec.image.checksum and spec.image.checksumType"
	}
	return fmt.Sprintf("correct spec.image.checksum and spec.image.checksumType, or put the right image at spec.image.url (%s)", line.Address(want.Image.URL))
}

func imageRemedy(want provisioner.Want) string {
	if want.Image == nil {
		return "check spec.image.url and spec.image.format"
	}
	return fmt.Sprintf("check that spec.image.url (%s) can be read by Ironic and by the server, and spec.image.format", line.Address(want.Image.URL))
}

func loginRemedy(want provisioner.Want) string {
	return fmt.Sprintf("correct username and password in Secret %s/%s (spec.bmc.credentialsName)", want.Host.Namespace, want.BMC.CredentialsName)
}

func systemRemedy(want provisioner.Want) string {
	return fmt.Sprintf("correct the path of spec.bmc.address (%s): it names the system as the BMC lists it under /redfish/v1/Systems", line.Address(want.BMC.Address))
}

func reachRemedy(want provisioner.Want) string {
	return fmt.Sprintf("check that the BMC at spec.bmc.address (%s) answers where Ironic runs", line.Address(want.BMC.Address))
}

func fixedRemedy(want provisioner.Want) string {
	return fmt.Sprintf("take the change back; or let Ironic forget the server while it runs (annotation %s), change spec.bmc.address (%s) or "+
		"spec.bootMACAddress, and remove the annotation; a name, BMC or MAC address that another node has is given up there first",
		metal3v1alpha1.DetachedAnnotation, line.Address(want.BMC.Address))
}

// byPhase is what to look at when the cause says nothing.
func byPhase(want provisioner.Want, t metal3v1alpha1.ErrorType) string {
	switch t {
	case metal3v1alpha1.RegistrationError, metal3v1alpha1.ProvisionedRegistrationError:
		return fmt.Sprintf("check spec.bmc.address (%s) and the username and password in Secret %s/%s (spec.bmc.credentialsName)",
			line.Address(want.BMC.Address), want.Host.Namespace, want.BMC.CredentialsName)
	case metal3v1alpha1.InspectionError:
		return "check that the host can boot the agent (spec.bootMACAddress, its console); spec.inspectionMode: disabled goes without"
	case metal3v1alpha1.PreparationError:
		return "check the host's disks and console; spec.automatedCleaningMode: disabled goes without cleaning"
	case metal3v1alpha1.ProvisioningError:
		if want.Image != nil {
			return fmt.Sprintf("check spec.image.url (%s) and spec.image.checksum", line.Address(want.Image.URL))
		}
		return "check spec.image"
	case metal3v1alpha1.PowerManagementError:
		return fmt.Sprintf("check that the BMC at spec.bmc.address (%s) answers", line.Address(want.BMC.Address))
	case metal3v1alpha1.DetachError, metal3v1alpha1.ServicingError:
	}
	return "see the host's console"
}
