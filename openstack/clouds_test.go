package openstack_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
)

func entry(lines string) []byte {
	return []byte("clouds:\n  default:\n" + lines)
}

const good = `    auth:
      auth_url: https://keystone.example.com:5000/v3
      username: rackplane
      password: "hunter2"
      user_domain_name: Default
      project_name: service
      project_domain_name: Default
    region_name: RegionOne
    endpoint_type: internalURL
    identity_api_version: 3
    volume_api_version: 3
`

func TestParseClouds(t *testing.T) {
	got, err := openstack.ParseClouds(entry(good), []byte("PEM"), "default")
	if err != nil {
		t.Fatal(err)
	}
	want := openstack.Access{
		AuthURL: "https://keystone.example.com:5000/v3", Username: "rackplane", Password: "hunter2", UserDomainName: "Default",
		ProjectName: "service", ProjectDomainName: "Default", Region: "RegionOne", Interface: "internal", CA: "PEM",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v %s", got, got, got.Password), "hunter2") {
		t.Error("an access shows its password")
	}
	if got, err = openstack.ParseClouds(entry(strings.ReplaceAll(good, `"hunter2"`, "12345678")), nil, "default"); err != nil || got.Password != "12345678" {
		t.Errorf("a password of digits: %v", err)
	}
	got, err = openstack.ParseClouds(entry(`    auth_type: v3applicationcredential
    auth: {auth_url: "http://k/v3", application_credential_id: abc, application_credential_secret: def}
`), nil, "default")
	if err != nil || got.ApplicationCredentialID != "abc" || got.ApplicationCredentialSecret != "def" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseCloudsRefuses(t *testing.T) {
	replaced := func(was, is string) []byte { return entry(strings.Replace(good, was, is, 1)) }
	for name, c := range map[string]struct {
		text  []byte
		kind  fault.Kind
		words []string
	}{
		"no YAML":           {[]byte("clouds: [\nhunter2: *hunter2"), fault.Rejected, []string{"openstacksdk"}},
		"an unknown anchor": {replaced(`"hunter2"`, "*hunter2"), fault.Rejected, []string{"openstacksdk"}},
		"a list":            {replaced(`"hunter2"`, "[hunter2]"), fault.Rejected, []string{"line "}},
		"empty":             {[]byte("{}"), fault.Rejected, []string{"no clouds"}},
		"another cloud":     {[]byte("clouds: {b: {}, a: {}}"), fault.Missing, []string{"no cloud default, but a, b", "spec.openstack.cloud"}},
		"no URL":            {replaced("https://keystone.example.com:5000/v3", "keystone"), fault.Rejected, []string{"auth_url"}},
		"login in the URL":  {replaced("https://", "https://admin:hunter2@"), fault.Rejected, []string{"auth_url"}},
		"no user":           {replaced("username: rackplane", "x: y"), fault.Rejected, []string{"auth.username"}},
		"no password":       {replaced(`password: "hunter2"`, "x: y"), fault.Rejected, []string{"auth.password"}},
		"no domain":         {replaced("user_domain_name: Default", "x: y"), fault.Rejected, []string{"user_domain_name"}},
		"no project":        {replaced("project_name: service", "x: y"), fault.Rejected, []string{"project_name"}},
		"no project domain": {replaced("project_domain_name: Default", "x: y"), fault.Rejected, []string{"project_domain_name"}},
		"not verified":      {entry(good + "    verify: false\n"), fault.Rejected, []string{"verify", "ca.crt"}},
		"a CA file":         {entry(good + "    cacert: /etc/ca.pem\n"), fault.Rejected, []string{"cacert", "ca.crt"}},
		"a client's file":   {entry(good + "    cert: /etc/cert.pem\n"), fault.Rejected, []string{"cert"}},
		"a profile":         {entry(good + "    profile: vexxhost\n"), fault.Rejected, []string{"profile"}},
		"another method":    {entry(good + "    auth_type: v3oidcpassword\n"), fault.Rejected, []string{"v3oidcpassword"}},
		"an odd interface":  {replaced("internalURL", "intern"), fault.Rejected, []string{"interface"}},
		"no secret":         {entry("    auth: {auth_url: 'http://k', application_credential_id: x}\n"), fault.Rejected, []string{"application_credential_secret"}},
		"whose credential":  {entry("    auth: {auth_url: 'http://k', application_credential_name: x, application_credential_secret: hunter2}\n"), fault.Rejected, []string{"auth.username"}},
		"which credential":  {entry("    auth_type: v3applicationcredential\n    auth: {auth_url: 'http://k'}\n"), fault.Rejected, []string{"application_credential_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openstack.ParseClouds(c.text, nil, "default")
			if !fault.Is(err, c.kind) {
				t.Fatalf("%v, want %s", err, c.kind)
			}
			for _, word := range append(c.words, "key clouds.yaml") {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("does not mention %q: %v", word, err)
				}
			}
			if text := err.Error(); strings.Contains(text, "hunter") || strings.ContainsAny(text, "\n\r") {
				t.Errorf("tells too much: %q", text)
			}
		})
	}
}

func FuzzParseClouds(f *testing.F) {
	f.Add(string(entry(good)))
	f.Add("clouds: {default: {auth: {auth_url: http://k, password: hunter2}}}")
	f.Fuzz(func(t *testing.T, text string) {
		access, err := openstack.ParseClouds([]byte(text), nil, "default")
		if (err == nil) != (access.AuthURL != "") {
			t.Errorf("%+v, %v", access, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("several lines: %q", err)
		}
	})
}

// TestCredentialsKeepTheirSpelling: a password of digits is no number (ansible/ansible#56034, #22767).
func TestCredentialsKeepTheirSpelling(t *testing.T) {
	for _, password := range []string{"01234567", "0012345670123456", "1_000", "0x1F2E", "0b101", "1e5", "1.10", "12:30:45", "yes", "2026-11-28"} {
		text := "clouds:\n  default:\n    auth: {auth_url: 'https://k.example.com:5000/v3', username: u, user_domain_name: D, project_name: p, project_domain_name: D, password: " + password + "}\n"
		got, err := openstack.ParseClouds([]byte(text), nil, "default")
		if err != nil || got.Password.Reveal() != password {
			t.Errorf("password %s is sent as %s: %v", password, got.Password.Reveal(), err)
		}
	}
}
