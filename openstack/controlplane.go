package openstack

import (
	"cmp"
	"encoding/json"
	"net"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// ControlPlane is where the parts of a cloud are, as far as its nodes are told; no credentials.
type ControlPlane struct {
	// Keystone is its URL.
	Keystone string
	// Metadata is the host:port of Nova's metadata API.
	Metadata string
	// Southbound are the endpoints of OVN's southbound database.
	Southbound []string
	// Transport are the host:port of the message buses.
	Transport []string
}

// ParseControlPlane reads control-plane.yaml of the Secret openstack-control-plane. One that cannot be read is its
// services' to tell of.
func ParseControlPlane(text []byte) ControlPlane {
	var d struct {
		Keystone struct {
			AuthURL string `json:"auth_url"`
		} `json:"keystone"`
		Nova struct {
			TransportURL string `json:"transport_url"`
		} `json:"nova"`
		Metadata struct {
			Host string      `json:"host"`
			Port json.Number `json:"port"`
		} `json:"metadata"`
		OVN struct {
			Southbound []string `json:"southbound"`
		} `json:"ovn"`
	}
	if yaml.Unmarshal(text, &d) != nil {
		return ControlPlane{}
	}
	c := ControlPlane{Keystone: d.Keystone.AuthURL, Southbound: d.OVN.Southbound, Transport: Buses(d.Nova.TransportURL)}
	if d.Metadata.Host != "" {
		c.Metadata = net.JoinHostPort(d.Metadata.Host, cmp.Or(d.Metadata.Port.String(), "8775"))
	}
	return c
}

// Buses are the host:port of a transport_url (oslo.messaging: rabbit://USER:PASSWORD@HOST:PORT,USER:PASSWORD@HOST:PORT/VHOST),
// sorted. Parts that may be a piece of a password are left out.
func Buses(transport string) []string {
	_, rest, _ := strings.Cut(transport, "://")
	var out []string
	for part := range strings.SplitSeq(rest, ",") {
		if strings.Contains(rest, "@") && !strings.Contains(part, "@") {
			continue
		}
		host := part[strings.LastIndexByte(part, '@')+1:]
		if end := strings.IndexAny(host, "/?"); end >= 0 {
			host = host[:end]
		}
		if _, _, err := net.SplitHostPort(host); err != nil && host != "" {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "5672")
		}
		if host != "" {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}
