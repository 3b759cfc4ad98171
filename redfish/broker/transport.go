package broker

import (
	"bytes"
	"io"
	"net/http"

	"github.com/rackplane/rackplane/fault"
)

// Client returns an HTTP client for libraries that bring none of their own rules: all it sends goes through the door, on
// behalf of the class, and to no other host.
func (d *Door) Client(c Class) *http.Client {
	return &http.Client{
		Transport:     transport{door: d, class: c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type transport struct {
	door  *Door
	class Class
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if got := req.URL.Scheme + "://" + req.URL.Host; got != t.door.endpoint {
		return nil, fault.New(fault.Rejected, "%s is not the BMC at %s", req.URL.Host, t.door.endpoint)
	}
	a, err := t.answer(req)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(a.Status), StatusCode: a.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.Header.Clone(), Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: int64(len(a.Body)), Request: req,
	}, nil
}

func (t transport) answer(req *http.Request) (Answer, error) {
	path := req.URL.RequestURI()
	if req.Method == http.MethodGet {
		return t.door.Get(req.Context(), t.class, path)
	}
	var body []byte
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
		var err error
		if body, err = io.ReadAll(io.LimitReader(req.Body, bodyMost)); err != nil {
			return Answer{}, fault.Wrap(fault.Transient, err, "what is to be sent to %s cannot be read", t.door.endpoint)
		}
	}
	header := http.Header{}
	for _, name := range []string{"If-Match", "Content-Type"} {
		if value := req.Header.Get(name); value != "" {
			header.Set(name, value)
		}
	}
	return t.door.Send(req.Context(), t.class, Change{Method: req.Method, Path: path, Header: header, Body: body})
}
