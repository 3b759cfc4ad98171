package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// YAML is the inventory as Ansible's yaml plugin reads it: sorted, and with every value of the type it has in JSON.
// Ansible reads YAML 1.1, in which 0600, 12:30, on or 1e5 are not what they are in JSON; so every string is quoted, and a
// number YAML 1.1 would not take for one carries its type.
func (i Inventory) YAML() ([]byte, error) {
	hosts := mapping()
	for _, h := range i.Hosts {
		vars, err := node(h.Vars)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", h.Name, err)
		}
		add(hosts, h.Name, vars)
	}
	vars, err := node(i.GroupVars)
	if err != nil {
		return nil, fmt.Errorf("NodeSet %s: %w", i.Group, err)
	}
	group := mapping()
	add(group, "hosts", hosts)
	add(group, "vars", vars)
	root := mapping()
	add(root, i.Group, group)

	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("inventory of NodeSet %s: %w", i.Group, err)
	}
	return out.Bytes(), nil
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func add(to *yaml.Node, key string, value *yaml.Node) {
	to.Content = append(to.Content, keyNode(key), value)
}

// plainKey matches names whose characters mean nothing in YAML; the words among them that do are in keyNode.
var plainKey = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

func keyNode(key string) *yaml.Node {
	switch key {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return text(key)
	}
	if plainKey.MatchString(key) {
		return scalar("!!str", key)
	}
	return text(key)
}

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

// node turns a JSON value into YAML.
func node(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case nil:
		return scalar("!!null", "null"), nil
	case bool:
		return scalar("!!bool", strconv.FormatBool(v)), nil
	case string:
		return text(v), nil
	case int64:
		return scalar("!!int", strconv.FormatInt(v, 10)), nil
	case json.Number:
		return number(v.String()), nil
	case []any:
		return sequence(v)
	case map[string]any:
		return object(v)
	default:
		return nil, fmt.Errorf("a variable holds a %T, which is no JSON value", v)
	}
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

func sequence(v []any) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, item := range v {
		n, err := node(item)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, n)
	}
	return out, nil
}

func object(v map[string]any) (*yaml.Node, error) {
	out := mapping()
	for _, key := range slices.Sorted(maps.Keys(v)) {
		n, err := node(v[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		add(out, key, n)
	}
	return out, nil
}

var (
	// integer is a JSON number without fraction and exponent; JSON allows no leading zeros, so YAML reads it as decimal.
	integer = regexp.MustCompile(`^-?\d+$`)
	// yamlFloat is what YAML 1.1 takes for a float by itself: a point, and a signed exponent if any
	// (yaml.org/type/float.html, as PyYAML's resolver has it).
	yamlFloat = regexp.MustCompile(`^-?\d+\.\d*([eE][-+]\d+)?$`)
)

// number keeps the spelling; what YAML 1.1 would take for a string gets an explicit type.
func number(s string) *yaml.Node {
	n := scalar("!!float", s)
	switch {
	case integer.MatchString(s):
		n.Tag = "!!int"
	case !yamlFloat.MatchString(s):
		n.Style = yaml.TaggedStyle
	}
	return n
}
