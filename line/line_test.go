package line_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rackplane/rackplane/line"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain words":                                "plain words",
		" two\nlines\tand a tab \r\n":                "two lines and a tab",
		"\x1b[31mred\x1b[0m":                         "red",
		"\u009b2Jcleared":                            "cleared",
		"\x1b]0;owned\x07title":                      "]0;owned title",
		"\x1b\x1b[mP payload":                        "P payload",
		"host\u202egnp.exe":                          "host?gnp.exe",
		"zero\u200bwidth\ufeff":                      "zero?width?",
		"del\x7f nul\x00 c1\u0090":                   "del nul c1",
		"half a rune \xff\xc3":                       "half a rune ?",
		"Grüße, 日本語":                                 "Grüße, 日本語",
		"a\u2028b\u00a0c":                            "a b c",
		`GET "http://admin:p@ss/w0rd@bmc/x": denied`: `GET "http://[redacted]@bmc/x": denied`,
	} {
		if got := line.Of(text); got != want {
			t.Errorf("Of(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"12345678": "12345678", "123456789": "12345...", "1234äöü": "1234...", "\x1b[1m12345678": "12345678"} {
		if got := line.Short(text, 8); got != want {
			t.Errorf("Short(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"redfish://192.0.2.1/redfish/v1/Systems/1":                                   "redfish://192.0.2.1/redfish/v1/Systems/1",
		"redfish://admin:HUNTER2@192.0.2.1/redfish":                                  "redfish://[redacted]@192.0.2.1/redfish",
		"redfish://admin:HUN/TER2@192.0.2.1/redfish":                                 "redfish://[redacted]@192.0.2.1/redfish",
		"redfish://admin:HUN@TER2@192.0.2.1/redfish":                                 "redfish://[redacted]@192.0.2.1/redfish",
		"redfish://admin:HUN?TER2#@192.0.2.1":                                        "redfish://[redacted]@192.0.2.1",
		"redfish://HUNTER2@[2001:db8::1]:443":                                        "redfish://[redacted]@[2001:db8::1]:443",
		"ipmi://[2001:db8::1]:623?privilegelevel=OPERATOR":                           "ipmi://[2001:db8::1]:623?privilegelevel=OPERATOR",
		"admin:HUNTER2@192.0.2.1":                                                    "[redacted]@192.0.2.1",
		"rabbit://nova:HUNTER2@mq1:5672,nova:HUNTER2@mq2/":                           "rabbit://[redacted]@mq2/",
		"oci://registry.example.com:5000/os@sha256:0123456789abcdef0123456789abcdef": "oci://registry.example.com:5000/os@sha256:0123456789abcdef0123456789abcdef",
		"https://s3/os?X-Amz-Date=1&X-Amz-Signature=HUNTER2":                         "https://s3/os?X-Amz-Date=1&X-Amz-Signature=[redacted]",
		"https://blob/os?sv=1&sig=HUNTER2&se=2":                                      "https://blob/os?sv=1&sig=[redacted]&se=2",
		"http://proxy.example.com:3128":                                              "http://proxy.example.com:3128",
		"https://images.example.com/os.qcow2":                                        "https://images.example.com/os.qcow2",
	} {
		got := line.Address(raw)
		if got != want {
			t.Errorf("Address(%q) = %q, want %q", raw, got, want)
		}
		if hasLogin := strings.Contains(want, "[redacted]@"); line.HasLogin(raw) != hasLogin {
			t.Errorf("HasLogin(%q) = %t", raw, !hasLogin)
		}
	}
}

// FuzzOf: whatever is said, one line comes of it that a terminal takes for text, and saying it again changes nothing.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{"\x1b[31m", "\x1b]8;;http://a:b@c\x07x", "a\u202eb", "http://u:p@h/\xff", "\u009b\u009b1mm"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := line.Of(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Of(%q) = %q", text, got)
		}
		if again := line.Of(got); again != got {
			t.Errorf("Of(%q) = %q, and of that %q", text, got, again)
		}
		if short := line.Short(text, 40); len(short) > 40 || !utf8.ValidString(short) {
			t.Errorf("Short(%q) = %q", text, short)
		}
	})
}

// FuzzAddress: no password that stands in the usual place of an address is shown.
func FuzzAddress(f *testing.F) {
	f.Add("redfish", "HUNTER2", "192.0.2.1")
	f.Add("http", "a/b?c#d@e:f", "[2001:db8::1]:80/x@y")
	f.Fuzz(func(t *testing.T, scheme, password, host string) {
		const canary = "CANARY7"
		if strings.ContainsAny(password, " \t\n") || strings.Contains(scheme, ":") || strings.Contains(host, "://") || strings.Contains(host, canary) {
			return
		}
		if got := line.Address(scheme + "://admin:" + password + canary + "@" + host); strings.Contains(got, canary) {
			t.Errorf("%q", got)
		}
	})
}

func TestFew(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"": nil, "a": {"a"}, "a, b, c, d, e": {"a", "b", "c", "d", "e"}, "a, b, c, d, e and 2 more": {"a", "b", "c", "d", "e", "f", "g"},
	} {
		if got := line.Few(names); got != want {
			t.Errorf("%v: %q, want %q", names, got, want)
		}
	}
}
