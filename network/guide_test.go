package network

import (
	"os"
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// guideBlock is a marked block of the user guide.
var guideBlock = regexp.MustCompile("(?s)<!-- (site|layout: [a-z0-9-]+) -->\n```yaml\n(.*?)```\n")

// guideCards are the cards of the guide's servers: eno2 is the boot card, eno1 has a link as well.
func guideCards() []hardware.NIC {
	return []hardware.NIC{
		{Name: "eno1", MAC: "52:54:00:00:00:01", SpeedGbps: 10, Model: "0x8086 0x1521"},
		{Name: "eno2", MAC: "52:54:00:00:00:02", SpeedGbps: 10, Model: "0x8086 0x1521"},
		{Name: "ens1f0np0", MAC: "52:54:00:00:00:0a", SpeedGbps: 25, Model: "0x8086 0x1572"},
		{Name: "ens1f1np1", MAC: "52:54:00:00:00:0b", SpeedGbps: 25, Model: "0x8086 0x1572"},
		{Name: "ens2f0np0", MAC: "52:54:00:00:00:0c", SpeedGbps: 0},
	}
}

// guideLayouts are the layouts of the user guide, each for the first node on the guide's site.
func guideLayouts(t *testing.T) map[string]RenderInput {
	t.Helper()
	text, err := os.ReadFile("../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	var site Site
	out := map[string]RenderInput{}
	for _, m := range guideBlock.FindAllSubmatch(text, -1) {
		if string(m[1]) == "site" {
			var spec v1alpha1.NetConfigSpec
			if err := yaml.UnmarshalStrict(m[2], &spec); err != nil {
				t.Fatal(err)
			}
			var problems []error
			if site, problems = NewSite(spec); len(problems) > 0 {
				t.Fatal(problems)
			}
			continue
		}
		name := string(m[1][len("layout: "):])
		var template v1alpha1.NodeTemplate
		if err := yaml.UnmarshalStrict(m[2], &template); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan := PlanAddresses(site, []Holder{{Node: "lab/r7-n00", Wants: template.Networks}})
		if len(plan.Unmet) > 0 {
			t.Fatalf("%s: %v", name, plan.Unmet)
		}
		out[name] = RenderInput{
			HostName: "r7-n00", Config: template.NetworkConfig, Site: site, Addresses: plan.Addresses["lab/r7-n00"], NICs: guideCards(), BootMAC: "52:54:00:00:00:02",
		}
	}
	if len(out) < 11 {
		t.Fatalf("the guide has %d layouts", len(out))
	}
	return out
}

// TestGuideLayouts: what the guide shows is rendered to these documents.
func TestGuideLayouts(t *testing.T) {
	for name, in := range guideLayouts(t) {
		t.Run(name, func(t *testing.T) {
			got, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := yaml.Marshal(map[string]any{"hash": got.Hash, "nmstate": got.NMState, "atFirstBoot": got.AtFirstBoot})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "guide/"+name+".nmstate.yaml", doc)
			if got.NetworkData != nil {
				golden(t, "guide/"+name+".network_data.json", append(got.NetworkData, '\n'))
			}
		})
	}
}
