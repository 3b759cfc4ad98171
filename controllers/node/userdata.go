package node

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/plan"
)

// networkHashFile is where a node keeps the hash of the network it was given; remote/ssh and the role read it.
const networkHashFile = "/var/lib/rackplane/network-hash"

// cloudConfig is the user data of a node. Keys are cloud-init's (cloud-init 22.4 and newer, modules set_hostname,
// users_groups, ssh and write_files).
type cloudConfig struct {
	Hostname         string            `json:"hostname"`
	FQDN             string            `json:"fqdn,omitempty"`
	PreserveHostname bool              `json:"preserve_hostname"`
	Users            []cloudUser       `json:"users"`
	SSHDeleteKeys    bool              `json:"ssh_deletekeys"`
	SSHKeys          map[string]string `json:"ssh_keys"`
	SSHPasswordAuth  bool              `json:"ssh_pwauth"`
	DisableRoot      bool              `json:"disable_root"`
	WriteFiles       []cloudFile       `json:"write_files,omitempty"`
}

type cloudFile struct {
	Path        string `json:"path"`
	Content     string `json:"content"`
	Permissions string `json:"permissions"`
}

type cloudUser struct {
	Name              string   `json:"name"`
	Gecos             string   `json:"gecos"`
	Shell             string   `json:"shell"`
	LockPassword      bool     `json:"lock_passwd"`
	Sudo              []string `json:"sudo"`
	SSHAuthorizedKeys []string `json:"ssh_authorized_keys"`
}

// userData makes the node known by its name, lets the set's key in and gives it the host key that is expected of it.
func (p *machine) userData(hostKey *corev1.Secret) ([]byte, error) {
	section := plan.Section(p.set, p.node.Name)
	short, _, _ := strings.Cut(p.node.Spec.HostName, ".")
	config := cloudConfig{
		Hostname: short, FQDN: plan.CanonicalName(p.node, p.site), SSHDeleteKeys: true, DisableRoot: true,
		Users: []cloudUser{{
			Name: section.Ansible.AnsibleUser, Gecos: "Rackplane", Shell: "/bin/bash", LockPassword: true,
			Sudo: []string{"ALL=(ALL) NOPASSWD:ALL"}, SSHAuthorizedKeys: p.key.Authorized,
		}},
		SSHKeys: map[string]string{
			"ed25519_private": string(hostKey.Data[keyPrivate]), "ed25519_public": strings.TrimSpace(string(hostKey.Data[keyPublic])),
		},
	}
	if p.rendered.AtFirstBoot && (section.NetworkConfig == nil || len(section.NetworkConfig.Bonds) == 0) {
		// What the config drive describes is the rendered network, and the node says so as configure-network would.
		// Not where it is a part of it, and not with bonds: cloud-init 22.4 names them itself, so only the service makes the network what it should be.
		config.WriteFiles = []cloudFile{{Path: networkHashFile, Content: p.rendered.Hash, Permissions: "0644"}}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode user data: %w", err)
	}
	return append([]byte("#cloud-config\n"), text...), nil
}
