package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseParams(t *testing.T) {
	tests := map[string]struct {
		cmdline string
		want    Params
		refused bool
	}{
		"deploy": {
			cmdline: "ir_pub_id=5 ipa-api-url=http://127.0.0.1:6385/ ipa-agent-token=abc boot_method=vmedia --",
			want:    Params{APIURL: "http://127.0.0.1:6385", Token: "abc"},
		},
		"inspection": {
			cmdline: "ipa-inspection-callback-url=http://i/v1/continue_inspection ipa-api-url=http://i",
			want:    Params{APIURL: "http://i", InspectionURL: "http://i/v1/continue_inspection"},
		},
		"inspection without API": {
			cmdline: "ipa-inspection-callback-url=http://i/v1/continue_inspection",
			want:    Params{APIURL: "http://i", InspectionURL: "http://i/v1/continue_inspection"},
		},
		"last value wins":  {cmdline: `ipa-api-url=http://a ipa-api-url="http://b"`, want: Params{APIURL: "http://b"}},
		"no agent":         {cmdline: "root=/dev/sda1 quiet", refused: true},
		"unknown callback": {cmdline: "ipa-inspection-callback-url=http://i/other", refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseParams(test.cmdline)
			if (err != nil) != test.refused {
				t.Fatalf("error = %v, want one: %v", err, test.refused)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindChecksum(t *testing.T) {
	tests := map[string]struct {
		text, want string
	}{
		"lone value":   {"abc\n", "abc"},
		"sha256sum":    {"000  other.qcow2\nabc  edpm.qcow2\n", "abc"},
		"binary mode":  {"abc *edpm.qcow2\n", "abc"},
		"BSD":          {"SHA256 (other.qcow2) = 000\nSHA256 (edpm.qcow2) = abc\n", "abc"},
		"other images": {"000  other.qcow2\n", ""},
		"empty":        {"", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := findChecksum(test.text, "http://images.example.com/a/edpm.qcow2?x=1")
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("findChecksum = %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
