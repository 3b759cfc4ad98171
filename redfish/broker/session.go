package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rackplane/rackplane/fault"
)

const (
	rootPath = "/redfish/v1/"
	noPath   = ""
)

// session is how the door is logged in.
type session struct {
	credential
	path  string // of the session, to give it back; empty with Basic
	root  *Answer
	stale bool
}

// credential is what a request carries.
type credential struct {
	token string
	basic *Login
}

func (c credential) none() bool { return c.token == "" && c.basic == nil }

func (c credential) put(req *http.Request) {
	switch {
	case c.token != "":
		req.Header.Set("X-Auth-Token", c.token)
	case c.basic != nil:
		req.SetBasicAuth(c.basic.Username.Reveal(), c.basic.Password.Reveal())
	}
}

// latch refuses whoever would log in with what the BMC has refused.
func (d *Door) latch() error {
	d.mu.Lock()
	t := d.target
	d.mu.Unlock()
	if !d.broker.Refused(t) {
		return nil
	}
	return fault.New(fault.Denied, "the BMC at %s has refused user name and password of Secret %s; they are not tried again, "+
		"so that the account is not locked: correct the Secret", d.endpoint, t.Login.Secret)
}

// root answers for the service root, which was read to log in.
func (d *Door) root(path string) (Answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if strings.TrimRight(path, "/") != strings.TrimRight(rootPath, "/") || d.session.root == nil || d.session.stale || d.session.none() {
		return Answer{}, false
	}
	return *d.session.root, true
}

// authorise returns what to log in with, and makes a session when there is none. One caller does, the others wait for it.
func (d *Door) authorise(ctx context.Context, c Class) (credential, error) {
	if has, ok := d.current(); ok {
		return has, nil
	}
	d.login.Lock()
	defer d.login.Unlock()
	if has, ok := d.current(); ok {
		return has, nil
	}
	if err := d.latch(); err != nil {
		return credential{}, err // somebody else was refused meanwhile
	}
	d.giveBack(ctx, c)
	return d.logIn(ctx, c)
}

func (d *Door) current() (credential, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session.credential, !d.session.none() && !d.session.stale
}

// renew logs in again when the BMC knows the session no more, once: a password that was taken before may have changed.
func (d *Door) renew(ctx context.Context, c Class, old credential) (credential, error) {
	if old.basic != nil {
		return credential{}, d.refused(*old.basic)
	}
	d.login.Lock()
	defer d.login.Unlock()
	if has, ok := d.current(); ok && has != old {
		return has, nil
	}
	d.giveBack(ctx, c)
	return d.logIn(ctx, c)
}

// refused closes the latch.
func (d *Door) refused(l Login) error {
	d.broker.Refuse(Target{Endpoint: d.endpoint, Login: l})
	return d.latch()
}

// logIn reads where sessions are made and makes one; a BMC that names none is asked with Basic.
func (d *Door) logIn(ctx context.Context, c Class) (credential, error) {
	root, err := d.follow(ctx, request{class: c, method: http.MethodGet, path: rootPath}, credential{})
	if err != nil {
		return credential{}, err
	}
	d.mu.Lock()
	login := d.target.Login
	d.mu.Unlock()
	at, err := sessionsAt(root)
	if err != nil {
		return credential{}, fault.Wrap(fault.Transient, err, "the BMC at %s", d.endpoint)
	}
	d.mu.Lock()
	hidden := at == noPath && d.hasSessions
	d.hasSessions = d.hasSessions || at != noPath
	d.mu.Unlock()
	if hidden { // a BMC that starts may refuse everything for a while; that is no word on the password
		return credential{}, fault.New(fault.Transient, "the BMC at %s names no sessions, which it did before (%s answers %d)", d.endpoint, rootPath, root.Status)
	}
	var found session
	if root.Status == http.StatusOK {
		found.root = &root
	}
	if at != noPath {
		if found.token, found.path, err = d.makeSession(ctx, c, at, login); err != nil {
			return credential{}, err
		}
	}
	if found.token == "" {
		found.basic = &login
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	found.stale = !d.target.Login.same(login)
	d.session = found
	return found.credential, nil
}

// sessionsAt reads from a service root where sessions are made; noPath when it names none, or is not shown without a login.
func sessionsAt(root Answer) (string, error) {
	switch root.Status {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return noPath, nil
	default:
		return noPath, fmt.Errorf("%s answers %d", rootPath, root.Status)
	}
	var service struct {
		Links struct {
			Sessions struct {
				At string `json:"@odata.id"`
			}
		}
	}
	// A password is not sent to what only looks like a BMC for now.
	if err := json.Unmarshal(root.Body, &service); err != nil {
		return noPath, fmt.Errorf("%s is no Redfish service root", rootPath)
	}
	return ownPath(service.Links.Sessions.At), nil
}

// ownPath returns the path of a link; noPath when it leads away or nowhere.
func ownPath(link string) string {
	at, err := url.Parse(link)
	if err != nil || at.IsAbs() || at.Host != "" || !strings.HasPrefix(at.Path, "/") {
		return noPath
	}
	return at.EscapedPath()
}

// makeSession returns the token and path of a new session; an empty token when the BMC has no sessions after all.
func (d *Door) makeSession(ctx context.Context, c Class, at string, l Login) (token, path string, err error) {
	body, err := json.Marshal(map[string]string{"UserName": l.Username.Reveal(), "Password": l.Password.Reveal()})
	if err != nil {
		return "", "", errors.New("user name or password cannot be sent as JSON") // never with the error: it may quote them
	}
	a, err := d.follow(ctx, request{class: c, method: http.MethodPost, path: at, body: body}, credential{})
	switch {
	case err != nil:
		return "", "", err
	case a.Status < 300 && a.Header.Get("X-Auth-Token") != "":
		return a.Header.Get("X-Auth-Token"), sessionPath(a, at), nil
	case a.Status == http.StatusNotFound, a.Status == http.StatusMethodNotAllowed, a.Status == http.StatusNotImplemented:
		return "", "", nil
	case a.Status >= 500, strings.Contains(string(a.Body), "SessionLimit"), strings.Contains(string(a.Body), "RAC0218"):
		return "", "", fault.New(fault.Busy, "the BMC at %s gives no session (%d): all of them may be in use, see %s there", d.endpoint, a.Status, at)
	case a.Status >= 400:
		return "", "", d.refused(l) // some BMCs say 400 or 403 for a wrong password; none of these is tried twice
	default:
		return "", "", fault.New(fault.Transient, "the BMC at %s answers %d to a login, and no token", d.endpoint, a.Status)
	}
}

// sessionPath is where a session is given back. A Location that leads elsewhere is none.
func sessionPath(a Answer, under string) string {
	to, err := url.Parse(a.Header.Get("Location"))
	if err == nil && strings.HasPrefix(to.EscapedPath(), strings.TrimRight(under, "/")+"/") {
		return to.EscapedPath()
	}
	var made struct {
		At string `json:"@odata.id"`
	}
	if json.Unmarshal(a.Body, &made) == nil && strings.HasPrefix(made.At, strings.TrimRight(under, "/")+"/") {
		return made.At
	}
	return ""
}

// giveBack ends the session there is, if any. What comes of it is nobody's: the BMC ends it by itself some day.
func (d *Door) giveBack(ctx context.Context, c Class) {
	d.mu.Lock()
	was := d.session
	d.session = session{}
	d.mu.Unlock()
	if was.path != "" {
		_, _ = d.exchange(ctx, request{class: c, method: http.MethodDelete, path: was.path}, was.credential)
	}
}

// Leave gives the session back and closes the connections, also when the caller's time is up.
func (d *Door) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	d.login.Lock()
	defer d.login.Unlock()
	d.mu.Lock()
	was, client := d.session, d.http
	d.session = session{}
	d.forget()
	d.mu.Unlock()
	if client == nil {
		return nil
	}
	defer client.CloseIdleConnections()
	if was.path == "" {
		return nil
	}
	_, err := d.exchange(ctx, request{class: User, method: http.MethodDelete, path: was.path}, was.credential)
	return err
}
