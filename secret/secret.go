// Package secret holds a value that never shows itself.
package secret

import "fmt"

// Value prints as "[redacted]", by fmt and encoding/json; empty stays empty.
type Value string

const redacted = "[redacted]"

// Reveal returns the value, for handing it to the service that needs it.
func (v Value) Reveal() string { return string(v) }

// Format redacts under every verb.
func (v Value) Format(f fmt.State, _ rune) {
	if v != "" {
		_, _ = f.Write([]byte(redacted))
	}
}

// MarshalJSON redacts.
func (v Value) MarshalJSON() ([]byte, error) {
	if v == "" {
		return []byte(`""`), nil
	}
	return []byte(`"` + redacted + `"`), nil
}
