package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
)

const (
	// connectTimeout is for dialling a BMC, handshakeTimeout for its TLS, readTimeout for one request as a whole.
	connectTimeout   = 10 * time.Second
	handshakeTimeout = 15 * time.Second
	readTimeout      = 60 * time.Second
	// bodyMost is the largest answer that is read.
	bodyMost = 8 << 20
	// keptMost is how much of what came with an ETag is kept per BMC.
	keptMost = 1 << 20
	// hopsMost is how many redirects within the BMC are followed.
	hopsMost = 3
)

// Answer is what a BMC answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// kept is an answer with the ETag it came with.
type kept struct {
	tag string
	Answer
}

// Door is the way in to one BMC.
type Door struct {
	broker   *Broker
	endpoint string
	gate     gate
	flight   singleflight.Group

	login sync.Mutex // held while a session is made or given back

	mu      sync.Mutex
	target  Target
	http    *http.Client
	session session
	// hasSessions is set once the BMC has named where sessions are made: then it is never asked with Basic.
	hasSessions bool
	purses      [classes]purse
	breaker     breaker
	kept        map[string]kept
	bytes       int
	used        time.Time
}

func newDoor(b *Broker, endpoint string) *Door {
	d := &Door{broker: b, endpoint: endpoint, kept: map[string]kept{}}
	for c, budget := range budgets() {
		d.purses[c].budget = budget
	}
	return d
}

// Endpoint returns where the BMC is.
func (d *Door) Endpoint() string { return d.endpoint }

// become takes over how the BMC is reached, when that is new.
func (d *Door) become(t Target) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	trust := d.http == nil || d.target.Trust != t.Trust
	if !trust && d.target.Login.same(t.Login) {
		return nil
	}
	if trust {
		config, err := t.Trust.config()
		if err != nil {
			return err
		}
		if d.http != nil {
			d.http.CloseIdleConnections()
		}
		d.http = &http.Client{
			Transport: &http.Transport{
				DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, TLSClientConfig: config, TLSHandshakeTimeout: handshakeTimeout,
				MaxConnsPerHost: flights, MaxIdleConnsPerHost: flights, IdleConnTimeout: idleSession, // no proxy: BMCs have a network of their own
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	d.target = t
	d.session.stale = true // it was made with the old login; the next request gives it back
	d.forget()
	return nil
}

func (d *Door) forget() {
	clear(d.kept)
	d.bytes = 0
}

func (d *Door) lastUsed() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// request is what a BMC is asked.
type request struct {
	class        Class
	method, path string
	header       http.Header
	body         []byte
}

// Get reads a resource. Those who ask for the same at the same time share one request.
func (d *Door) Get(ctx context.Context, c Class, path string) (Answer, error) {
	if a, ok := d.root(path); ok {
		return a, nil
	}
	shared := d.flight.DoChan(path, func() (any, error) {
		return d.read(context.WithoutCancel(ctx), c, path) // the first to ask may leave, the others still wait
	})
	select {
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case r := <-shared:
		if r.Err != nil {
			return Answer{}, r.Err
		}
		a, ok := r.Val.(Answer)
		if !ok {
			return Answer{}, fault.New(fault.Transient, "no answer")
		}
		return a, nil
	}
}

// read asks for a resource, and takes what is kept of it when that is still true.
func (d *Door) read(ctx context.Context, c Class, path string) (Answer, error) {
	d.mu.Lock()
	had, ok := d.kept[path]
	d.mu.Unlock()
	header := http.Header{}
	if ok {
		header.Set("If-None-Match", had.tag)
	}
	a, err := d.do(ctx, request{class: c, method: http.MethodGet, path: path, header: header})
	switch {
	case err != nil:
		return a, err
	case a.Status == http.StatusNotModified && ok:
		return had.Answer, nil
	case a.Status == http.StatusOK && a.Header.Get("Etag") != "":
		d.keep(path, kept{tag: a.Header.Get("Etag"), Answer: a})
	}
	return a, nil
}

func (d *Door) keep(path string, k kept) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bytes += len(k.Body) - len(d.kept[path].Body); d.bytes > keptMost {
		d.forget()
		return
	}
	d.kept[path] = k
}

// Change is what a BMC is asked to do.
type Change struct {
	Method, Path string
	Header       http.Header
	Body         []byte
}

// Send changes something. It is never sent twice, but when the BMC has refused it for want of a login; what was kept of
// this BMC is forgotten.
func (d *Door) Send(ctx context.Context, c Class, what Change) (Answer, error) {
	a, err := d.do(ctx, request{class: c, method: what.Method, path: what.Path, header: what.Header, body: what.Body})
	d.mu.Lock()
	d.forget()
	d.mu.Unlock()
	return a, err
}

// do lets a request in when its time has come, logged in.
func (d *Door) do(ctx context.Context, r request) (Answer, error) {
	if err := d.admit(r.class); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	auth, err := d.authorise(ctx, r.class)
	if err != nil {
		return Answer{}, err
	}
	a, err := d.follow(ctx, r, auth)
	if err != nil || a.Status != http.StatusUnauthorized {
		return a, err
	}
	if auth, err = d.renew(ctx, r.class, auth); err != nil {
		return Answer{}, err
	}
	if a, err = d.follow(ctx, r, auth); err == nil && a.Status == http.StatusUnauthorized {
		return a, fault.New(fault.Denied, "the BMC at %s answers 401 to %s although it has just taken the login: give the account of Secret %s the rights for it",
			d.endpoint, r.path, d.secretName())
	}
	return a, err
}

func (d *Door) secretName() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.target.Login.Secret
}

// admit refuses what must not reach the BMC now.
func (d *Door) admit(c Class) error {
	if err := d.latch(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.broker.clock.Now()
	d.used = now
	if left, why := d.breaker.open(now); left > 0 {
		return fault.Wrap(fault.Transient, why, "the BMC at %s did not answer and is left alone for another %s", d.endpoint, left.Round(time.Second))
	}
	if left, ok := d.purses[c].spend(now); !ok {
		return fault.New(fault.Busy, "the BMC at %s was asked often enough for %s; the next request is due in %s", d.endpoint, c, left.Round(time.Second))
	}
	return nil
}

// follow sends a request and goes after redirects within the BMC; it never goes to another host, whatever it carries.
func (d *Door) follow(ctx context.Context, r request, auth credential) (Answer, error) {
	for range hopsMost + 1 {
		a, err := d.exchange(ctx, r, auth)
		if err != nil || a.Status < 300 || a.Status > 399 || a.Status == http.StatusNotModified {
			return a, err
		}
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || (to.Host != "" && to.Scheme+"://"+to.Host != d.endpoint) {
			return a, fault.New(fault.Rejected, "the BMC at %s sends %s %s to another host (%s), which is not followed: put that address into spec.bmc.address if it is right",
				d.endpoint, r.method, r.path, line.Short(line.Address(a.Header.Get("Location")), 200))
		}
		if r.method != http.MethodGet {
			return a, fault.New(fault.Transient, "the BMC at %s sends %s %s elsewhere, which is not followed", d.endpoint, r.method, r.path)
		}
		if r.path = to.EscapedPath(); to.RawQuery != "" {
			r.path += "?" + to.RawQuery
		}
	}
	return Answer{}, fault.New(fault.Transient, "the BMC at %s redirects without end (%s)", d.endpoint, r.path)
}

// exchange sends one request when it is its turn and reads the whole answer.
func (d *Door) exchange(ctx context.Context, r request, auth credential) (Answer, error) {
	if err := d.gate.enter(ctx, r.class); err != nil {
		return Answer{}, fault.Wrap(fault.Busy, err, "the BMC at %s is busy with others", d.endpoint)
	}
	var took time.Duration
	defer func() { d.gate.leave(took) }()
	req, err := http.NewRequestWithContext(ctx, r.method, d.endpoint+r.path, bytes.NewReader(r.body))
	if err != nil {
		return Answer{}, fault.Wrap(fault.Transient, err, "the BMC at %s names a path that is none", d.endpoint)
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("Accept", "application/json")
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	auth.put(req)
	d.mu.Lock()
	client := d.http
	d.mu.Unlock()
	began := d.broker.clock.Now()
	a, err := exchanged(client, req)
	took = d.broker.clock.Now().Sub(began)
	d.judge(ctx, a, err)
	if err != nil {
		return a, d.classify(r, err)
	}
	return a, nil
}

var errTooLong = errors.New("the answer is longer than 8 MiB")

func exchanged(client *http.Client, req *http.Request) (Answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyMost+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("the answer ends before its end: %w", err)
	case len(body) > bodyMost:
		return Answer{}, errTooLong
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// judge tells the breaker what came of a request. A caller that has gone says nothing about the BMC.
func (d *Door) judge(ctx context.Context, a Answer, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.broker.clock.Now()
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
	case err != nil:
		d.breaker.silent(now, errors.New(line.Short(plainText(err), 300)))
	case a.Status == http.StatusServiceUnavailable:
		d.breaker.silent(now, errors.New("it answers 503"))
	default:
		d.breaker.answered()
	}
}

// plainText leaves the URL out of an error of net/http: it is named already.
func plainText(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err.Error()
	}
	return err.Error()
}

func (d *Door) classify(r request, err error) error {
	if reason := untrusted(err); reason != nil {
		return fault.Wrap(fault.Rejected, reason, "%s is not asked", d.endpoint)
	}
	path, _, _ := strings.Cut(r.path, "?")
	return fault.New(fault.Transient, "the BMC at %s: %s %s: %s", d.endpoint, r.method, path, line.Short(plainText(err), 300))
}
