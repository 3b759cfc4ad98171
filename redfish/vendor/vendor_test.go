package vendor

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

func TestShippedRules(t *testing.T) {
	t.Parallel()
	rules, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.For(System{Manufacturer: "Lenovo", Model: "ThinkSystem SR650 V2"}); len(got.SkipNICs) != 1 || !Fits(got.SkipNICs[0], "ToManager") {
		t.Errorf("%+v", got)
	}
	if got := rules.For(System{Manufacturer: "Dell Inc."}); len(got.SkipNICs) != 0 || got.BootMode != "" || got.KeepsOnce != nil {
		t.Errorf("%+v", got)
	}
}

func TestRefusedRules(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{name: a, manufacturer: "Dell*", known: x, bootMode: UEFI}, {name: b, model: "R6*", known: x, bootMode: Legacy}]`:    "BootMode",
		`[{name: a, manufacturer: Dell, known: x, bootMode: UEFI}, {name: b, manufacturer: Dell, known: x, bootMode: Legacy}]`: "a and b",
		`[{name: a, known: x}]`:                             "pattern",
		`[{name: a, model: x}]`:                             "known",
		`[{name: a, model: "*x", known: x}]`:                "*",
		`[{name: a, model: x, known: x, bootNode: UEFI}]`:   "bootNode",
		`[{name: a, model: x, known: x, skipNICs: ["*x"]}]`: "*",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheClosestRuleWins(t *testing.T) {
	t.Parallel()
	rules, err := Parse([]byte(`
- {name: one, manufacturer: Dell*, model: PowerEdge R650, firmware: 7.1*, known: x, bootMode: C}
- {name: all, manufacturer: Dell*, known: x, bootMode: A, skipNICs: [usb*]}
- {name: some, manufacturer: Dell*, model: PowerEdge*, known: x, bootMode: B}
- {name: other, manufacturer: HPE, known: x, bootMode: D}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		System
		want string
	}{
		{System{"Dell Inc.", "PowerEdge R650", "7.10"}, "C"},
		{System{"Dell Inc.", "PowerEdge R650", "6.10"}, "B"},
		{System{"Dell Inc.", "XE", ""}, "A"},
		{System{"HPE", "", ""}, "D"},
		{System{"HPE ", "", ""}, ""},
	} {
		if got := rules.For(c.System); got.BootMode != c.want || (c.Manufacturer == "Dell Inc.") != (len(got.SkipNICs) == 1) {
			t.Errorf("%+v: %+v", c.System, got)
		}
	}
}

// TestOrderDoesNotMatter: rules that are taken choose the same in any order, and are taken in any order.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	pattern := rapid.SampledFrom([]string{"", "a", "a*", "ab", "ab*", "b*", "*"})
	text := rapid.SampledFrom([]string{"a", "ab", "abc", "b", ""})
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Rule {
			return Rule{
				Name: "r", Known: "x", Manufacturer: pattern.Draw(t, "manufacturer"), Model: pattern.Draw(t, "model"), Firmware: pattern.Draw(t, "firmware"),
				Overrides: Overrides{BootMode: rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "mode")},
			}
		}), 0, 5).Draw(t, "rules")
		shuffled := rapid.Permutation(rules).Draw(t, "shuffled")
		system := System{text.Draw(t, "is"), text.Draw(t, "of"), text.Draw(t, "with")}
		one, errOne := Parse(document(t, rules))
		other, errOther := Parse(document(t, shuffled))
		if (errOne == nil) != (errOther == nil) {
			t.Fatal(errOne, errOther)
		}
		if errOne == nil && one.For(system).BootMode != other.For(system).BootMode {
			t.Fatalf("%+v: %+v and %+v", system, one.For(system), other.For(system))
		}
	})
}

func document(t *rapid.T, rules []Rule) []byte {
	data, err := yaml.Marshal(slices.Clone(rules))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
