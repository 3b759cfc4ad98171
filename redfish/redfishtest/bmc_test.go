package redfishtest

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// asker is a client with one login.
type asker struct {
	t     *testing.T
	bmc   *BMC
	http  *http.Client
	token string
}

func startFor(t *testing.T, name string) asker {
	t.Helper()
	p, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	b := Start(p)
	t.Cleanup(b.Close)
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       10 * time.Second,
	}
	t.Cleanup(client.CloseIdleConnections)
	return asker{t: t, bmc: b, http: client}
}

// ask returns status, header and document of an answer; status 0 when there was none.
func (a *asker) ask(method, path, body string, header ...string) (int, http.Header, resource) {
	a.t.Helper()
	req, err := http.NewRequest(method, a.bmc.URL()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if a.token != "" {
		req.Header.Set("X-Auth-Token", a.token)
	} else {
		req.SetBasicAuth(User, Password)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, nil, nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, resp.Header, nil
	}
	var out resource
	_ = json.Unmarshal(data, &out)
	return resp.StatusCode, resp.Header, out
}

func (a *asker) want(status int, method, path, body string, header ...string) resource {
	a.t.Helper()
	got, _, out := a.ask(method, path, body, header...)
	if got != status {
		a.t.Fatalf("%s: %s %s answers %d, want %d: %v", a.bmc.Profile().Name, method, path, got, status, out)
	}
	return out
}

// TestTreesAreWhole: every link of every profile leads somewhere, but those that the profile says lead nowhere.
func TestTreesAreWhole(t *testing.T) {
	t.Parallel()
	if len(Names()) != 6 {
		t.Fatal(Names())
	}
	for _, name := range Names() {
		a := startFor(t, name)
		seen := map[string]bool{root: true}
		for todo := []string{root}; len(todo) > 0; todo = todo[1:] {
			status, _, doc := a.ask(http.MethodGet, todo[0], "")
			if want := a.bmc.profile.Status[todo[0]]; status != http.StatusOK && status != want {
				t.Errorf("%s: %s answers %d", name, todo[0], status)
			}
			for _, to := range linksOf(doc) {
				if !seen[to] && !strings.HasSuffix(to, "/Sessions") && !strings.HasSuffix(to, "/Sessions/") {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		if len(seen) < 12 {
			t.Errorf("%s: only %d resources", name, len(seen))
		}
	}
}

func linksOf(value any) []string {
	var out []string
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if to, ok := inner.(string); ok && name == "@odata.id" {
				out = append(out, to)
				continue
			}
			out = append(out, linksOf(inner)...)
		}
	case []any:
		for _, inner := range v {
			out = append(out, linksOf(inner)...)
		}
	}
	return out
}

func TestSessions(t *testing.T) {
	t.Parallel()
	a := startFor(t, "supermicro")
	login := `{"UserName":"admin","Password":"` + Password + `"}`
	for range 4 {
		status, header, _ := a.ask(http.MethodPost, a.bmc.profile.Sessions, login)
		if status != http.StatusCreated {
			t.Fatal(status)
		}
		a.token = header.Get("X-Auth-Token")
		defer a.want(http.StatusNoContent, http.MethodDelete, header.Get("Location"), "")
	}
	a.want(http.StatusServiceUnavailable, http.MethodPost, a.bmc.profile.Sessions, login)
	a.want(http.StatusUnauthorized, http.MethodPost, a.bmc.profile.Sessions, `{"UserName":"admin","Password":"no"}`)
	a.want(http.StatusOK, http.MethodGet, a.bmc.SystemPath(), "")
	if c := a.bmc.Counts(); c.SessionsOpen != 4 || c.SessionsMade != 4 || c.LoginsRefused != 1 {
		t.Errorf("%+v", c)
	}
	a.bmc.ForgetSessions()
	a.want(http.StatusUnauthorized, http.MethodGet, a.bmc.SystemPath(), "")
	a.token = ""
}

// TestPowerIsLate: a change shows after so many reads, a job does nothing before it has ended, Once is taken back at the boot.
func TestPowerIsLate(t *testing.T) {
	t.Parallel()
	a := startFor(t, "dell")
	system := a.bmc.SystemPath()
	a.want(http.StatusOK, http.MethodPatch, system, `{"Boot":{"BootSourceOverrideTarget":"Cd","BootSourceOverrideEnabled":"Once"}}`)
	a.want(http.StatusBadRequest, http.MethodPatch, system, `{"Boot":{"BootSourceOverrideTarget":"Tape"}}`)
	a.want(http.StatusBadRequest, http.MethodPost, system+resetFor, `{"ResetType":"Nothing"}`)
	status, header, _ := a.ask(http.MethodPost, system+resetFor, `{"ResetType":"On"}`)
	if status != http.StatusAccepted || a.bmc.Power() != "Off" {
		t.Fatal(status, a.bmc.Power())
	}
	for _, want := range []string{"Running", "Completed"} {
		if got := a.want(http.StatusOK, http.MethodGet, header.Get("Location"), "")["TaskState"]; got != want {
			t.Fatal(got)
		}
	}
	for i, want := range []string{"Off", "Off", "On"} {
		doc := a.want(http.StatusOK, http.MethodGet, system, "")
		if doc["PowerState"] != want {
			t.Errorf("read %d: %v", i, doc["PowerState"])
		}
		if boot := doc["Boot"].(resource); boot["BootSourceOverrideEnabled"] != "Disabled" {
			t.Errorf("read %d: %v", i, boot)
		}
	}
	if a.bmc.Power() != "On" || a.bmc.Counts().Resets != 1 {
		t.Error(a.bmc.Power(), a.bmc.Counts())
	}
}

func TestETagsAndMedia(t *testing.T) {
	t.Parallel()
	a := startFor(t, "lenovo")
	media := a.bmc.profile.media()
	_, header, _ := a.ask(http.MethodGet, media, "")
	tag := header.Get("Etag")
	a.want(http.StatusNotModified, http.MethodGet, media, "", "If-None-Match", tag)
	a.want(http.StatusPreconditionRequired, http.MethodPatch, media, `{"Image":"http://images/a.iso"}`)
	a.want(http.StatusOK, http.MethodPatch, media, `{"Image":"http://images/a.iso"}`, "If-Match", tag)
	a.want(http.StatusPreconditionFailed, http.MethodPatch, media, `{"Image":"http://images/b.iso"}`, "If-Match", tag)
	a.want(http.StatusOK, http.MethodGet, media, "", "If-None-Match", tag)
	if a.bmc.Image() != "http://images/a.iso" {
		t.Error(a.bmc.Image())
	}
	members := a.want(http.StatusOK, http.MethodGet, a.bmc.SystemPath()+"/Memory?$expand=.", "")["Members"].([]any)
	if len(members) != 2 || members[0].(resource)["CapacityMiB"] != 65536.0 {
		t.Error(members)
	}
}

// TestFaults: each kind happens as often as it was asked for, and does what it says and no more.
func TestFaults(t *testing.T) {
	t.Parallel()
	a := startFor(t, "hpe")
	press := func() int {
		status, _, _ := a.ask(http.MethodPost, a.bmc.SystemPath()+resetFor, `{"ResetType":"ForceRestart"}`)
		return status
	}
	for _, c := range []struct {
		kind           Kind
		status, resets int
	}{
		{Lost, 0, 0},
		{Duplicated, http.StatusNoContent, 2},
		{Unanswered, 0, 1},
		{Unauthorized, http.StatusUnauthorized, 0},
		{Unavailable, http.StatusServiceUnavailable, 0},
		{RedirectLoop, http.StatusTemporaryRedirect, 0},
		{RedirectAway, http.StatusTemporaryRedirect, 0},
		{Ignored, http.StatusNoContent, 0},
		{Garbage, http.StatusOK, 0},
		{Delayed, http.StatusNoContent, 1},
		{ClockSkew, http.StatusNoContent, 1},
	} {
		a.bmc.ResetCounts()
		a.bmc.Fail(Fault{Kind: c.kind, Method: http.MethodPost, Times: 1})
		if got := press(); got != c.status || a.bmc.Counts().Resets != c.resets {
			t.Errorf("%s: answer %d, resets %d, want %d and %d", c.kind, got, a.bmc.Counts().Resets, c.status, c.resets)
		}
		if got := press(); got != http.StatusNoContent {
			t.Errorf("%s: it happens twice: %d", c.kind, got)
		}
	}
	a.bmc.Fail(Fault{Kind: Truncated, Times: 1})
	if status, _, _ := a.ask(http.MethodGet, a.bmc.SystemPath(), ""); status != 0 {
		t.Error("a truncated answer was read whole")
	}
	a.bmc.Fail(Fault{Kind: WrongTypes, Times: 1})
	if doc := a.want(http.StatusOK, http.MethodGet, a.bmc.SystemPath(), ""); doc["PowerState"] != 7.0 || doc["@odata.id"] != a.bmc.SystemPath() {
		t.Error(doc)
	}
}
