package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
	"github.com/rackplane/rackplane/controllers/epoch"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/playbooks"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/remote/ssh"
)

// exitChanges is plan's exit code when something would change.
const exitChanges = 2

// preview is what the engine would decide. Its JSON form is what -o prints.
type preview struct {
	NodeSets []setPlan `json:"nodeSets"`
	// HostProblems are what a user has to put right in BareMetalHosts.
	HostProblems []string `json:"hostProblems,omitempty"`
	// Paused says why the engine acts on nothing; only of a cluster.
	Paused string `json:"paused,omitempty"`
	// Held are the BareMetalHosts that wait for a person, and why: also what a paused engine would do with them.
	Held []string `json:"heldHosts,omitempty"`
	// Assumed are BareMetalHosts without status in the files: taken to be available and to fit.
	Assumed []string `json:"assumedHosts,omitempty"`
	// AssumedHardware are those with a status whose hardware is in no file: not inspected as far as is known, taken to fit.
	AssumedHardware []string `json:"assumedHardware,omitempty"`
}

type setPlan struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Nodes     []nodePlan `json:"nodes"`
	// Problems are what a user has to put right.
	Problems []string `json:"problems,omitempty"`
	// Unread tells of variables that no playbook reads.
	Unread string `json:"unread,omitempty"`
	// Runs are the services to run on nodes that there are; nil while their inputs cannot be told.
	Runs []dueRun `json:"runs,omitempty"`
	// Others are the hosts no node of the set gets, by reason; the reason is empty for hosts that fit and stay free.
	Others []claim.Refusal `json:"otherHosts,omitempty"`
	// Inventory is what Ansible would get, as YAML.
	Inventory string `json:"inventory,omitempty"`

	inputs plan.Set // what the set's runs are made from
}

type nodePlan struct {
	Name string `json:"name"`
	// Change is "create", "update", "delete" or "none".
	Change string `json:"change"`
	// Server is what becomes of the host of a node that goes: "erased" or "kept"; empty without one.
	Server    string             `json:"server,omitempty"`
	HostName  string             `json:"hostName,omitempty"`
	Host      string             `json:"host,omitempty"`
	Addresses []v1alpha1.Address `json:"addresses,omitempty"`
	NMState   map[string]any     `json:"nmstate,omitempty"`
	// NetworkHash identifies nmstate.
	NetworkHash string `json:"networkHash,omitempty"`
	// Services are the inputs that the node is to have; nil while they cannot be told.
	Services []v1alpha1.ServiceInput `json:"services,omitempty"`
	// Check is what a look at the node brought; nil without --check, and on bare metal.
	Check *nodeCheck `json:"check,omitempty"`

	node v1alpha1.DataPlaneNode // as planned
}

func (p preview) changes() bool {
	return slices.ContainsFunc(p.NodeSets, func(s setPlan) bool {
		return len(s.Runs) > 0 || slices.ContainsFunc(s.Nodes, func(n nodePlan) bool { return n.Change != "none" })
	})
}

// planFlags are plan's command line.
type planFlags struct {
	files, over       []string
	output, namespace string
	summary, check    bool
	kube              kubeFlags
}

func planCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan [-f FILE...]",
		Short: "Show which server each node would get, addresses, nmstate and inventory; look at servers that already run",
		Long: `Reads NodeSets, BareMetalHosts, NetConfig and, where given, DataPlaneNodes, HardwareData, Secrets and DataPlaneServices
from files or folders ("-" for standard input), or without -f from the cluster, and prints what the engine would decide. Nothing is changed, and without --check nothing is contacted.

It also says which services would run on nodes that there are. Why, as far as results tell it: that one has not run there, or
failed, or that what it gets is not what it ran with. With --over the files are laid over what there is, "cluster" or other
files, as applying them would do, and what they change is named: variables, data files, the service itself. Values are not shown.

With --check the nodes of preProvisioned NodeSets are looked at, as the engine does before it runs anything on them: one
SSH login with the key of the Secret in the files, trusting only the sshHostKeys in the NodeSet, and one script that
reads and changes nothing. What is found is held against what is wanted.

Exit code: 0 nothing to do, 2 there are changes, 1 an error. With --check, a node that could not be seen or would be
refused is an error: 1, after everything was printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.Flags().StringSliceVarP(&f.files, "filename", "f", nil, "manifest file or folder, - for standard input; repeatable")
	cmd.Flags().StringSliceVar(&f.over, "over", nil, "what there is and -f is laid over: cluster, or files and folders; repeatable")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "text, json or yaml")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace of objects that name none (default: the first NodeSet's)")
	cmd.Flags().BoolVar(&f.summary, "summary", false, "in text, leave out nmstate, inventory and what is found as wanted")
	cmd.Flags().BoolVar(&f.check, "check", false, "log in to the nodes of preProvisioned NodeSets and tell whether they can be adopted")
	cmd.Flags().StringVar(&f.kube.kubeconfig, "kubeconfig", "", "without -f, and with --over cluster: kubeconfig file (default: $KUBECONFIG, then ~/.kube/config, then in-cluster)")
	cmd.Flags().StringVar(&f.kube.context, "context", "", "without -f, and with --over cluster: kubeconfig context")
	return cmd
}

// sources are what a plan is made from.
type sources struct {
	// now is what is planned for, before what there was when that is known.
	now, before *manifest.Reader
	// whole: what is planned for comes from a cluster, so that what it does not hold is not there.
	whole bool
	// paused says why the engine of the cluster is.
	paused string
}

// read reads what is planned with.
func (f *planFlags) read(cmd *cobra.Command) (s sources, err error) {
	if len(f.files) == 0 {
		if len(f.over) > 0 {
			return s, errors.New("--over without -f: name the files that are laid over it")
		}
		s.now, s.paused, err = f.cluster(cmd.Context())
		s.whole = true
		return s, err
	}
	if s.now, err = manifest.Read(newScheme(), cmd.InOrStdin(), f.namespace, f.files); err != nil || len(f.over) == 0 {
		return s, err
	}
	if slices.Equal(f.over, []string{"cluster"}) {
		s.before, s.paused, err = f.cluster(cmd.Context())
	} else {
		s.before, err = manifest.Read(newScheme(), cmd.InOrStdin(), f.namespace, f.over)
	}
	if err == nil {
		s.now = s.now.Over(s.before)
	}
	return s, err
}

// cluster reads what a cluster has, and why its engine is paused.
func (f *planFlags) cluster(ctx context.Context) (m *manifest.Reader, paused string, err error) {
	cfg, _, err := f.kube.config()
	if err != nil {
		return nil, "", err
	}
	c, err := client.New(cfg, client.Options{Scheme: newScheme()})
	if err != nil {
		return nil, "", err
	}
	m, err = manifest.FromCluster(ctx, c)
	return m, epoch.WhyPaused(ctx, c, engineNamespace), err
}

func (f *planFlags) run(cmd *cobra.Command) error {
	if !slices.Contains([]string{"text", "json", "yaml"}, f.output) {
		return fmt.Errorf("-o %s: use text, json or yaml", f.output)
	}
	from, err := f.read(cmd)
	if err != nil {
		return err
	}
	p, err := makePlan(cmd.Context(), from)
	if err != nil {
		return err
	}
	p.Paused = from.paused
	if f.check {
		if err := p.check(cmd.Context(), from.now, ssh.Examiner{}); err != nil {
			return err
		}
	}
	text := planText{details: details, check: checkText{style: style(), brief: f.summary}}
	if f.summary {
		text.details = nothing
	}
	if err := p.print(cmd.OutOrStdout(), f.output, text); err != nil {
		return err
	}
	if err := p.verdict(); err != nil {
		return err
	}
	if p.changes() {
		return exitError{exitChanges}
	}
	return nil
}

// makePlan decides as the engine's NodeSet controller does, with the same code, over what the files hold.
func makePlan(ctx context.Context, from sources) (preview, error) {
	m := from.now
	p := preview{Assumed: assumeHosts(m), HostProblems: hostProblems(m), Held: heldHosts(m)}
	if !from.whole {
		p.AssumedHardware = unknownHardware(m, p.Assumed)
	}
	world, err := inputs.Read(ctx, m)
	if err != nil {
		return preview{}, err
	}
	if len(world.NodeSets) == 0 {
		return preview{}, errors.New("there is no NodeSet: there is nothing to plan (-f takes files and folders, without it the cluster is read)")
	}
	world.AssumeHardware(slices.Concat(p.Assumed, p.AssumedHardware))
	before := map[string]v1alpha1.DataPlaneNode{}
	for _, n := range world.Nodes {
		before[n.Namespace+"/"+n.Name] = n
	}
	sets, err := readSets(ctx, m, &world)
	if err != nil {
		return preview{}, err
	}
	then, err := inputsBefore(ctx, from.before)
	if err != nil {
		return preview{}, err
	}
	for _, in := range sets {
		s, err := planSet(world, in, past{nodes: before, inputs: then})
		if err != nil {
			return preview{}, err
		}
		p.NodeSets = append(p.NodeSets, s)
	}
	return p, nil
}

// readSets reads what the sets' runs are made from, and adds the nodes that the engine would make.
func readSets(ctx context.Context, m *manifest.Reader, world *plan.World) ([]plan.Set, error) {
	var sets []plan.Set
	var added []v1alpha1.DataPlaneNode
	for i := range world.NodeSets {
		set := &world.NodeSets[i]
		in, err := inputs.ReadSet(ctx, m, set, set.Spec.Services)
		if err != nil {
			return nil, err
		}
		set.Status.Cloud = cmp.Or(in.Cloud, set.Status.Cloud)
		sets = append(sets, in)
		nameless := world.Nameless(set, in.Site)
		for _, node := range plan.Desired(set) {
			if world.Node(node.Namespace, node.Name) == nil && !nameless[node.Name] {
				added = append(added, node)
			}
		}
	}
	for _, node := range added {
		if world.Node(node.Namespace, node.Name) == nil {
			world.AddNode(node)
		}
	}
	return sets, nil
}

// hostProblems is what the engine refuses in a host's spec when it comes to it.
func hostProblems(m *manifest.Reader) []string {
	var problems []string
	for _, obj := range m.Objects() {
		h, ok := obj.(*metal3v1alpha1.BareMetalHost)
		if !ok {
			continue
		}
		problems = append(problems, specProblems(h)...)
		if h.Spec.BMC.Address != "" {
			if _, err := bmc.Parse(h.Spec.BMC.Address); err != nil {
				problems = append(problems, fmt.Sprintf("BareMetalHost %s/%s: %v", h.Namespace, h.Name, err))
			}
		}
		if h.Spec.Image != nil {
			if err := provisioner.CheckImage(provisioner.Image{URL: h.Spec.Image.URL, Checksum: h.Spec.Image.Checksum}); err != nil {
				problems = append(problems, fmt.Sprintf("BareMetalHost %s/%s: spec: %v", h.Namespace, h.Name, err))
			}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// assumeHosts takes hosts that have no status in the files to be available, and gives every host an identity.
func assumeHosts(m *manifest.Reader) []string {
	var assumed []string
	for _, obj := range m.Objects() {
		h, ok := obj.(*metal3v1alpha1.BareMetalHost)
		if !ok {
			continue
		}
		if h.UID == "" {
			h.UID = types.UID("planned:" + h.Namespace + "/" + h.Name)
		}
		if h.Status.Provisioning.State == "" && !h.Spec.ExternallyProvisioned {
			h.Status.Provisioning.State = metal3v1alpha1.StateAvailable
			assumed = append(assumed, h.Namespace+"/"+h.Name)
		}
	}
	slices.Sort(assumed)
	return assumed
}

// unknownHardware are hosts with a status, beside those assumed, of which the files tell neither the hardware nor that it is
// unknown: the engine has its inventory, or makes it.
func unknownHardware(m *manifest.Reader, assumed []string) []string {
	known := map[string]bool{}
	for _, obj := range m.Objects() {
		if data, ok := obj.(*metal3v1alpha1.HardwareData); ok && data.Spec.HardwareDetails != nil {
			known[data.Namespace+"/"+data.Name] = true
		}
	}
	var unknown []string
	for _, obj := range m.Objects() {
		h, ok := obj.(*metal3v1alpha1.BareMetalHost)
		if !ok || h.Status.HardwareDetails != nil || h.InspectionDisabled() {
			continue
		}
		if name := h.Namespace + "/" + h.Name; !known[name] && !slices.Contains(assumed, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// past is what there was before what is planned.
type past struct {
	nodes  map[string]v1alpha1.DataPlaneNode // by namespace/name
	inputs map[string]earlier                // by NodeSet, as far as it is known
}

func planSet(world plan.World, in plan.Set, before past) (setPlan, error) {
	set := in.NodeSet
	out := setPlan{Namespace: set.Namespace, Name: set.Name, inputs: in, Unread: in.Unread(playbooks.Collection())}
	for _, problem := range in.Problems {
		out.tell(problem.Error())
	}
	for _, problem := range world.SpecProblems(set, in.Site) {
		out.tell(problem)
	}
	decision, err := plan.Decide(world, set, in.Site)
	if err != nil {
		return out, err
	}
	if message := decision.Message(); message != "" {
		out.tell(message)
	}
	in.Rendered = decision.Rendered
	world.Nodes = slices.Clone(world.Nodes)
	desired := map[string]bool{}
	if set.DeletionTimestamp.IsZero() {
		for _, d := range plan.Desired(set) {
			desired[d.Name] = true
		}
	}
	for i := range world.Nodes {
		node := &world.Nodes[i]
		if !plan.IsMember(node, set) {
			continue
		}
		old, existed := before.nodes[node.Namespace+"/"+node.Name]
		if !existed && !desired[node.Name] {
			continue // of a set that is being deleted
		}
		n := leaving(set, node)
		if desired[node.Name] {
			node.Spec = decision.Nodes[node.Name]
			n = describeNode(node, decision.Rendered[node.Name])
			n.Change = changeOf(existed, &old, node)
		}
		out.Nodes = append(out.Nodes, n)
	}
	slices.SortFunc(out.Nodes, func(a, b nodePlan) int { return line.Natural(a.Name, b.Name) })
	if !set.Spec.PreProvisioned {
		if out.Others, err = world.Others(set); err != nil {
			return out, err
		}
	}
	return out, out.addInventory(in, &world, before)
}

// leaving describes a node that goes, and what becomes of its server: the node itself may say, else its set does.
func leaving(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) nodePlan {
	n := nodePlan{Name: node.Name, Change: "delete"}
	if node.Spec.Host == nil || set.Spec.PreProvisioned {
		return n
	}
	n.Host, n.Server = node.Spec.Host.Namespace+"/"+node.Spec.Host.Name, "erased"
	policy := cmp.Or(v1alpha1.DeletionPolicy(node.Annotations[v1alpha1.DeletionPolicyAnnotation]), set.Spec.DeletionPolicy)
	if policy == v1alpha1.DeletionRetain {
		n.Server = "kept"
	}
	return n
}

// heldHosts tells of hosts that nothing is done to before a person decides.
func heldHosts(m *manifest.Reader) []string {
	var held []string
	for _, obj := range m.Objects() {
		h, ok := obj.(*metal3v1alpha1.BareMetalHost)
		if ok && h.Status.OperationalStatus == metal3v1alpha1.OperationalStatusError && h.Status.ErrorType == "" && h.Status.ErrorMessage != "" {
			held = append(held, fmt.Sprintf("BareMetalHost %s/%s: %s", h.Namespace, h.Name, line.Of(h.Status.ErrorMessage)))
		}
	}
	slices.Sort(held)
	return held
}

// tell adds a problem that was not told before.
func (s *setPlan) tell(problem string) {
	if !slices.Contains(s.Problems, problem) {
		s.Problems = append(s.Problems, problem)
	}
}

func changeOf(existed bool, old, node *v1alpha1.DataPlaneNode) string {
	switch {
	case !existed:
		return "create"
	case equality.Semantic.DeepEqual(old.Spec.Host, node.Spec.Host) && equality.Semantic.DeepEqual(old.Spec.Networks, node.Spec.Networks) &&
		old.Spec.NetworkHash == node.Spec.NetworkHash:
		return "none"
	default:
		return "update"
	}
}

func describeNode(node *v1alpha1.DataPlaneNode, rendered network.Rendered) nodePlan {
	n := nodePlan{Name: node.Name, HostName: node.Spec.HostName, Addresses: node.Spec.Networks, NMState: rendered.NMState, NetworkHash: node.Spec.NetworkHash, node: *node}
	if node.Spec.Host != nil {
		n.Host = node.Spec.Host.Namespace + "/" + node.Spec.Host.Name
	}
	return n
}

func (s *setPlan) addInventory(in plan.Set, world *plan.World, before past) error {
	if in.Site.Empty() {
		return nil
	}
	inv, err := in.Inventory(world)
	if plan.IsProblem(err) {
		s.tell(err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	for _, problem := range inv.NodeProblems() {
		s.tell(problem.Error())
	}
	s.addRuns(in, inv, world, before)
	text, err := inv.YAML()
	s.Inventory = string(text)
	return err
}

func (p preview) print(w io.Writer, format string, text planText) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(p)
	case "yaml":
		data, err := yaml.Marshal(p)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	return p.text(w, text)
}
