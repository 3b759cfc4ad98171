package apivalidation

import (
	"strings"
	"testing"
)

func TestOpenStackAccepted(t *testing.T) {
	c := newClient(t)
	for name, changes := range map[string]string{
		"least": "spec: {openstack: {cloudsSecret: clouds}}",
		"all": `spec: {openstack: {cloudsSecret: clouds, cloud: site7, southbound: {endpoints: ["ssl:192.0.2.1:6642", "ssl:[2001:db8::1]:6642"], tlsSecret: ovn},
  discovery: {cronJob: discover}, availabilityZone: rack 7, aggregates: [gpu], traits: [CUSTOM_GPU, HW_CPU_X86_AVX2]}}`,
		"unencrypted southbound database": `spec: {openstack: {cloudsSecret: clouds, southbound: {endpoints: ["tcp:192.0.2.1:6642"]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			set := object(t, "NodeSet", changes)
			if err := create(t, c, set); err != nil {
				t.Fatal(err)
			}
			spec, ok := set.Object["spec"].(map[string]any)["openstack"].(map[string]any)
			if cloud := spec["cloud"]; !ok || (name == "least" && cloud != "default") {
				t.Errorf("cloud is %v, want default", cloud)
			}
		})
	}
}

func TestOpenStackRefused(t *testing.T) {
	checkRefused(t, []refusal{
		{"no Secret", "NodeSet", "spec: {openstack: {cloud: default}}", []string{"spec.openstack.cloudsSecret: Required value"}},
		{"empty Secret", "NodeSet", `spec: {openstack: {cloudsSecret: ""}}`, []string{"spec.openstack.cloudsSecret"}},
		{"no endpoints", "NodeSet", "spec: {openstack: {cloudsSecret: c, southbound: {endpoints: []}}}", []string{"southbound.endpoints", "at least 1"}},
		{"endpoint without scheme", "NodeSet", `spec: {openstack: {cloudsSecret: c, southbound: {endpoints: ["192.0.2.1:6642"]}}}`, []string{"southbound.endpoints", "are each tcp:ADDRESS:PORT"}},
		{"endpoints in one", "NodeSet", `spec: {openstack: {cloudsSecret: c, southbound: {endpoints: ["tcp:192.0.2.1:6642,tcp:192.0.2.2:6642"]}}}`, []string{"southbound.endpoints", "are each tcp:ADDRESS:PORT"}},
		{"endpoint twice", "NodeSet", `spec: {openstack: {cloudsSecret: c, southbound: {endpoints: ["tcp:a:1", "tcp:a:1"]}}}`, []string{"Duplicate value"}},
		{"encrypted without keys", "NodeSet", `spec: {openstack: {cloudsSecret: c, southbound: {endpoints: ["tcp:a:1", "ssl:a:2"]}}}`, []string{"ssl endpoints need tlsSecret: name the Secret with tls.crt"}},
		{"zone with a colon", "NodeSet", `spec: {openstack: {cloudsSecret: c, availabilityZone: "a:b"}}`, []string{"spec.openstack.availabilityZone", "without colons"}},
		{"aggregate twice", "NodeSet", "spec: {openstack: {cloudsSecret: c, aggregates: [a, a]}}", []string{"Duplicate value"}},
		{"trait in lower case", "NodeSet", "spec: {openstack: {cloudsSecret: c, traits: [custom_gpu]}}", []string{"spec.openstack.traits[0]", "should match"}},
		{"long CronJob", "NodeSet", "spec: {openstack: {cloudsSecret: c, discovery: {cronJob: " + strings.Repeat("a", 53) + "}}}", []string{"discovery.cronJob", "52"}},
		{"misspelt field", "NodeSet", "spec: {openstack: {cloudsSecret: c, zone: a}}", []string{`unknown field "spec.openstack.zone"`}},
	})
}
