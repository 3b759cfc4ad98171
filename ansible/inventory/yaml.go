package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML is the inventory as Ansible's yaml plugin reads it: sorted, and with every value of the type it has in JSON.
// Ansible reads YAML 1.1, in which 0600, 12:30, on or 1e5 are not what they are in JSON; so every string is quoted, and a
// number YAML 1.1 would not take for one carries its type. Only a user's text may hold templates.
func (i Inventory) YAML() ([]byte, error) {
	hosts := make(map[string]any, len(i.Hosts))
	for _, h := range i.Hosts {
		hosts[h.Name] = h.Vars
	}
	var w writer
	if err := w.value(map[string]any{i.Group: map[string]any{"hosts": hosts, "vars": i.GroupVars}}, "", ""); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	w.out.WriteByte('\n')
	return w.out.Bytes(), nil
}

// writer writes JSON values as block YAML.
type writer struct{ out bytes.Buffer }

// value writes v after a key or a dash. pad is the indentation of its lines; lead begins the first of them.
func (w *writer) value(v any, pad, lead string) error {
	switch v := v.(type) {
	case nil:
		w.out.WriteString(" null")
	case bool:
		w.out.WriteString(" " + strconv.FormatBool(v))
	case Template:
		w.out.WriteString(" " + quote(string(v)))
	case string:
		w.out.WriteString(" " + data(v))
	case int64:
		w.out.WriteString(" " + strconv.FormatInt(v, 10))
	case json.Number:
		w.out.WriteString(" " + number(v.String()))
	case []any:
		return w.sequence(v, pad, lead)
	case map[string]any:
		return w.mapping(v, pad, lead)
	default:
		return fmt.Errorf("a variable holds a %T, which is no JSON value", v)
	}
	return nil
}

func (w *writer) sequence(v []any, pad, lead string) error {
	if len(v) == 0 {
		w.out.WriteString(" []")
	}
	for _, item := range v {
		w.out.WriteString(lead + "-")
		if err := w.value(item, pad+"  ", " "); err != nil {
			return err
		}
		lead = "\n" + pad
	}
	return nil
}

func (w *writer) mapping(v map[string]any, pad, lead string) error {
	if len(v) == 0 {
		w.out.WriteString(" {}")
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		w.out.WriteString(lead)
		w.key(key, pad)
		if err := w.value(v[key], pad+"  ", "\n"+pad+"  "); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		lead = "\n" + pad
	}
	return nil
}

// longKey is where keys get a mark of their own: YAML finds an unmarked one within 1024 characters only (YAML 1.1, 9.3.1).
const longKey = 500

// plainKey matches names whose characters mean nothing in YAML; the words among them that do are in key.
var plainKey = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

func (w *writer) key(key, pad string) {
	text := quote(key)
	switch key {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
	default:
		if plainKey.MatchString(key) {
			text = key
		}
	}
	if len(text) > longKey {
		text = "? " + text + "\n" + pad
	}
	w.out.WriteString(text + ":")
}

// quote writes a double-quoted scalar. Go's escapes are all YAML's too (YAML 1.1, 5.6), and what Go calls printable YAML
// allows as it is.
func quote(s string) string { return strconv.Quote(s) }

// data is a scalar that Ansible evaluates nothing in. Only what could be a template gets the tag that says so: of a tagged
// text Ansible guesses the type anew although it is quoted, and takes !unsafe "0600" for 384 (ansible-core 2.19.14,
// _internal/_yaml/_constructor.py). No text with one of these characters is anything but text in YAML 1.1, and without
// them there is no template, whatever its delimiters: even the line that sets others begins with #jinja2.
func data(s string) string {
	if strings.ContainsAny(s, "{}%#") {
		return "!unsafe " + quote(s)
	}
	return quote(s)
}

var (
	// integer is a JSON number without fraction and exponent; JSON allows no leading zeros, so YAML reads it as decimal.
	integer = regexp.MustCompile(`^-?\d+$`)
	// yamlFloat is what YAML 1.1 takes for a float by itself: a point, and a signed exponent if any
	// (yaml.org/type/float.html, as PyYAML's resolver has it).
	yamlFloat = regexp.MustCompile(`^-?\d+\.\d*([eE][-+]\d+)?$`)
)

// number keeps the spelling; what YAML 1.1 would take for a string gets an explicit type.
func number(s string) string {
	if integer.MatchString(s) || yamlFloat.MatchString(s) {
		return s
	}
	return "!!float " + s
}
