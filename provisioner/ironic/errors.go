package ironic

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/wire"
)

// classify turns what a call answered into a fault; its text is one line with Ironic's own words and nothing that was sent.
// nil stays nil.
func (c *Client) classify(err error) error {
	if err == nil {
		return nil
	}
	var answer gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &answer) {
		var away *wire.RedirectError
		if errors.As(err, &away) {
			return fault.New(fault.Rejected, "Ironic at %s: %s: correct --ironic-url", c.config.Endpoint, away)
		}
		return fault.New(fault.Transient, "Ironic at %s does not answer: %s", c.config.Endpoint, oneLine(unwrapURL(err)))
	}
	said := faultString(answer.Body)
	if said == "" {
		said = http.StatusText(answer.Actual)
	}
	switch {
	case answer.Actual == http.StatusConflict:
		return fault.New(fault.Busy, "Ironic is busy: %s", said)
	case answer.Actual == http.StatusUnauthorized, answer.Actual == http.StatusForbidden:
		return fault.New(fault.Denied, "Ironic at %s refuses our credentials: %s", c.config.Endpoint, said)
	case answer.Actual == http.StatusNotFound:
		return fault.New(fault.Missing, "Ironic: %s", said)
	case answer.Actual >= http.StatusInternalServerError || answer.Actual == http.StatusTooManyRequests:
		return fault.New(fault.Transient, "Ironic at %s fails: %s", c.config.Endpoint, said)
	case wrongState.MatchString(said):
		return fault.New(fault.Lost, "Ironic: %s", said)
	default:
		return fault.New(fault.Rejected, "Ironic rejects it: %s", said)
	}
}

// wrongState is the text of InvalidStateRequested (ironic 39.0.0, ironic/common/exception.py), an HTTP 400.
var wrongState = regexp.MustCompile(`can not be performed on node .* while it is in state`)

// unwrapURL leaves out the method and URL that net/http puts before the cause.
func unwrapURL(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		var shown interface{ Timeout() bool }
		if errors.As(err, &shown) && shown.Timeout() {
			return "no answer in time"
		}
		err = inner
	}
}

// faultString digs Ironic's message out of an error body: {"error_message": {"faultstring": ...}}, where the inner
// object may itself be a JSON string (ironic 39.0.0, ironic/api/hooks.py and middleware/parsable_error.py).
func faultString(body []byte) string {
	var outer struct {
		Message json.RawMessage `json:"error_message"`
	}
	if json.Unmarshal(body, &outer) != nil || len(outer.Message) == 0 {
		return ""
	}
	inner := outer.Message
	var text string
	if json.Unmarshal(inner, &text) == nil {
		inner = []byte(text)
	}
	var said struct {
		Fault string `json:"faultstring"`
	}
	if json.Unmarshal(inner, &said) != nil {
		return oneLine(text)
	}
	return oneLine(said.Fault)
}

const longestLine = 500

// oneLine makes text fit for a status.
func oneLine(text string) string { return line.Short(text, longestLine) }

// nodeLocked tells a lock (ironic 39.0.0, ironic/common/exception.py: NodeLocked) from the other conflicts.
func nodeLocked(err error) bool {
	var answer gophercloud.ErrUnexpectedResponseCode
	return errors.As(err, &answer) && strings.Contains(faultString(answer.Body), "is locked by")
}
