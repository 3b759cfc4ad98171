package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// verbatim is the user's own nmstate document with the node's values in it. It must give every address of the node: one that
// is nowhere would be sought in vain.
func verbatim(in RenderInput, atts []*attachment) (map[string]any, error) {
	var doc map[string]any
	if err := json.Unmarshal(in.Config.NMState.Raw, &doc); err != nil {
		return nil, errors.New("networkConfig.nmstate is no mapping: write an nmstate document there")
	}
	values := documentValues(in, atts)
	filled, err := substituted(doc, values)
	if err != nil {
		return nil, fmt.Errorf("networkConfig.nmstate: %w", err)
	}
	doc, _ = filled.(map[string]any)
	r := readDocument(doc)
	for _, a := range atts {
		if !slices.ContainsFunc(r.prefixes, func(p interfacePrefix) bool { return p.prefix.Addr() == a.address }) {
			return nil, fmt.Errorf("networkConfig.nmstate gives address %s of network %s to no interface: write $(%s_ip) where it belongs, or take the network out of networks",
				a.address, a.subnet.Network.Name, a.subnet.Network.Role)
		}
	}
	return doc, nil
}

// documentValues are what $(NAME) may stand for.
func documentValues(in RenderInput, atts []*attachment) map[string]any {
	values := map[string]any{"hostname": in.HostName}
	for _, a := range atts {
		stem := strings.ReplaceAll(a.subnet.Network.Role, "-", "_")
		values[stem+"_ip"] = a.address.String()
		values[stem+"_cidr"] = int64(a.subnet.Prefix.Bits())
		values[stem+"_mtu"] = int64(a.subnet.Network.MTU)
		if a.subnet.VLAN != 0 {
			values[stem+"_vlan_id"] = int64(a.subnet.VLAN)
		}
		if a.subnet.Gateway.IsValid() {
			values[stem+"_gateway_ip"] = a.subnet.Gateway.String()
		}
	}
	l := &layouter{nics: sortNICs(in.NICs), named: in.NICNames}
	for i := range l.nics {
		name := fmt.Sprintf("nic%d", i)
		if nic, err := l.find(name, ""); err == nil {
			values[name+"_mac"], values[name+"_name"] = nic.MAC, nic.Name
		}
	}
	for name := range in.NICNames {
		if nic, err := l.find(name, ""); err == nil {
			setText(values, name+"_mac", nic.MAC)
			setText(values, name+"_name", nic.Name)
		}
	}
	return values
}

// reference is $(NAME), or $$ for a dollar sign.
var reference = regexp.MustCompile(`\$(\$|\(([^()]*)\))`)

// substituted copies a JSON value with the references in its texts replaced, and its whole numbers as such.
func substituted(value any, values map[string]any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, one := range v {
			filled, err := substituted(one, values)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			out[key] = filled
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			filled, err := substituted(one, values)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = filled
		}
		return out, nil
	case string:
		return filledText(v, values)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	}
	return value, nil
}

// filledText replaces the references in a text; one that is nothing but a reference becomes the value itself.
func filledText(text string, values map[string]any) (any, error) {
	var unknown error
	find := func(name string) any {
		v, ok := values[name]
		if !ok && unknown == nil {
			known := make([]string, 0, len(values))
			for k := range values {
				known = append(known, k)
			}
			slices.Sort(known)
			unknown = fmt.Errorf("$(%s) stands for nothing the node has (it has %s): correct it, or write $$ for a dollar sign", name, strings.Join(known, ", "))
		}
		return v
	}
	if m := reference.FindStringSubmatch(text); m != nil && m[0] == text && m[1] != "$" {
		v := find(m[2])
		return v, unknown
	}
	out := reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		return fmt.Sprint(find(match[2 : len(match)-1]))
	})
	return out, unknown
}

// parsePrefix reads ip and prefix-length of an entry.
func parsePrefix(entry map[string]any) (netip.Prefix, bool) {
	text, _ := entry["ip"].(string)
	bits, ok := entry["prefix-length"].(int64)
	a, err := netip.ParseAddr(text)
	if err != nil || !ok || a.Zone() != "" || bits < 0 || bits > int64(a.BitLen()) {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, int(bits)), true
}
