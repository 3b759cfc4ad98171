// Package line makes text that others wrote fit to be shown: in a condition, an
// event, a log, an error, a plan or on a terminal.
//
// What nodes, services and users say passes through here before anything else
// shows it. It becomes one line in which no rune acts on a terminal or changes
// the order of what is read (control characters, escape sequences, bidirectional
// overrides, zero-width characters), and in which no address has its user name,
// password or signature.
package line

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

const (
	redacted = "[redacted]"
	cut      = "..."
)

var (
	// sequence is a control sequence of ECMA-48, such as a colour; in 7 bits and in 8.
	sequence = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]")
	// address is a URL in a text, to the next blank.
	address = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S+`)
	// secretValue is a part of a query that signs or proves something, such as a pre-signed image URL's X-Amz-Signature.
	secretValue = regexp.MustCompile(`(?i)([?&][^=&\s]*(?:sig|token|secret|passw|key|credential|auth)[^=&\s]*=)[^&\s"'<>)]*`)
	// digest is what an OCI image is named by, behind an @ in the path.
	digest = regexp.MustCompile(`^[a-z0-9]+:[0-9a-f]{32,}$`)
)

// Of returns text as one line that is safe to show, with every address in it as Address returns it. What cannot be shown
// is no blank and cannot be shown becomes a question mark, so that it is seen that something was there.
func Of(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if strings.ContainsAny(text, "\x1b\u009b") { // few texts have any: every condition of every pass goes through here
		text = sequence.ReplaceAllString(text, "")
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return '?'
		}
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if !strings.Contains(text, "://") {
		return text
	}
	return address.ReplaceAllStringFunc(text, Address)
}

// Short returns Of(text), cut at the end of a character to at most so many bytes.
func Short(text string, bytes int) string {
	text = Of(text)
	if len(text) <= bytes {
		return text
	}
	return strings.ToValidUTF8(text[:max(0, bytes-len(cut))], "") + cut
}

// Few names the first of many things, such as nodes, and counts the rest.
func Few(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// Address returns an address without what may be secret in it: user name and password, and signatures and tokens of its
// query. raw is a URL, or what stands behind the :// of one.
func Address(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	} else {
		scheme += "://"
	}
	if end := loginEnd(rest); end >= 0 {
		rest = redacted + rest[end:]
	}
	return scheme + secretValue.ReplaceAllString(rest, "${1}"+redacted)
}

// HasLogin reports whether an address holds a user name or a password.
func HasLogin(raw string) bool {
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		rest = raw
	}
	return loginEnd(rest) >= 0
}

// loginEnd is where the @ behind a login is; -1 when there is none. Every @ is taken for it, wherever it is: people write
// passwords with a / in them. Only an OCI image's digest is known to be none.
func loginEnd(rest string) int {
	i := strings.LastIndexByte(rest, '@')
	if i >= 0 && digest.MatchString(rest[i+1:]) {
		return loginEnd(rest[:i])
	}
	return i
}
