package hostile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/provisioner/hardware"
	"github.com/rackplane/rackplane/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// field is one place of a kind's schema that takes text. A path's steps are field names, [] for an element of a list, {}
// for a value of a map and {key} for its key.
type field struct {
	kind  string
	steps []string
}

func (f field) String() string { return f.kind + " " + strings.Join(f.steps, ".") }

// fields walks the schemas of all kinds of ours.
func fields(t *testing.T) []field {
	t.Helper()
	paths, err := filepath.Glob("../../config/crd/dataplane.rackplane.dev_*.yaml")
	if err != nil || len(paths) != len(samples) {
		t.Fatalf("%d CRDs and %d samples, %v", len(paths), len(samples), err)
	}
	var all []field
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		for _, steps := range leaves(&spec, []string{"spec"}) {
			all = append(all, field{crd.Spec.Names.Kind, steps})
		}
	}
	return all
}

func leaves(s *apiextensionsv1.JSONSchemaProps, at []string) [][]string {
	below := func(step string) []string { return append(slices.Clone(at), step) }
	var all [][]string
	switch {
	case s.XPreserveUnknownFields != nil && *s.XPreserveUnknownFields:
		return [][]string{below("{key}"), below("{}")}
	case s.Type == "string" || s.XIntOrString:
		return [][]string{at}
	case s.Type == "array":
		return leaves(s.Items.Schema, below("[]"))
	case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		all = append([][]string{below("{key}")}, leaves(s.AdditionalProperties.Schema, below("{}"))...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		all = append(all, leaves(&property, below(name))...)
	}
	return all
}

// variants are the samples of a kind.
func variants(t *testing.T, kind string) (all []*unstructured.Unstructured) {
	t.Helper()
	texts := []string{samples[kind]}
	if kind == "NodeSet" {
		texts = nil
		for _, config := range networkConfigs {
			texts = append(texts, strings.Replace(samples[kind], "{NETWORK: CONFIG}", strings.ReplaceAll(config, "\t", " "), 1))
		}
	}
	for _, text := range texts {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, u)
	}
	return all
}

func sample(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	return variants(t, kind)[0]
}

// put returns the sample's value with the text at the end of the steps.
func put(value any, steps []string, text string) (any, error) {
	if len(steps) == 0 {
		switch value := value.(type) {
		case string:
			return text, nil
		case map[string]any: // a document that no schema describes: its first text
			return put(value, slices.Sorted(maps.Keys(value))[:1], text)
		case []any:
			return put(value, []string{"[]"}, text)
		}
		return nil, fmt.Errorf("the sample has %v there", value)
	}
	switch value := value.(type) {
	case map[string]any:
		key := steps[0]
		if strings.HasPrefix(key, "{") {
			key = slices.Sorted(maps.Keys(value))[0]
		}
		inner, ok := value[key]
		if !ok {
			return nil, fmt.Errorf("the sample has no %s: add it", key)
		}
		if steps[0] == "{key}" {
			delete(value, key)
			value[text] = inner
			return value, nil
		}
		changed, err := put(inner, steps[1:], text)
		if err == nil {
			value[key] = changed
		}
		return value, err
	case []any:
		err := errors.New("the sample's list is empty")
		for i := range value { // of several elements the first that has the field
			var changed any
			if changed, err = put(value[i], steps[1:], text); err == nil {
				value[i] = changed
				return value, nil
			}
		}
		return value, fmt.Errorf("no element of the sample's list has it: %w", err)
	}
	return nil, fmt.Errorf("the sample has %v at %s", value, steps[0])
}

// attack is a sample with one hostile text in it.
type attack struct {
	field
	text   string // what it is
	object *unstructured.Unstructured
}

func (a attack) String() string { return a.field.String() + ": " + a.text }

func attacks(t *testing.T, canary string) []attack {
	t.Helper()
	hostile := map[string]string{
		"template": "{{ lookup('ansible.builtin.pipe', 'touch " + canary + "') }}",
		"newline":  "x\n* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs",
		"option":   "-oProxyCommand=touch " + canary,
		"huge":     strings.Repeat("a", 1<<17),
	}
	var all []attack
	for _, f := range fields(t) {
		for _, name := range slices.Sorted(maps.Keys(hostile)) {
			all = append(all, attack{f, name, attacked(t, f, hostile[name])})
		}
	}
	return all
}

// attacked is the first sample that has the field, with the text there.
func attacked(t *testing.T, f field, text string) *unstructured.Unstructured {
	t.Helper()
	var err error
	for _, u := range variants(t, f.kind) {
		if _, err = put(u.Object, f.steps, text); err == nil {
			return u
		}
	}
	t.Fatalf("%s: %v", f, err)
	return nil
}

// accepted are what the API server takes, by field and kind of text, each with the reason why that may be. All else that
// takes such a text is a hole.
func accepted() map[string]string {
	const (
		code  = "is code by contract: it runs in the sandbox of the run alone"
		value = "values of ansibleVars are RHOSO's: Ansible evaluates them, in the sandbox of the run alone"
		told  = "the engine names it"
		// What nmstate does with it is seen on the node, under the guard of its checkpoint; on its way there nothing evaluates it.
		verbatim = "is nmstate's own document, carried as data"
		cloud    = "goes to Nova and Placement in JSON, or is looked for in clouds.yaml"
		api      = "is compared with what the API server has, and goes nowhere"
	)
	all := map[string]string{}
	add := func(path, reason string, texts ...string) {
		for _, text := range texts {
			all[path+": "+text] = reason
		}
	}
	add("DataPlaneService spec.playbookContents", code, "template", "newline", "option")
	for _, at := range []string{"nodeTemplate", "nodes.{}"} {
		for _, kind := range []string{"bonds", "ethernets", "ovsBridges"} {
			add("NodeSet spec."+at+".networkConfig."+kind+".[].vlanNames.{key}", told, "template", "newline", "option", "huge")
		}
		for _, part := range []string{"{key}", "{}"} {
			add("NodeSet spec."+at+".networkConfig.nmstate."+part, verbatim, "template", "newline", "option", "huge")
		}
		add("NodeSet spec."+at+".ansible.ansibleVars.{}", value, "template", "newline", "option", "huge")
		add("NodeSet spec."+at+".ansible.ansibleVars.{key}", told, "template", "newline", "option", "huge")
	}
	add("NodeSet spec.nodes.{}.nics.{key}", told, "template", "newline", "option", "huge")
	for _, part := range []string{"{key}", "{}"} {
		add("NodeSet spec.nodes.{}.bmhLabelSelector."+part, told, "template", "newline", "option", "huge")
		add("NodeSet spec.hosts.selector.matchLabels."+part, told, "template", "newline", "option", "huge")
		add("HostClaimPolicy spec.hostSelector.matchLabels."+part, api, "template", "newline", "option", "huge")
	}
	for _, part := range []string{"key", "operator", "values.[]"} {
		add("NodeSet spec.hosts.selector.matchExpressions.[]."+part, told, "template", "newline", "option", "huge")
	}
	for _, part := range []string{"key", "values.[]"} {
		add("HostClaimPolicy spec.hostSelector.matchExpressions.[]."+part, api, "template", "newline", "option", "huge")
	}
	for _, name := range []string{"aggregates.[]", "cloud"} {
		add("NodeSet spec.openstack."+name, cloud, "template", "option")
	}
	add("DataPlaneNode spec.host.uid", api, "template", "newline", "option", "huge")
	return all
}

// TestHostileTextIsRefusedOrData writes hostile texts into every field of every kind. The API server refuses them, but for
// those with a reason. What the engine makes of all of them, as if they had been stored before there were rules, is either
// a named problem or data: carried into the inventory and through a real run of a stock playbook nothing of it is
// evaluated, and no text becomes an option. The one exception is what users write for Ansible to evaluate.
func TestHostileTextIsRefusedOrData(t *testing.T) {
	t.Parallel()
	c, err := client.New(cluster.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for kind := range samples {
		for i, u := range variants(t, kind) {
			if err := dryRun(t, c, u); err != nil {
				t.Errorf("sample %s %d: %v", kind, i, err)
			}
			if inv, told := build(t, attack{field: field{kind: kind}, object: u}); told || len(inv.Hosts) != 2 {
				t.Errorf("sample %s %d has a problem of its own: %d nodes are in the inventory", kind, i, len(inv.Hosts))
			}
		}
	}
	home := t.TempDir()
	canary := filepath.Join(home, "canary")
	all, reasons := attacks(t, canary), accepted()
	var carried []inventory.Inventory
	for _, a := range all {
		reason, may := reasons[a.String()]
		if err := dryRun(t, c, a.object); err == nil && !may {
			t.Errorf("%s is accepted: refuse it, or say why it may be", a)
		} else if err != nil && may && !apierrors.IsRequestEntityTooLargeError(err) {
			t.Errorf("%s is refused, and need not be among the accepted (%s): %.300v", a, reason, err)
		}
		inv, told := build(t, a)
		if strings.HasSuffix(reason, "names it") && !told {
			t.Errorf("%s: the engine says nothing of it", a)
		}
		// A user's template is for Ansible to evaluate. What is huge is so for the API server, not for Ansible.
		if a.text != "huge" && !strings.HasSuffix(a.String(), "ansibleVars.{}: template") {
			carried = append(carried, rename(inv, len(carried)))
		}
	}
	t.Logf("%d texts, %d inventories with hosts carried", len(all), len(slices.DeleteFunc(slices.Clone(carried), func(i inventory.Inventory) bool { return len(i.Hosts) == 0 })))
	control := inventory.Inventory{Group: "control", Hosts: []inventory.Host{{Name: "evaluated", Vars: map[string]any{
		"ansible_host": "192.0.2.1", "x": inventory.Template("{{ lookup('ansible.builtin.pipe', 'touch " + canary + ".control') }}"),
	}}}}
	run(t, home, append(carried, control))
	found, err := filepath.Glob(canary + "*")
	if err != nil || len(found) != 1 || found[0] != canary+".control" {
		t.Errorf("ran: %v, want the control alone: %v", found, err)
	}
}

func dryRun(t *testing.T, c client.Client, u *unstructured.Unstructured) error {
	t.Helper()
	err := c.Create(t.Context(), u.DeepCopy(), client.DryRunAll, client.FieldValidation("Strict"))
	if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("%s: %.300v", u.GetKind(), err)
	}
	return err
}

// build is the inventory that the engine makes of the samples with one of them attacked, and whether it named a problem.
// What has a problem is not carried: nothing is run from it.
func build(t *testing.T, a attack) (inv inventory.Inventory, told bool) {
	t.Helper()
	set, site, node := &v1alpha1.NodeSet{}, &v1alpha1.NetConfig{}, &v1alpha1.DataPlaneNode{}
	for kind, into := range map[string]any{"NodeSet": set, "NetConfig": site, "DataPlaneNode": node} {
		u := sample(t, kind)
		if kind == a.kind {
			u = a.object
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
			return inv, true // no reader takes it
		}
	}
	node.Status.SSHHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
	nodes := []v1alpha1.DataPlaneNode{*node}
	for name := range set.Spec.Nodes {
		if !plain.MatchString(name) || len(name) > 63 {
			return inv, true // the API server takes no DataPlaneNode of that name
		}
		second := *node.DeepCopy()
		second.Name, second.Spec.HostName = name, plan.Section(set, name).HostName
		for i := range second.Spec.Networks {
			second.Spec.Networks[i].Address = strings.TrimSuffix(second.Spec.Networks[i].Address, "0") + "1"
		}
		nodes = append(nodes, second)
	}
	host := claim.Host{Ref: *node.Spec.Host, Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01"}, {Name: "eno2", MAC: "52:54:00:00:00:02"}, {Name: "eno3", MAC: "52:54:00:00:00:03", Model: "Model", SpeedGbps: 25}}}}
	read, wrong := network.NewSite(site.Spec)
	for i := range nodes {
		if rendered, err := plan.RenderNetwork(set, &nodes[i], read, &host); err == nil && nodes[i].Spec.NetworkHash == undecided {
			nodes[i].Spec.NetworkHash = rendered.Hash // as the engine decides, or nothing is carried
		}
	}
	world := plan.NewWorld([]v1alpha1.NodeSet{*set}, nodes, []claim.Host{host})
	problems := append(world.SpecProblems(set, read), texted(wrong)...)
	in := plan.Set{NodeSet: set, Site: read}
	made, err := in.Inventory(&world)
	if err != nil {
		return inventory.Inventory{}, true
	}
	problems = append(problems, texted(made.NodeProblems())...)
	if len(wrong) > 0 {
		return inventory.Inventory{}, true // inputs.Site gives no site that has a problem
	}
	if len(problems) > 0 && a.text == "" {
		t.Logf("%s: %s", a.kind, problems)
	}
	return made.Inventory, len(problems) > 0
}

func texted(errs []error) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

// undecided is the hash of the network in the sample of a node.
const undecided = "0123456789abcdef"

var plain = regexp.MustCompile(`^[a-z0-9-]+$`)

// rename gives a group and its hosts names of their own, so that many inventories make one.
func rename(i inventory.Inventory, number int) inventory.Inventory {
	i.Group = fmt.Sprintf("g%d", number)
	hosts := slices.Clone(i.Hosts)
	for n := range hosts {
		hosts[n].Name = fmt.Sprintf("g%d-%s", number, hosts[n].Name)
	}
	i.Hosts = hosts
	return i
}

// run runs a stock playbook over all of them, after a look at every variable.
func run(t *testing.T, home string, all []inventory.Inventory) {
	t.Helper()
	var text bytes.Buffer
	seen := map[string]bool{}
	for _, i := range all {
		same, err := json.Marshal([]any{i.GroupVars, i.Hosts})
		if err != nil {
			t.Fatal(err)
		}
		key := strings.ReplaceAll(string(same), `"`+i.Group+"-", `"`)
		if len(i.Hosts) == 0 || seen[key] {
			continue // the same as without the attack
		}
		seen[key] = true
		part, err := i.YAML()
		if err != nil {
			t.Fatal(err)
		}
		text.Write(part)
	}
	write(t, filepath.Join(home, "inventory.yaml"), text.String())
	write(t, filepath.Join(home, "vars.yaml"), "{ansible_port: 1, ansible_ssh_args: -F none -o ConnectTimeout=1 -o StrictHostKeyChecking=yes}")
	write(t, filepath.Join(home, "play.yaml"), `
- hosts: all
  gather_facts: false
  tasks:
  - ansible.builtin.debug: {msg: "{{ hostvars[inventory_hostname] | to_json | length }}"}
- ansible.builtin.import_playbook: osp.edpm.ssh_known_hosts
`)
	out, err := command(t, home, venv(t)+"/bin/ansible-playbook", "-i", "inventory.yaml", "-e", "@vars.yaml", "--forks", "20", "play.yaml").CombinedOutput()
	t.Logf("%d inventories of %d KiB run", len(seen), text.Len()>>10)
	if failed := bytes.Count(out, []byte("FAILED!")); failed > 0 || !bytes.Contains(out, []byte("PLAY RECAP")) || err == nil {
		t.Errorf("%d failed; want every node to be looked at, and none to answer: %v\n%.20000s", failed, err, out)
	}
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) && exit.ExitCode() != 4 { // some hosts are unreachable, and nothing else
		t.Errorf("ansible-playbook exits with %d", exit.ExitCode())
	}
}
