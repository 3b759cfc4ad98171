package ironic

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"

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
		return fault.New(fault.Transient, "what answers at %s is not Ironic, or not all of it (%d %s): see what is before it, or correct --ironic-url",
			c.config.Endpoint, answer.Actual, http.StatusText(answer.Actual))
	}
	for _, a := range answers() {
		if slices.Contains(a.codes, answer.Actual) && (a.says == nil || a.says.MatchString(said)) {
			return fault.New(a.kind, a.text, said)
		}
	}
	switch {
	case answer.Actual >= http.StatusInternalServerError || answer.Actual == http.StatusTooManyRequests || answer.Actual == http.StatusRequestTimeout:
		return fault.New(fault.Transient, "Ironic at %s fails: %s", c.config.Endpoint, said)
	case answer.Actual == http.StatusUnauthorized || answer.Actual == http.StatusForbidden:
		return fault.New(fault.Denied, "Ironic at %s refuses our credentials: %s", c.config.Endpoint, said)
	case answer.Actual == http.StatusNotAcceptable:
		c.forgetVersion()
		return fault.New(fault.Rejected, "Ironic rejects it: %s", said)
	default:
		return fault.New(fault.Rejected, "Ironic rejects it: %s", said)
	}
}

// forgetVersion has Ironic asked again what it speaks: it may have been taken back to an older release.
func (c *Client) forgetVersion() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.minor = 0
}

// meaning is what an answer says, told by its words: Ironic has one status code for many things.
type meaning struct {
	codes []int
	says  *regexp.Regexp
	kind  fault.Kind
	text  string
}

var (
	isLocked     = regexp.MustCompile(`is locked by|[Nn]ode .* is being (deployed|cleaned)|reservation`)
	isProtected  = regexp.MustCompile(`is protected`)
	isNoNode     = regexp.MustCompile(`(?i)no valid host|conductor|driver|hardware type`)
	isAtItsLimit = regexp.MustCompile(`lack of free conductor workers|concurrent limit`)
	isInCare     = regexp.MustCompile(`maintenance mode`)
)

// answers are Ironic's (ironic 39.0.0, ironic/common/exception.py), the first that fits counts: NodeLocked among the
// conflicts, where InvalidState, InstanceAssociated, NodeAssociated and the already existing ones end by no waiting;
// InvalidStateRequested; NodeProtected, which is no matter of credentials; NoValidHost, which is a 404 like a node that is gone.
func answers() []meaning {
	conflict, invalid, missing := []int{http.StatusConflict}, []int{http.StatusBadRequest}, []int{http.StatusNotFound}
	return []meaning{
		{conflict, isLocked, fault.Busy, "Ironic is busy: %s"},
		{conflict, nil, fault.Rejected, "Ironic refuses it as it stands: %s"},
		{invalid, wrongState, fault.Lost, "Ironic: %s"},
		{invalid, isInCare, fault.Rejected, "Ironic refuses it: %s: end it with `baremetal node maintenance unset`"},
		{[]int{http.StatusForbidden}, isProtected, fault.Rejected, "Ironic refuses it: %s: `baremetal node unset --protected` allows it"},
		{missing, isNoNode, fault.Rejected, "Ironic cannot do it: %s"},
		{missing, nil, fault.Missing, "Ironic: %s"},
		{[]int{http.StatusServiceUnavailable}, isAtItsLimit, fault.Transient, "Ironic does as much as it may at once: %s"},
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
