package inputs_test

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
)

const clouds = `{clouds: {default: {auth: {auth_url: "https://keystone.example.com/v3", username: admin, password: hunter2,
  user_domain_name: Default, project_name: admin, project_domain_name: Default}}}}`

func joiningSet() *v1alpha1.NodeSet {
	set := steptest.NodeSet(1)
	set.Spec.Services = []string{"ovn", "neutron-metadata", "nova-gpu"}
	set.Spec.OpenStack = &v1alpha1.OpenStackJoin{CloudsSecret: "clouds"}
	return set
}

func TestReadCloud(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.OpenStackJoin)
		keys   map[string]string
		kind   fault.Kind
		words  []string
	}{
		"good":                    {nil, nil, "", nil},
		"tcp needs no keys":       {southbound("tcp:192.0.2.1:6642", ""), nil, "", nil},
		"another entry":           {func(o *v1alpha1.OpenStackJoin) { o.Cloud = "site7" }, nil, fault.Missing, []string{"no cloud site7, but default"}},
		"no Secret":               {func(o *v1alpha1.OpenStackJoin) { o.CloudsSecret = "others" }, nil, fault.Missing, []string{"Secret site/others (spec.openstack.cloudsSecret of NodeSet rack)", "create it"}},
		"a CA that is none":       {nil, map[string]string{"ca.crt": "hunter2"}, fault.Rejected, []string{"key ca.crt"}},
		"ssl without a Secret":    {southbound("ssl:192.0.2.1:6642", ""), nil, fault.Missing, []string{"spec.openstack.southbound.tlsSecret", "is not set"}},
		"ssl without its Secret":  {southbound("ssl:192.0.2.1:6642", "ovn"), nil, fault.Missing, []string{"Secret site/ovn", "create it"}},
		"ssl without keys":        {southbound("ssl:192.0.2.1:6642", "clouds"), nil, fault.Missing, []string{"no key tls.crt"}},
		"ssl with keys of others": {southbound("ssl:192.0.2.1:6642", "clouds"), map[string]string{"tls.crt": "hunter2", "tls.key": "hunter2"}, fault.Missing, []string{"no key ca.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := joiningSet()
			if c.change != nil {
				c.change(set.Spec.OpenStack)
			}
			data := map[string][]byte{"clouds.yaml": []byte(clouds)}
			for key, text := range maps.All(c.keys) {
				data[key] = []byte(text)
			}
			api := steptest.New(t, &corev1.Secret{ObjectMeta: steptest.Meta("clouds"), Data: data})
			access, err := inputs.ReadCloud(t.Context(), api.Plain, set)
			if fault.KindOf(err) != c.kind {
				t.Fatalf("%v, want %q", err, c.kind)
			}
			if err == nil {
				if access.Source != "Secret site/clouds, cloud default" || access.Password != "hunter2" {
					t.Errorf("%+v", access)
				}
				return
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("does not mention %q: %v", word, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}

func southbound(endpoint, secret string) func(*v1alpha1.OpenStackJoin) {
	return func(o *v1alpha1.OpenStackJoin) {
		o.Southbound = &v1alpha1.OVNSouthbound{Endpoints: []string{endpoint}, TLSSecret: secret}
	}
}

func TestReadSetTellsWhatIsWrongWithTheCloud(t *testing.T) {
	set := joiningSet()
	api := steptest.New(t, steptest.Site(t, 1)...)
	s, err := inputs.ReadSet(t.Context(), api.Plain, set, nil)
	if err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Error(), "Secret site/clouds") {
		t.Errorf("problems %v, %v, want the Secret that is missing", s.Problems, err)
	}
}
