// Package vendor chooses what is done another way on some BMCs, from rules that are data (rules.yaml). It is pure.
package vendor

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed rules.yaml
var shipped []byte

// System is whose BMC it is.
type System struct{ Manufacturer, Model, Firmware string }

// Rule is what is done another way on the systems that fit.
type Rule struct {
	Name string `json:"name"`
	// Manufacturer, Model and Firmware are patterns; empty fits all.
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	Firmware     string `json:"firmware,omitempty"`
	// Known is where this is known from.
	Known string `json:"known"`

	Overrides `json:",inline"`
}

// Overrides are the ways that differ.
type Overrides struct {
	// SkipNICs are patterns of interfaces that are not the server's.
	SkipNICs []string `json:"skipNICs,omitempty"`
	// BootMode is sent with every boot target.
	BootMode string `json:"bootMode,omitempty"`
	// KeepsOnce means that a boot override for one boot stays after it.
	KeepsOnce *bool `json:"keepsOnce,omitempty"`
	// TakesNone means that None is a boot target although it is not listed.
	TakesNone *bool `json:"takesNone,omitempty"`
	// NoExpand means that $expand is told to be known and is not.
	NoExpand *bool `json:"noExpand,omitempty"`
}

// Rules are those of one file, in order.
type Rules []Rule

// Shipped returns the rules that come with the product.
func Shipped() (Rules, error) { return Parse(shipped) }

// Parse reads rules. Two that could fit one system, set the same in different ways, and of which neither is the closer one,
// are refused, as are rules without a name, without a pattern, or without where they are known from.
func Parse(data []byte) (Rules, error) {
	var rules Rules
	if err := yaml.UnmarshalStrict(data, &rules); err != nil {
		return nil, fmt.Errorf("vendor rules: %w", err)
	}
	for i, r := range rules {
		if r.Name == "" || r.Known == "" || r.Manufacturer+r.Model+r.Firmware == "" {
			return nil, fmt.Errorf("vendor rules: rule %d (%s) needs a name, a pattern and where it is known from", i, r.Name)
		}
		for _, p := range append(r.patterns(), r.SkipNICs...) {
			if strings.Contains(strings.TrimSuffix(p, "*"), "*") {
				return nil, fmt.Errorf("vendor rules: %s: pattern %q has a * that is not its end", r.Name, p)
			}
		}
		for _, other := range rules[:i] {
			if field := clash(r, other); field != "" {
				return nil, fmt.Errorf("vendor rules: %s and %s may fit the same system, set %s in two ways, and neither is the closer one", other.Name, r.Name, field)
			}
		}
	}
	return rules, nil
}

func (r Rule) patterns() []string { return []string{r.Manufacturer, r.Model, r.Firmware} }

// Fits reports whether a text fits a pattern.
func Fits(pattern, text string) bool {
	if begin, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(text, begin)
	}
	return pattern == "" || pattern == text
}

// within reports whether all that fits the one pattern fits the other.
func within(inner, outer string) bool {
	switch {
	case outer == "":
		return true
	case inner == "":
		return outer == "*"
	case !strings.HasSuffix(inner, "*"):
		return Fits(outer, inner)
	default:
		begin, ok := strings.CutSuffix(outer, "*")
		return ok && strings.HasPrefix(strings.TrimSuffix(inner, "*"), begin)
	}
}

func closer(a, b Rule) bool {
	pa, pb := a.patterns(), b.patterns()
	for i := range pa {
		if !within(pa[i], pb[i]) {
			return false
		}
	}
	return true
}

// clash names the field that two rules set in two ways on a system that both may fit.
func clash(a, b Rule) string {
	pa, pb := a.patterns(), b.patterns()
	for i := range pa {
		if !within(pa[i], pb[i]) && !within(pb[i], pa[i]) {
			return "" // of two beginnings that are not within each other no text has both
		}
	}
	if closer(a, b) != closer(b, a) {
		return ""
	}
	va, vb := reflect.ValueOf(a.Overrides), reflect.ValueOf(b.Overrides)
	for i := range va.NumField() {
		if !va.Field(i).IsZero() && !vb.Field(i).IsZero() && !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			return va.Type().Field(i).Name
		}
	}
	return ""
}

// For returns what is done another way on a system: of each field the closest rule's. Where rules differ one is the closer,
// or Parse would have refused them.
func (r Rules) For(s System) Overrides {
	var out Overrides
	to := reflect.ValueOf(&out).Elem()
	for i := range to.NumField() {
		var best *Rule
		for _, rule := range r {
			fits := Fits(rule.Manufacturer, s.Manufacturer) && Fits(rule.Model, s.Model) && Fits(rule.Firmware, s.Firmware)
			if fits && !reflect.ValueOf(rule.Overrides).Field(i).IsZero() && (best == nil || closer(rule, *best)) {
				best = &rule
			}
		}
		if best != nil {
			to.Field(i).Set(reflect.ValueOf(best.Overrides).Field(i))
		}
	}
	return out
}
