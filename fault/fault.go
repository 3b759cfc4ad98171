// Package fault classifies what effects answer. Adapters classify; only
// controllers/step turns a kind into a requeue or a condition.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what a failed effect means for the caller.
type Kind string

const (
	// Transient passes by itself: retry with backoff.
	Transient Kind = "Transient"
	// Busy means someone else holds it right now (a locked Ironic node, HTTP 409): ask again soon.
	Busy Kind = "Busy"
	// Lost means the decision no longer holds (host taken, object changed): plan again now.
	Lost Kind = "Lost"
	// Denied means the credentials are refused.
	Denied Kind = "Denied"
	// Rejected means the request itself is wrong: only a changed spec helps.
	Rejected Kind = "Rejected"
	// Missing means the thing does not exist.
	Missing Kind = "Missing"
	// Unsupported means the other side cannot do this.
	Unsupported Kind = "Unsupported"
)

type classified struct {
	kind Kind
	msg  string
	err  error
}

func (e *classified) Error() string {
	switch {
	case e.err == nil:
		return e.msg
	case e.msg == "":
		return e.err.Error()
	default:
		return e.msg + ": " + e.err.Error()
	}
}

func (e *classified) Unwrap() error { return e.err }

// New returns an error of the kind. The message names object, field and remedy where a user can act.
func New(k Kind, format string, args ...any) error {
	return &classified{kind: k, msg: fmt.Sprintf(format, args...)}
}

// Wrap classifies err, prefixing the message to it. A nil err stays nil.
func Wrap(k Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &classified{kind: k, msg: fmt.Sprintf(format, args...), err: err}
}

// KindOf returns the outermost kind in err's chain, Transient for an unclassified error and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var c *classified
	if errors.As(err, &c) {
		return c.kind
	}
	return Transient
}

// Classified reports whether err was given a kind. One that was not comes from the API server.
func Classified(err error) bool {
	var c *classified
	return errors.As(err, &c)
}

// Is reports whether err is of the kind.
func Is(err error, k Kind) bool { return KindOf(err) == k }
