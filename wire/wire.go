// Package wire is how the engine speaks HTTP with services that it does not
// trust with its memory, its credentials or its place in the network.
//
// An answer that is larger than 8 MiB, counted as it is after decompression, is
// refused before anyone reads it. A redirect to another host is not followed:
// what was sent was for the host that was named. And where a Reach is given,
// connections go only where it lets them, whatever names resolve to.
package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rackplane/rackplane/line"
)

const (
	// MaxAnswer is the longest answer in bytes. Lists that could be longer are read in pages.
	MaxAnswer = 8 << 20
	// maxHeader bounds the header of an answer: Keystone's token stands there.
	maxHeader = 256 << 10
	// maxRedirects within a host.
	maxRedirects = 5
)

// Options of a client.
type Options struct {
	// CA holds the PEM certificates that the service's must be signed by; empty means the machine's.
	CA []byte
	// Timeout of a call until the last byte of its answer.
	Timeout time.Duration
	// Idle connections that are kept to one host.
	Idle int
	// Reach says where connections may go; nil means everywhere.
	Reach *Reach
	// Only is a URL of the one host that is ever asked, also when an answer names another one; empty means any.
	Only string
}

// ErrTooLarge is the error of a call whose answer is longer than MaxAnswer.
var ErrTooLarge = errors.New("the answer is larger than 8 MiB")

// ErrNoCertificate is the error of Options.CA without a certificate in it.
var ErrNoCertificate = errors.New("no PEM certificate")

// RedirectError is the error of a call that was answered with a redirect to another host.
type RedirectError struct{ To string }

// Error implements error.
func (e *RedirectError) Error() string {
	return "it redirects to " + e.To + ", another host, which is not followed"
}

// NewClient returns a client. It makes no call.
func NewClient(o Options) (http.Client, error) {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.Client{}, errors.New("http.DefaultTransport was replaced")
	}
	own := shared.Clone()
	own.MaxIdleConnsPerHost, own.MaxResponseHeaderBytes = o.Idle, maxHeader
	if len(o.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(o.CA) {
			return http.Client{}, ErrNoCertificate
		}
		own.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	var transport http.RoundTripper = own
	if o.Reach != nil {
		own.DialContext = o.Reach.DialContext
		transport = guarded{own, o.Reach}
	}
	if o.Only != "" {
		only, err := url.Parse(o.Only)
		if err != nil {
			return http.Client{}, fmt.Errorf("%s is no URL", line.Of(o.Only))
		}
		transport = pinned{transport, only}
	}
	return http.Client{Transport: bounded{transport}, Timeout: o.Timeout, CheckRedirect: stay}, nil
}

// stay follows redirects within the host that was asked.
func stay(next *http.Request, via []*http.Request) error {
	if err := within(via[0].URL, next.URL); err != nil {
		return err
	}
	if len(via) > maxRedirects {
		return errors.New("it redirects in a circle")
	}
	return nil
}

// within is the error of a URL of another host than the one that was asked.
func within(asked, next *url.URL) error {
	if next.Scheme == asked.Scheme && canonical(next) == canonical(asked) {
		return nil
	}
	return &RedirectError{To: line.Short(next.Scheme+"://"+next.Host, 100)}
}

// pinned asks one host only.
type pinned struct {
	http.RoundTripper
	only *url.URL
}

// RoundTrip implements http.RoundTripper.
func (p pinned) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := within(p.only, r.URL); err != nil {
		return nil, err
	}
	return p.RoundTripper.RoundTrip(r)
}

// HostPort returns where a service is reached, as host:port. It is named by a URL, or by what stands behind the https:// of
// one, as client-go takes a server.
func HostPort(service string) (string, error) {
	if !strings.Contains(service, "://") {
		service = "https://" + service
	}
	u, err := url.Parse(service)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("%s is no URL", line.Of(service))
	}
	return canonical(u), nil
}

// canonical is a URL's host with its port.
func canonical(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
