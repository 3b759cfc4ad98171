package inventory

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// FuzzText writes any text into an inventory, as name and as value, data and template: a YAML parser reads it as it was,
// and as text. test/hostile has Ansible's own parser read the awkward ones.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "0600", "yes", "12:30", "{{ x }}", "a\nb", "\x00\x07\x7f\u0085\u2028\ufeff", "#jinja2: x", "'\"\\", "- a", "? a", strings.Repeat("k", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // nothing that comes out of JSON is
		}
		inv := Inventory{
			Group: "rack", GroupVars: map[string]any{"data": s, "template": Template(s), "list": []any{s, map[string]any{s: s}}},
			Hosts: []Host{{Name: "n0", Vars: map[string]any{"own": s}}},
		}
		text, err := inv.YAML()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]struct {
			Hosts map[string]map[string]yaml.Node `yaml:"hosts"`
			Vars  map[string]yaml.Node            `yaml:"vars"`
		}
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		vars := got["rack"].Vars
		pair := vars["list"].Content[1].Content
		for what, n := range map[string]yaml.Node{
			"data": vars["data"], "template": vars["template"], "own": got["rack"].Hosts["n0"]["own"],
			"item": *vars["list"].Content[0], "key": *pair[0], "value": *pair[1],
		} {
			if n.Value != s || (n.Tag != "!!str" && n.Tag != "!unsafe") {
				t.Errorf("%s is read as %s %q, want %q\n%s", what, n.Tag, n.Value, s, text)
			}
			if unsafe := n.Tag == "!unsafe"; what != "template" && what != "key" && strings.Contains(s, "{{") && !unsafe {
				t.Errorf("%s may be evaluated: %q", what, n.Value)
			}
		}
	})
}

// FuzzVariable takes any JSON as a user's variable: it is read back as it was.
func FuzzVariable(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.5, 1e5, -0, true, null, "x"]}`, `1E400`, `[[], {}]`, `"\ud800"`, `12345678901234567890`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		value, err := decode(raw)
		if err != nil {
			return
		}
		want, fits := spelling(value)
		if !fits {
			return // the API server takes no such number either
		}
		text, err := Inventory{Group: "g", GroupVars: map[string]any{"v": value}}.YAML()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]map[string]map[string]any
		if err := yaml.Unmarshal(bytes.ReplaceAll(text, []byte("!unsafe "), nil), &got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		read, _ := spelling(got["g"]["vars"]["v"])
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("(-written +read):\n%s\n%s", diff, text)
		}
	})
}

// spelling is v with numbers as floats, which is what both sides agree on; false when one is too large for that.
func spelling(v any) (out any, fits bool) {
	text, err := json.Marshal(v)
	return out, err == nil && json.Unmarshal(text, &out) == nil
}

// FuzzKnownHosts takes any host key and names: every line of the file is one key under its node's name.
func FuzzKnownHosts(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBDqaoLLjXiwMGr4Au8nCcRVzDHcVb3VVZ6XEyTDdLnS"
	f.Add(key, "n0.example.com", "192.0.2.1")
	f.Add(key+" me@there\n*,evil "+key, "*", "::ffff:1.2.3.4")
	f.Add("@cert-authority * "+key, "a,b", "")
	f.Fuzz(func(t *testing.T, key, name, address string) {
		nodes := []Node{{Name: "n0", HostName: name, HostKeys: []string{key}, Addresses: []v1alpha1.Address{{Address: address}}}, {Name: "n1", HostKeys: []string{key}}}
		file := KnownHostsFile(KnownHosts(network.Site{}, nodes))
		for line := range strings.Lines(string(file)) {
			marker, hosts, _, comment, _, err := ssh.ParseKnownHosts([]byte(line))
			if err != nil && strings.Contains(err.Error(), "illegal base64") {
				continue // a key that no key is
			}
			if err == nil && (marker != "" || comment != "" || len(hosts) != 1 || (hosts[0] != "n0" && hosts[0] != "n1")) {
				t.Errorf("line %q trusts a key for %v", line, hosts)
			}
			if _, rest, _ := strings.Cut(line, " "); strings.ContainsAny(rest, "*,@") || knownhosts.Normalize("n0") != "n0" {
				t.Errorf("line %q", line)
			}
		}
	})
}
