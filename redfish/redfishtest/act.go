package redfishtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is what a request is answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// task is a job that ends after so many reads.
type task struct {
	left int
	then func()
}

func said(status int, body any) answer {
	if body == nil {
		return answer{status: status}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // the tree is made of what JSON knows
	}
	return answer{status: status, body: data}
}

func refused(status int, message string) answer {
	return said(status, resource{"error": resource{
		"code": message, "message": "A general error has occurred.",
		"@Message.ExtendedInfo": []any{resource{"MessageId": message, "Message": message}},
	}})
}

func refuse(w http.ResponseWriter, status int, message string) {
	a := refused(status, message)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// late waits for the fault's delay, or until nobody waits for the answer any more.
func (b *BMC) late(r *http.Request, f Fault) {
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-b.gone:
	}
}

// do is the whole BMC: who asks, what for, and what becomes of it.
func (b *BMC) do(r *http.Request, body []byte) answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := strings.TrimRight(r.URL.Path, "/")
	var in resource
	if len(body) > 0 && json.Unmarshal(body, &in) != nil {
		return refused(http.StatusBadRequest, "Base.1.0.MalformedJSON")
	}
	sessions := strings.TrimRight(b.profile.Sessions, "/")
	switch {
	case r.Method == http.MethodGet && (path == root || path == "/redfish"):
		return b.get(r, path)
	case r.Method == http.MethodPost && path == sessions && sessions != "":
		return b.login(in)
	case !b.known(r):
		return refused(http.StatusUnauthorized, "Base.1.0.NoValidSession")
	case r.Method == http.MethodDelete && sessions != "" && strings.HasPrefix(path, sessions+"/"):
		return b.logout(path)
	default:
		return b.act(r, path, in)
	}
}

// act does what somebody who is known asks for.
func (b *BMC) act(r *http.Request, path string, in resource) answer {
	switch r.Method {
	case http.MethodGet:
		return b.get(r, path)
	case http.MethodPatch:
		return b.patch(r, path, in)
	case http.MethodPost:
		return b.post(path, in)
	default:
		return refused(http.StatusMethodNotAllowed, "Base.1.0.OperationNotAllowed")
	}
}

func (b *BMC) known(r *http.Request) bool {
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		return b.sessions[token] != ""
	}
	user, password, ok := r.BasicAuth()
	if !ok || !b.profile.Basic {
		return false
	}
	if user == User && password == b.password {
		return true
	}
	b.counts.LoginsRefused++
	return false
}

func (b *BMC) login(in resource) answer {
	if in["UserName"] != User || in["Password"] != b.password {
		b.counts.LoginsRefused++
		return refused(http.StatusUnauthorized, "Base.1.0.ResourceAtUriUnauthorized")
	}
	if len(b.sessions) >= b.profile.SessionCap {
		return refused(b.profile.SessionFull, "Base.1.0.SessionLimitExceeded")
	}
	b.nextID++
	b.counts.SessionsMade++
	token, path := fmt.Sprintf("token-%d", b.nextID), fmt.Sprintf("%s/%d", strings.TrimRight(b.profile.Sessions, "/"), b.nextID)
	b.sessions[token] = path
	a := said(http.StatusCreated, resource{"@odata.id": path, "Id": strconv.Itoa(b.nextID), "UserName": User})
	a.header = http.Header{"X-Auth-Token": {token}, "Location": {path}}
	return a
}

// logout ends the session of a path.
func (b *BMC) logout(path string) answer {
	for token, at := range b.sessions {
		if at == path {
			delete(b.sessions, token)
		}
	}
	return answer{status: http.StatusNoContent}
}

func (b *BMC) etag(path string) string {
	return fmt.Sprintf("W/\"%x-%d\"", len(path), b.versions[path])
}

func (b *BMC) get(r *http.Request, path string) answer {
	if status := b.profile.Status[path]; status != 0 {
		return refused(status, "Base.1.0.GeneralError")
	}
	if path == "/redfish" {
		return said(http.StatusOK, resource{"v1": root + "/"})
	}
	found, ok := b.tree[path]
	if t := b.running[path]; t != nil {
		return b.poll(path, t)
	}
	if !ok {
		return refused(http.StatusNotFound, "Base.1.0.ResourceMissingAtURI")
	}
	if path == b.profile.system() {
		b.settle()
	}
	var header http.Header
	if b.profile.ETags {
		header = http.Header{"Etag": {b.etag(path)}}
		if r.Header.Get("If-None-Match") == b.etag(path) {
			b.counts.NotModified++
			return answer{status: http.StatusNotModified, header: header}
		}
	}
	if b.profile.Expand && r.URL.Query().Has("$expand") {
		found = b.expanded(found)
	}
	a := said(http.StatusOK, found)
	a.header = header
	return a
}

// expanded puts the members of a collection in the place of their links.
func (b *BMC) expanded(c resource) resource {
	members, ok := c["Members"].([]any)
	if !ok {
		return c
	}
	out := maps.Clone(c)
	whole := make([]any, 0, len(members))
	for _, m := range members {
		path, _ := m.(resource)["@odata.id"].(string)
		if b.tree[path] == nil || b.profile.Status[path] != 0 {
			whole = append(whole, m)
			continue
		}
		whole = append(whole, b.tree[path])
	}
	out["Members"] = whole
	return out
}

// settle lets a change of power show once it was asked for often enough.
func (b *BMC) settle() {
	if b.pending == "" {
		return
	}
	if b.lag--; b.lag < 0 {
		b.tree[b.profile.system()]["PowerState"] = b.pending
		b.pending = ""
		b.versions[b.profile.system()]++
	}
}

func (b *BMC) patch(r *http.Request, path string, in resource) answer {
	found, ok := b.tree[path]
	if !ok {
		return refused(http.StatusNotFound, "Base.1.0.ResourceMissingAtURI")
	}
	match := r.Header.Get("If-Match")
	switch {
	case b.profile.IfMatch && match == "":
		return refused(http.StatusPreconditionRequired, "Base.1.0.PreconditionRequired")
	case b.profile.ETags && match != "" && match != b.etag(path):
		return refused(http.StatusPreconditionFailed, "Base.1.0.PreconditionFailed")
	}
	boot, isBoot := in["Boot"].(resource)
	switch {
	case path == b.profile.system() && isBoot:
		if a, ok := b.patchBoot(found, boot); !ok {
			return a
		}
	case path == b.profile.media() && b.profile.MediaByPatch:
		b.insert(in)
	default:
		return refused(http.StatusMethodNotAllowed, "Base.1.0.OperationNotAllowed")
	}
	b.counts.Patches++
	b.versions[path]++
	return said(http.StatusOK, found)
}

func (b *BMC) patchBoot(system, boot resource) (answer, bool) {
	is := system["Boot"].(resource)
	target, hasTarget := boot["BootSourceOverrideTarget"].(string)
	if hasTarget && !slices.Contains(b.profile.BootTargets, target) {
		return refused(http.StatusBadRequest, "Base.1.0.PropertyValueNotInList"), false
	}
	for _, name := range []string{"BootSourceOverrideEnabled", "BootSourceOverrideTarget", "BootSourceOverrideMode", "HttpBootUri"} {
		if value, ok := boot[name]; ok {
			is[name] = value
		}
	}
	if b.profile.StickyBoot && is["BootSourceOverrideEnabled"] == "Once" {
		is["BootSourceOverrideEnabled"] = "Continuous"
	}
	return answer{}, true
}

func (b *BMC) post(path string, in resource) answer {
	media := b.profile.media() + "/Actions/VirtualMedia."
	switch {
	case path == b.profile.system()+resetFor:
		return b.reset(in)
	case b.profile.MediaByPatch && strings.HasPrefix(path, media):
		return refused(http.StatusNotFound, "Base.1.0.ResourceMissingAtURI")
	case path == media+"InsertMedia":
		if image, _ := in["Image"].(string); image == "" {
			return refused(http.StatusBadRequest, "Base.1.0.ActionParameterMissing")
		}
		if b.tree[b.profile.media()]["Inserted"] == true {
			return refused(http.StatusConflict, "Base.1.0.ResourceInUse")
		}
		return b.asTask(func() { b.insert(in) })
	case path == media+"EjectMedia":
		return b.asTask(func() { b.insert(resource{"Image": nil, "Inserted": false}) })
	default:
		return refused(http.StatusNotFound, "Base.1.0.ResourceMissingAtURI")
	}
}

// insert puts an image in the virtual CD drive, or takes it out.
func (b *BMC) insert(in resource) {
	cd := b.tree[b.profile.media()]
	image, _ := in["Image"].(string)
	cd["Image"], cd["Inserted"], cd["ConnectedVia"] = nil, false, "NotConnected"
	if image != "" {
		b.counts.Inserts++
		cd["Image"], cd["Inserted"], cd["ConnectedVia"] = image, in["Inserted"] != false, "URI"
	}
	b.versions[b.profile.media()]++
}

func (b *BMC) reset(in resource) answer {
	kind, _ := in["ResetType"].(string)
	if !slices.Contains(b.profile.ResetTypes, kind) {
		if b.profile.IgnoresUnknown {
			return answer{status: http.StatusNoContent}
		}
		return refused(http.StatusBadRequest, "Base.1.0.ActionParameterNotSupported")
	}
	return b.asTask(func() { b.press(kind) })
}

// press does to the server what a reset type means.
func (b *BMC) press(kind string) {
	system := b.tree[b.profile.system()]
	is := system["PowerState"].(string)
	if b.pending != "" {
		is = b.pending
	}
	wanted := is
	switch kind {
	case "On", "ForceOn", "ForceRestart", "PowerCycle", "GracefulRestart":
		wanted = "On"
	case "ForceOff", "GracefulShutdown":
		wanted = "Off"
	case "PushPowerButton":
		wanted = map[string]string{"On": "Off", "Off": "On"}[is]
	}
	boots := wanted == "On" && (is == "Off" || kind != "On" && kind != "ForceOn")
	boot := system["Boot"].(resource)
	if boots && boot["BootSourceOverrideEnabled"] == "Once" {
		boot["BootSourceOverrideEnabled"], boot["BootSourceOverrideTarget"] = "Disabled", "None"
	}
	if wanted != is || boots {
		b.counts.Resets++
	}
	if wanted == is {
		return
	}
	b.pending, b.lag = wanted, b.profile.PowerLag
	if b.lag == 0 {
		b.settle()
	}
}

// asTask does it at once, or answers with a task that does it when it ends.
func (b *BMC) asTask(then func()) answer {
	if b.profile.TaskReads == 0 {
		then()
		return answer{status: http.StatusNoContent}
	}
	b.nextID++
	path := fmt.Sprintf("%s/JID_%d", tasks, b.nextID)
	b.running[path] = &task{left: b.profile.TaskReads, then: then}
	a := said(http.StatusAccepted, resource{"@odata.id": path, "Id": fmt.Sprintf("JID_%d", b.nextID), "TaskState": "New"})
	a.header = http.Header{"Location": {path}}
	return a
}

func (b *BMC) poll(path string, t *task) answer {
	if t.left--; t.left == 0 {
		t.then()
	}
	state := resource{"@odata.id": path, "Id": path[strings.LastIndex(path, "/")+1:], "TaskState": "Running", "TaskStatus": "OK", "PercentComplete": 50}
	if t.left <= 0 {
		state["TaskState"], state["PercentComplete"] = "Completed", 100
	}
	return said(http.StatusOK, state)
}
