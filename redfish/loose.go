package redfish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// triesMost bounds how often a document is tried again for one that is wrong in many places.
const triesMost = 2000

// loosely decodes a document of which some fields may be malformed. A number that is written as a text, or a text as a
// number, is taken for what it says; what cannot be is left out, and named. gofish decodes a resource as a whole or not at
// all, and real BMCs send "1" for 1.
func loosely[T any](doc []byte, into *T) ([]string, error) {
	first := json.Unmarshal(doc, into)
	if first == nil {
		return nil, nil
	}
	var fields map[string]any
	exact := json.NewDecoder(bytes.NewReader(doc))
	exact.UseNumber() // or long ones come back rounded
	if exact.Decode(&fields) != nil {
		return nil, fmt.Errorf("is no JSON object: %w", first)
	}
	p := pruner{fits: func(candidate any) bool {
		data, err := json.Marshal(candidate)
		return err == nil && json.Unmarshal(data, new(T)) == nil
	}}
	kept := p.object(fields, "", func(inner any) any { return inner })
	data, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	*into = *new(T)
	if err := json.Unmarshal(data, into); err != nil {
		return nil, fmt.Errorf("is malformed: %w", first)
	}
	return p.dropped, nil
}

// pruner leaves out of a document what does not fit.
type pruner struct {
	fits    func(any) bool
	tries   int
	dropped []string
}

// object keeps the fields that fit. within puts a part of the document where it belongs in an otherwise empty one.
func (p *pruner) object(fields map[string]any, path string, within func(any) any) map[string]any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		here := func(inner any) any { return within(map[string]any{name: inner}) }
		if value, ok := p.value(fields[name], path+name, here); ok {
			out[name] = value
		}
	}
	return out
}

func (p *pruner) value(value any, path string, within func(any) any) (any, bool) {
	if p.tries++; p.tries > triesMost {
		p.dropped = append(p.dropped, path)
		return nil, false
	}
	if p.fits(within(value)) {
		return value, true
	}
	if other := retyped(value); other != nil && p.fits(within(other)) {
		return other, true
	}
	switch v := value.(type) {
	case map[string]any:
		if p.fits(within(map[string]any{})) {
			return p.object(v, path+".", within), true
		}
	case []any:
		if p.fits(within([]any{})) {
			out := []any{}
			for i, element := range v {
				one := func(inner any) any { return within([]any{inner}) }
				if kept, ok := p.value(element, fmt.Sprintf("%s[%d]", path, i), one); ok {
					out = append(out, kept)
				}
			}
			return out, true
		}
	}
	p.dropped = append(p.dropped, path)
	return nil, false
}

// retyped returns a number for the text of one, and the other way round; nil for anything else.
func retyped(value any) any {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case string:
		if _, err := strconv.ParseInt(v, 10, 64); err == nil && v == strings.TrimLeft(v, "+0") || v == "0" {
			return json.Number(v)
		}
	}
	return nil
}
