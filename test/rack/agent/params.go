package agent

import (
	"errors"
	"fmt"
	"strings"
)

// Params is what the kernel command line tells the agent.
type Params struct {
	// APIURL is Ironic's root URL, without "/v1" and without a slash at its end (ipa-api-url).
	APIURL string
	// InspectionURL is where inspection data goes; empty when this boot is not for inspection
	// (ipa-inspection-callback-url).
	InspectionURL string
	// Token authenticates the agent; empty when Ironic hands it out at lookup (ipa-agent-token).
	Token string
}

// ParseParams reads the agent's parameters from a kernel command line. Later values win, as in the kernel.
// Quoted values are taken without their quotes.
func ParseParams(cmdline string) (Params, error) {
	values := map[string]string{}
	for word := range strings.FieldsSeq(cmdline) {
		if key, value, ok := strings.Cut(word, "="); ok {
			values[key] = strings.Trim(value, `"`)
		}
	}
	params := Params{
		APIURL:        strings.TrimSuffix(strings.TrimSuffix(values["ipa-api-url"], "/"), "/v1"),
		InspectionURL: values["ipa-inspection-callback-url"],
		Token:         values["ipa-agent-token"],
	}
	if params.APIURL == "" && params.InspectionURL == "" {
		return Params{}, errors.New("kernel command line: neither ipa-api-url nor ipa-inspection-callback-url is set")
	}
	if params.APIURL == "" {
		root, ok := strings.CutSuffix(params.InspectionURL, "/v1/continue_inspection")
		if !ok {
			return Params{}, fmt.Errorf("kernel command line: ipa-api-url is missing and cannot be told from %q",
				params.InspectionURL)
		}
		params.APIURL = root
	}
	return params, nil
}
