package hardware_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner/hardware"
)

// TestCardsOfTheNode: a node's networks go over its own Ethernet cards only.
func TestCardsOfTheNode(t *testing.T) {
	const boot = "02:00:00:00:01:01"
	card := metal3v1alpha1.NIC{Name: "enp197s0f0", MAC: boot, Model: "0x8086 0x1563", SpeedGbps: 10}
	for name, c := range map[string]struct {
		nics    []metal3v1alpha1.NIC
		bootMAC string
		want    string // names, the one it booted over with a star
	}{
		"the BMC's card, once per address": {[]metal3v1alpha1.NIC{
			{Name: "enp3s0f3u1u2c2", MAC: "02:00:00:00:0f:01", IP: "169.254.3.1"}, {Name: "enp3s0f3u1u2c2", MAC: "02:00:00:00:0f:01", IP: "fe80::1"}, card,
		}, boot, "enp197s0f0"},
		"with a model":                        {[]metal3v1alpha1.NIC{{Name: "usb0", MAC: "02:00:00:00:0f:01", Model: "0x046b 0xffb0"}, card}, "", "enp197s0f0"},
		"under a name of its own":             {[]metal3v1alpha1.NIC{{Name: "host0", MAC: "02:00:00:00:0f:01", IP: "169.254.0.17"}, card}, "", "enp197s0f0"},
		"a USB card that the host boots from": {[]metal3v1alpha1.NIC{{Name: "usb0", MAC: boot}}, strings.ToUpper(boot), "usb0"},
		"a USB card with a link":              {[]metal3v1alpha1.NIC{{Name: "enp0s20u1", MAC: "02:00:00:00:0f:01", SpeedGbps: 1}}, "", "enp0s20u1"},
		"a card that got no address":          {[]metal3v1alpha1.NIC{{Name: "eno1", MAC: "02:00:00:00:0f:01", IP: "169.254.7.7", Model: "0x8086 0x1563", SpeedGbps: 10}}, "", "eno1"},
		"a Fibre Channel port":                {[]metal3v1alpha1.NIC{{Name: "NIC4", MAC: "21:00:f4:e9:00:00:00:01"}, card}, "", "enp197s0f0"},
		"an InfiniBand port":                  {[]metal3v1alpha1.NIC{{Name: "ib0", MAC: "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"}, card}, "", "enp197s0f0"},
		"the inspection tells":                {[]metal3v1alpha1.NIC{{Name: "eno1", MAC: "02:00:00:00:0f:01"}, {Name: "eno2", MAC: "02:00:00:00:0f:02", PXE: true}}, "", "eno1 eno2*"},
		"the user's word counts more":         {[]metal3v1alpha1.NIC{{Name: "eno1", MAC: boot}, {Name: "eno2", MAC: "02:00:00:00:0f:02", PXE: true}}, boot, "eno1 eno2*"},
	} {
		var got []string
		for _, n := range hardware.OfNode(&metal3v1alpha1.HardwareDetails{NIC: c.nics}, c.bootMAC).NICs {
			if n.Booted {
				n.Name += "*"
			}
			got = append(got, n.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: the cards are %q, want %q", name, got, c.want)
		}
	}
}

func TestNamesOfLinux(t *testing.T) {
	for name, want := range map[string]bool{
		"eno1": true, "enP2p1s0f0": true, "p1p1": true, "enp197s0f0np0": true, "nic0": true,
		"NIC.Integrated.1-1-1": false, "NIC4": false, "1": false, "52:54:00:00:00:01": false, "ToManager": false, "": false,
	} {
		if got := (hardware.NIC{Name: name}).OnLinux(); got != want {
			t.Errorf("%q: OnLinux is %v", name, got)
		}
	}
}
