package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/wire"
)

// blame turns what a call answered into a fault. Its texts are one line and stay the same while nothing changes.
type blame struct{ access openstack.Access }

// loggingIn is what is being done while Keystone is asked for a token.
const loggingIn = "log in"

// classify names the kind of err, which came of trying to do what the text says. nil stays nil.
func (b *blame) classify(doing string, err error) error {
	var answer gophercloud.ErrUnexpectedResponseCode
	var reauth *gophercloud.ErrUnableToReauthenticate
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reauth):
		return b.classify(loggingIn, reauth.ErrReauth)
	case errors.As(err, &answer):
		return b.answered(doing, &answer)
	}
	var untrusted *tls.CertificateVerificationError
	var missing *gophercloud.ErrEndpointNotFound
	var away *wire.RedirectError
	var closed *wire.ForbiddenError
	source, at := b.access.Source, b.at(err)
	switch {
	case errors.As(err, &missing):
		return fault.New(fault.Missing, "%s: cannot %s: the catalog of Keystone at %s has none%s: register the endpoint, or correct region_name and interface",
			source, doing, b.access.AuthURL, b.region())
	case errors.As(err, &untrusted):
		return fault.New(fault.Denied, "%s: the certificate of %s is not trusted (%s): renew it, or put its CA into the key ca.crt",
			source, at, distrust(untrusted))
	case errors.As(err, &away):
		return fault.New(fault.Rejected, "%s: cannot %s: %s: %s: correct auth.auth_url, or the endpoint in the catalog", source, doing, at, away)
	case errors.As(err, &closed):
		return fault.New(fault.Denied, "%s: cannot %s: %s: correct the address, or have an administrator allow it (--cloud-endpoints)", source, doing, closed)
	case errors.Is(err, wire.ErrTooLarge):
		return fault.Wrap(fault.Rejected, errFlood, "%s: cannot %s: %s", source, doing, at)
	case isNonsense(err):
		return b.foreign(at, "its answer is not the JSON that is expected")
	case errors.Is(err, context.Canceled):
		return err
	}
	return fault.New(fault.Transient, "OpenStack at %s does not answer: %s", at, innermost(err))
}

// answered is what an HTTP status means.
func (b *blame) answered(doing string, answer *gophercloud.ErrUnexpectedResponseCode) error {
	source, at, said := b.access.Source, place(answer.URL), said(answer.Body)
	if said == "" {
		said = http.StatusText(answer.Actual)
	}
	switch code := answer.Actual; {
	case code < http.StatusMultipleChoices:
		return b.foreign(at, "its answer is not the one that is expected")
	case code == http.StatusUnauthorized:
		return fault.New(fault.Denied, "%s: Keystone at %s refuses the credentials: correct them in the Secret", source, b.access.AuthURL)
	case code == http.StatusForbidden:
		return fault.New(fault.Denied, "%s: its user may not %s: give it a role that may (admin)", source, doing)
	case code == http.StatusNotAcceptable:
		return fault.New(fault.Unsupported, "%s: %s is too old to %s: compute API %s and placement API %s are needed (%s)", source, at, doing, computeVersion, placementVersion, said)
	case code >= http.StatusInternalServerError || code == http.StatusTooManyRequests:
		return fault.New(fault.Transient, "OpenStack at %s fails: HTTP %d, %s", at, code, said)
	case code == http.StatusConflict:
		return fault.New(fault.Busy, "%s: cannot %s: %s", source, doing, said)
	case code == http.StatusNotFound && doing == loggingIn:
		return b.foreign(at, "HTTP 404, "+said)
	case code == http.StatusNotFound:
		return fault.New(fault.Missing, "%s: cannot %s: %s has no such thing (%s)", source, doing, at, said)
	default:
		return fault.New(fault.Rejected, "%s: cannot %s: %s answers HTTP %d, %s", source, doing, at, code, said)
	}
}

// distrust is why a certificate is not trusted, without the time it was looked at.
func distrust(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return "it is valid from " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339) + " to " + invalid.Cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return strings.TrimPrefix(innermost(err), "x509: ")
}

func (b *blame) foreign(at, why string) error {
	return fault.New(fault.Rejected, "%s: what answers at %s is no OpenStack API (%s): correct auth.auth_url, or the endpoint in the catalog", b.access.Source, at, why)
}

func (b *blame) region() string {
	if b.access.Region == "" {
		return ""
	}
	return " in region " + b.access.Region
}

// at is the URL an error speaks of, without query; Keystone's when it names none.
func (b *blame) at(err error) string {
	var failed *url.Error
	if errors.As(err, &failed) {
		return place(failed.URL)
	}
	return b.access.AuthURL
}

// place is scheme and host of a URL: enough to find the endpoint, and the same for all calls to it.
func place(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an endpoint of the catalog"
	}
	return line.Of(u.Scheme + "://" + u.Host)
}

// isNonsense reports an answer that came whole and is not what was expected. A connection that ended early is none.
func isNonsense(err error) bool {
	var failed *url.Error
	if errors.As(err, &failed) {
		return false
	}
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &mismatch) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// errFlood is why a place is left alone for a while.
var errFlood = errors.New("it answers more than anything that is expected there: correct the address")

// innermost is the cause alone: what wraps it names calls, ports and addresses that differ from try to try.
func innermost(err error) string {
	var slow interface{ Timeout() bool }
	if errors.As(err, &slow) && slow.Timeout() {
		return "no answer in time"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return oneLine(err.Error())
		}
		err = inner
	}
}

// said is the message in an error body: {"error": {"message": ...}} (Keystone), {"badRequest": {"message": ...}} and the
// like (Nova), {"errors": [{"detail": ...}]} (Placement), {"NeutronError": {"message": ...}}.
func said(body []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	type message struct {
		Message string `json:"message"`
		Detail  string `json:"detail"`
	}
	for _, raw := range fields {
		var one message
		var many []message
		switch {
		case json.Unmarshal(raw, &one) == nil && one.Message != "":
			return oneLine(one.Message)
		case json.Unmarshal(raw, &many) == nil && len(many) > 0:
			return oneLine(many[0].Detail)
		}
	}
	return ""
}

var (
	timeLookedAt = regexp.MustCompile(`: current time \S+ is (after|before) `)
	requestID    = regexp.MustCompile(`\s*\(?req-[0-9a-f-]{36}\)?`)
)

const longestLine = 300

// oneLine makes text fit for a status: without what differs from call to call.
func oneLine(text string) string {
	return line.Short(timeLookedAt.ReplaceAllString(requestID.ReplaceAllString(line.Of(text), ""), ": now is $1 "), longestLine)
}
