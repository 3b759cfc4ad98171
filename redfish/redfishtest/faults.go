package redfishtest

import (
	"net/http"
	"strings"
	"time"
)

// Kind is what goes wrong with a request.
type Kind string

const (
	// Lost closes the connection before anything is done.
	Lost Kind = "Lost"
	// Delayed answers after Fault.Delay, or when the client has gone.
	Delayed Kind = "Delayed"
	// Duplicated does what is asked twice, as a proxy that sends again.
	Duplicated Kind = "Duplicated"
	// Unanswered does what is asked and closes the connection.
	Unanswered Kind = "Unanswered"
	// Unauthorized answers 401.
	Unauthorized Kind = "Unauthorized"
	// Unavailable answers 503 with a Retry-After.
	Unavailable Kind = "Unavailable"
	// Truncated ends the answer in the middle.
	Truncated Kind = "Truncated"
	// Huge answers with a document that never seems to end (64 MiB).
	Huge Kind = "Huge"
	// Garbage answers 200 with no JSON.
	Garbage Kind = "Garbage"
	// WrongTypes answers with texts for numbers and numbers for texts.
	WrongTypes Kind = "WrongTypes"
	// RedirectLoop redirects to where the request went.
	RedirectLoop Kind = "RedirectLoop"
	// RedirectAway redirects to Fault.To.
	RedirectAway Kind = "RedirectAway"
	// Ignored answers 204 and does nothing.
	Ignored Kind = "Ignored"
	// ClockSkew sends a Date of 1970.
	ClockSkew Kind = "ClockSkew"
)

// Kinds returns all kinds of faults.
func Kinds() []Kind {
	return []Kind{
		Lost, Delayed, Duplicated, Unanswered, Unauthorized, Unavailable, Truncated, Huge, Garbage, WrongTypes, RedirectLoop, RedirectAway, Ignored, ClockSkew,
	}
}

// Fault is one kind of trouble for the requests it fits.
type Fault struct {
	Kind Kind
	// Method and Path choose requests; empty fits all. Path is a part of the request's.
	Method, Path string
	// Times it happens; 0: until Heal.
	Times int
	// Delay of Delayed.
	Delay time.Duration
	// To is where RedirectAway sends.
	To string
}

func (f Fault) fits(r *http.Request) bool {
	return (f.Method == "" || f.Method == r.Method) && strings.Contains(r.URL.Path, f.Path)
}

// Fail adds a fault; the first that fits a request happens.
func (b *BMC) Fail(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, &f)
}

// Heal takes all faults away.
func (b *BMC) Heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// due returns the fault that happens to a request, of no Kind when none does.
func (b *BMC) due(r *http.Request) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.faults {
		if !f.fits(r) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				b.faults = append(b.faults[:i:i], b.faults[i+1:]...)
			}
		}
		return *f
	}
	return Fault{}
}

// twisted turns numbers into texts and texts into numbers, all but the links, so that a tree can still be walked.
func twisted(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			if strings.HasPrefix(name, "@odata") || name == "target" || name == "Id" {
				out[name] = inner
				continue
			}
			out[name] = twisted(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = twisted(inner)
		}
		return out
	case float64:
		return "many"
	case string:
		return 7
	default:
		return value
	}
}
