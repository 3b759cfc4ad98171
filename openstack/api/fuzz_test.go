package api

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/wire"
)

// conversation is what a server says, and swallows what it is told.
type conversation struct{ *strings.Reader }

// Write implements io.Writer.
func (conversation) Write(p []byte) (int, error) { return len(p), nil }

// FuzzSouthbound reads what an OVSDB server may say: it ends, with chassis or with an error that can be shown.
func FuzzSouthbound(f *testing.F) {
	for _, seed := range []string{
		`{"id":0,"error":null,"result":[{"rows":[{"_uuid":["uuid","u1"],"ip":"192.0.2.1"}]},{"rows":[{"name":"c","hostname":"h","encaps":["uuid","u1"],` +
			`"external_ids":["map",[["ovn-bridge-mappings","a:b"]]],"other_config":["map",[]]}]}]}`,
		`{"method":"echo","id":"e","params":[]}{"id":0,"error":{"error":"unknown database","details":"x","syntax":"y"},"result":null}`,
		`{"id":0,"result":[{"error":"unknown column","details":"No column x"},null],"error":null}`,
		`{"result":[{"rows":[{"_uuid":["set",[["uuid","a"],["set",[]]]]}]}]}`, `[]`, `{"result":7}`, "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		read, err := askSouthbound(conversation{strings.NewReader(said)})
		if err != nil {
			shown := southboundFault(openstack.SouthboundAccess{Source: "s", Endpoints: "e"}, err).Error()
			if strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", shown)
			}
			return
		}
		for _, c := range read {
			if !strings.Contains(said, `"`) || len(c.Name)+len(c.Host) > 6*len(said) {
				t.Errorf("%+v is from nowhere", c)
			}
		}
	})
}

// FuzzErrorAnswers classifies whatever a service may answer: a text comes of it that can be shown, and no password.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(401, `{"error": {"message": "no"}}`)
	f.Add(409, `{"errors": [{"detail": "http://u:HUNTER2@h/\u001b[2J"}]}`)
	f.Add(500, `{"NeutronError": {"message": "a\nb"}, "x": [`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		rules := &blame{access: openstack.Access{Source: "s", AuthURL: "http://keystone"}}
		err := rules.classify("do it", gophercloud.ErrUnexpectedResponseCode{URL: "http://u:HUNTER2@nova/x?y", Actual: code, Body: []byte(body)})
		if shown := err.Error(); strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) || len(shown) > 1000 {
			t.Errorf("%q", shown)
		}
	})
}

// TestChassisOfALargeSite: the rows of 5,000 computes fit into what is read and kept.
func TestChassisOfALargeSite(t *testing.T) {
	t.Parallel()
	var encaps, chassis []string
	other := strings.Repeat(`["some-setting-of-ovn-controller","and its value"],`, 40) + `["ovn-bridge-mappings","datacentre:br-ex,tenant:br-tenant"]`
	for range 5000 {
		encaps = append(encaps, `{"_uuid":["uuid","00000000-0000-4000-8000-000000000000"],"ip":"2001:db8::192:0:2:1"}`)
		chassis = append(chassis, `{"name":"00000000-0000-4000-8000-000000000000","hostname":"compute-0000.rack-00.example.com","encaps":["uuid","00000000-0000-4000-8000-000000000000"],`+
			`"external_ids":["map",[`+other+`]],"other_config":["map",[`+other+`]]}`)
	}
	said := `{"id":0,"error":null,"result":[{"rows":[` + strings.Join(encaps, ",") + `]},{"rows":[` + strings.Join(chassis, ",") + `]}]}`
	read, err := askSouthbound(conversation{strings.NewReader(said)})
	if err != nil || len(read) != 5000 || len(read[0].BridgeMappings) != 2 || len(read[0].EncapIPs) != 1 {
		t.Errorf("%d chassis of %d MiB, %v", len(read), len(said)>>20, err)
	}
	more := newTables(strings.NewReader(said))
	more.source.all = len(said) / 2
	if _, err := more.message(); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}
