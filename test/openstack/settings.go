package openstack

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"text/template"
	"time"
)

const region = "regionOne"

//go:embed templates
var templates embed.FS

// settings are what the templates know.
type settings struct {
	Address   netip.Addr
	Secrets   secrets
	Discovery time.Duration
}

// account is a service's user in Keystone, as configuration files name it.
type account struct{ AuthURL, Region, User, Password string }

// Region is the only region's name.
func (s settings) Region() string { return region }

// AuthURL is Keystone's address.
func (s settings) AuthURL() string { return "http://" + s.Address.String() + ":5000/v3" }

// As describes a service's account.
func (s settings) As(user string) account {
	return account{AuthURL: s.AuthURL(), Region: region, User: user, Password: s.Secrets.Keystone[user]}
}

// TransportURL is the message bus as a service reaches it (oslo.messaging's format).
func (s settings) TransportURL(user string) string {
	return fmt.Sprintf("rabbit://%s:%s@%s:5672/", user, s.Secrets.Rabbit[user], s.Address)
}

// NBConnection is OVN's northbound database, as ovn-nbctl's --db takes it.
func (s settings) NBConnection() string { return fmt.Sprintf("tcp:%s:6641", s.Address) }

// SBConnection is OVN's southbound database, as ovn-sbctl's --db and ovn-remote take it.
func (s settings) SBConnection() string { return fmt.Sprintf("tcp:%s:6642", s.Address) }

// DiscoverySeconds is how often the scheduler looks for new computes; -1 is never.
func (s settings) DiscoverySeconds() int {
	if s.Discovery < 0 {
		return -1
	}
	return int(s.Discovery.Seconds())
}

// PasswordHashes are the users' passwords as Keystone stores them.
func (s settings) PasswordHashes() (map[string]string, error) {
	hashes := map[string]string{}
	for user, password := range s.Secrets.Keystone {
		hash, err := keystoneHash(password)
		if err != nil {
			return nil, err
		}
		hashes[user] = hash
	}
	return hashes, nil
}

// render fills one template, named by its path below templates/.
func (s settings) render(name string) ([]byte, error) {
	parsed, err := template.ParseFS(templates, "templates/service.conf", "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.ExecuteTemplate(&out, path.Base(name), s); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// rabbitDefinitions is what RabbitMQ imports when it starts (RabbitMQ 4.0, "Schema Definition Export and Import").
func (s settings) rabbitDefinitions() ([]byte, error) {
	type object map[string]any
	users, permissions := []object{}, []object{}
	for user, password := range s.Secrets.Rabbit {
		users = append(users, object{
			"name": user, "tags": []string{}, "limits": object{},
			"password_hash": rabbitHash(password), "hashing_algorithm": "rabbit_password_hashing_sha256",
		})
		permissions = append(permissions, object{"user": user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"})
	}
	return json.Marshal(object{"users": users, "vhosts": []object{{"name": "/"}}, "permissions": permissions})
}

// computeConfig renders the Secrets and ConfigMaps that a control plane hands to its computes, by the names that
// RHOSO gives them: nova-operator b377536, neutron-operator 756f4ac and ovn-operator 0a0ad59, directories templates/.
// openstack-control-plane says the same of a cloud that has none of them.
func (s settings) computeConfig() (map[string]map[string][]byte, error) {
	config := map[string]map[string][]byte{}
	for object, keys := range map[string][]string{
		"nova-cell1-compute-config":                 {"01-nova.conf", "nova-blank.conf"},
		"nova-metadata-neutron-config":              {"05-nova-metadata.conf"},
		"neutron-ovn-metadata-agent-neutron-config": {"10-neutron-metadata.conf"},
		"neutron-ovn-agent-neutron-config":          {"10-neutron-ovn.conf"},
		"ovncontroller-config":                      {"ovsdb-config"},
		"openstack-control-plane":                   {"control-plane.yaml"},
	} {
		config[object] = map[string][]byte{}
		for _, key := range keys {
			content, err := s.render("compute/" + key)
			if err != nil {
				return nil, err
			}
			config[object][key] = content
		}
	}
	return config, nil
}
