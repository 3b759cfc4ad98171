package openstack

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/secret"
)

// cloud is an entry of clouds.yaml, as far as it is used (openstacksdk 4.4, openstack/config/schema.json).
type cloud struct {
	Auth struct {
		AuthURL           string `yaml:"auth_url"`
		Username          string `yaml:"username"`
		UserID            string `yaml:"user_id"`
		Password          string `yaml:"password"`
		UserDomainName    string `yaml:"user_domain_name"`
		UserDomainID      string `yaml:"user_domain_id"`
		ProjectName       string `yaml:"project_name"`
		ProjectID         string `yaml:"project_id"`
		ProjectDomainName string `yaml:"project_domain_name"`
		ProjectDomainID   string `yaml:"project_domain_id"`
		SystemScope       string `yaml:"system_scope"`
		CredentialID      string `yaml:"application_credential_id"`
		CredentialName    string `yaml:"application_credential_name"`
		CredentialSecret  string `yaml:"application_credential_secret"`
	} `yaml:"auth"`
	AuthType     string `yaml:"auth_type"`
	Region       string `yaml:"region_name"`
	Interface    string `yaml:"interface"`
	EndpointType string `yaml:"endpoint_type"`
	Verify       *bool  `yaml:"verify"`
	CACert       string `yaml:"cacert"`
	Cert         string `yaml:"cert"`
	Profile      string `yaml:"profile"`
}

// ParseClouds is the access that an entry of a clouds.yaml describes; ca is the PEM file of the CA, empty for the
// machine's. Errors are fault.Rejected or fault.Missing, begin with the key and hold nothing of the file but names.
func ParseClouds(text, ca []byte, entry string) (Access, error) {
	var file struct {
		Clouds map[string]cloud `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return Access{}, fault.New(fault.Rejected, "key clouds.yaml is not a clouds.yaml as openstacksdk reads it%s: correct it", where(err))
	}
	c, ok := file.Clouds[entry]
	switch {
	case len(file.Clouds) == 0:
		return Access{}, fault.New(fault.Rejected, "key clouds.yaml has no clouds: put the cloud under clouds.%s", entry)
	case !ok:
		return Access{}, fault.New(fault.Missing, "key clouds.yaml has no cloud %s, but %s: correct spec.openstack.cloud",
			entry, strings.Join(slices.Sorted(maps.Keys(file.Clouds)), ", "))
	}
	if wrong := c.wrong(string(ca)); wrong != "" {
		return Access{}, fault.New(fault.Rejected, "key clouds.yaml, cloud %s: %s", entry, wrong)
	}
	return c.access(string(ca)), nil
}

// wrong says what keeps the entry from being used; "" when nothing does.
func (c *cloud) wrong(ca string) string {
	for _, check := range []func() string{
		c.wrongPlace, c.refused, func() string { return c.wrongTrust(ca) }, c.wrongCredential, c.wrongUser, c.wrongProject,
	} {
		if wrong := check(); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (c *cloud) wrongPlace() string {
	target, err := url.Parse(c.Auth.AuthURL)
	switch {
	case err != nil || target.Host == "" || (target.Scheme != "http" && target.Scheme != "https") || target.User != nil:
		return "auth.auth_url must look like https://keystone.example.com:5000/v3"
	case !slices.Contains([]string{"", "public", "internal", "admin"}, c.iface()):
		return "interface must be public, internal or admin"
	}
	return ""
}

// refused is what would otherwise be ignored.
func (c *cloud) refused() string {
	switch {
	case !slices.Contains([]string{"", "password", "v3password", "v3applicationcredential"}, c.AuthType):
		return "auth_type " + c.AuthType + " is not known here: use password or v3applicationcredential"
	case c.Profile != "":
		return "profile is not read: write the values out"
	case c.Cert != "":
		return "cert names a file, which is not read: client certificates are not supported"
	}
	return ""
}

func (c *cloud) wrongTrust(ca string) string {
	switch {
	case c.Verify != nil && !*c.Verify:
		return "verify: false is refused: put the CA's certificate into the key ca.crt instead"
	case c.CACert != "" && ca == "":
		return "cacert names a file, which is not read: put the certificate into the key ca.crt"
	}
	return ""
}

// credential reports whether an application credential is used; it knows its user and project.
func (c *cloud) credential() bool {
	return c.AuthType == "v3applicationcredential" || c.Auth.CredentialID != "" || c.Auth.CredentialName != ""
}

func (c *cloud) wrongCredential() string {
	a := &c.Auth
	switch {
	case !c.credential():
		return ""
	case a.CredentialID == "" && a.CredentialName == "":
		return "auth.application_credential_id is missing"
	case a.CredentialSecret == "":
		return "auth.application_credential_secret is missing"
	case a.CredentialID == "" && a.Username == "" && a.UserID == "":
		return "auth.application_credential_name needs the user it belongs to: add auth.username with its domain, or use auth.application_credential_id"
	}
	return ""
}

func (c *cloud) wrongUser() string {
	a := &c.Auth
	switch {
	case c.credential():
		return ""
	case a.Username == "" && a.UserID == "":
		return "auth.username is missing"
	case a.Password == "":
		return "auth.password is missing"
	case a.UserID == "" && a.UserDomainName == "" && a.UserDomainID == "":
		return "auth.user_domain_name is missing (usually Default)"
	}
	return ""
}

func (c *cloud) wrongProject() string {
	a := &c.Auth
	switch {
	case c.credential() || a.SystemScope == "all":
		return ""
	case a.SystemScope != "":
		return "auth.system_scope must be all"
	case a.ProjectName == "" && a.ProjectID == "":
		return "auth.project_name is missing"
	case a.ProjectID == "" && a.ProjectDomainName == "" && a.ProjectDomainID == "":
		return "auth.project_domain_name is missing (usually Default)"
	}
	return ""
}

// iface is the catalog's interface; endpoint_type is its old name, with values such as publicURL.
func (c *cloud) iface() string {
	return strings.TrimSuffix(cmp.Or(c.Interface, c.EndpointType), "URL")
}

func (c *cloud) access(ca string) Access {
	a := &c.Auth
	return Access{
		AuthURL: a.AuthURL, Username: a.Username, UserID: a.UserID, UserDomainName: a.UserDomainName, UserDomainID: a.UserDomainID,
		Password: secret.Value(a.Password), ProjectName: a.ProjectName, ProjectID: a.ProjectID,
		ProjectDomainName: a.ProjectDomainName, ProjectDomainID: a.ProjectDomainID, SystemScope: a.SystemScope,
		ApplicationCredentialID: a.CredentialID, ApplicationCredentialName: a.CredentialName,
		ApplicationCredentialSecret: secret.Value(a.CredentialSecret),
		Region:                      c.Region, Interface: c.iface(), CA: ca,
	}
}

var lineNumber = regexp.MustCompile(`line \d+`)

// where is the place an error of the parser names. Its other words may quote the file, which holds passwords.
func where(err error) string {
	if place := lineNumber.FindString(err.Error()); place != "" {
		return " (" + place + ")"
	}
	return ""
}
