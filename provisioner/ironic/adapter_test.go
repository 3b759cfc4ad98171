package ironic

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/wire/wiretest"
)

const (
	uid      = "11111111-0000-4000-8000-000000000001"
	password = "hunter2-secret"
)

// server is an Ironic with one node and answers that tests put in its way.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	version string
	node    map[string]any                  // nil: 404
	others  []map[string]any                // listed beside it
	answers map[string]func() (int, string) // by "METHOD path"
	log     []string
	bodies  map[string]string
	heard   []string // microversions
	date    string   // what its clock shows; empty is the real one
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{version: "1.115", others: []map[string]any{}, answers: map[string]func() (int, string){}, bodies: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1")
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodGet {
		s.log = append(s.log, what)
		s.bodies[what] = string(body)
	}
	s.heard = append(s.heard, r.Header.Get("X-OpenStack-Ironic-API-Version"))
	w.Header().Set("Content-Type", "application/json")
	if s.date != "" {
		w.Header().Set("Date", s.date)
	}
	if answer := s.answers[what]; answer != nil {
		code, text := answer()
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
		return
	}
	code, reply := s.reply(what, r)
	w.WriteHeader(code)
	if reply != nil {
		_, _ = w.Write(toJSON(reply))
	}
}

func (s *server) reply(what string, r *http.Request) (int, any) {
	switch {
	case what == "GET /":
		return http.StatusOK, map[string]any{"id": "v1", "version": map[string]string{"version": s.version}}
	case what == "GET /nodes":
		return http.StatusOK, map[string]any{"nodes": s.others}
	case what == "POST /nodes":
		s.node = map[string]any{"uuid": "n1", "name": "metal~h1", "provision_state": "enroll"}
		return http.StatusCreated, s.node
	case strings.HasPrefix(what, "GET /ports"):
		return http.StatusOK, map[string]any{"ports": []any{}}
	case what == "POST /ports":
		return http.StatusCreated, map[string]any{"uuid": "p1"}
	case strings.HasPrefix(r.URL.Path, "/v1/nodes/") && s.node == nil:
		return http.StatusNotFound, said("Node metal~h1 could not be found.")
	case r.Method == http.MethodPut || what == "DELETE /nodes/n1/maintenance":
		return http.StatusAccepted, nil
	case r.Method == http.MethodDelete:
		return http.StatusNoContent, nil
	default:
		return http.StatusOK, s.node
	}
}

// said is an Ironic error body: JSON in a string in JSON.
func said(text string) map[string]string {
	return map[string]string{"error_message": string(toJSON(map[string]string{"faultstring": text, "faultcode": "Client"}))}
}

func toJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func saying(code int, text string) func() (int, string) {
	return func() (int, string) { return code, string(toJSON(said(text))) }
}

func (s *server) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{Endpoint: s.URL, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wanted() provisioner.Want {
	return provisioner.Want{
		Host: provisioner.HostID{Namespace: "metal", Name: "h1", UID: uid},
		BMC: bmc.Access{
			Address: "redfish-virtualmedia://bmc1/redfish/v1/Systems/1", Username: "admin", Password: password, CredentialsVersion: "7",
		},
		BootMAC: "52:54:00:AA:00:01", BootMode: metal3v1alpha1.UEFI, Online: true,
		Image: &provisioner.Image{URL: "http://images/a", Checksum: strings.Repeat("a", 64), ChecksumType: "sha256", Format: "qcow2"},
	}
}

func node(state provisioner.NodeState) map[string]any {
	return map[string]any{
		"uuid": "n1", "name": "metal~h1", "provision_state": string(state), "extra": map[string]any{extraHostUID: uid},
	}
}

func TestFaultKinds(t *testing.T) {
	t.Parallel()
	const locked = "Node n1 is locked by host c1, please retry after the current operation is completed."
	for name, c := range map[string]struct {
		answer func() (int, string)
		kind   fault.Kind
		text   string
	}{
		"locked":       {saying(409, locked), fault.Busy, "is locked by host"},
		"unauthorized": {saying(401, "Incorrect username or password"), fault.Denied, "Incorrect username"},
		"forbidden":    {saying(403, "no"), fault.Denied, "refuses our credentials"},
		"bad request":  {saying(400, "Missing parameter"), fault.Rejected, "Missing parameter"},
		"too new":      {saying(406, "Version not acceptable"), fault.Rejected, "Version not acceptable"},
		"moved on": {
			saying(400, `The requested action "manage" can not be performed on node "n1" while it is in state "deploying".`), fault.Lost, "while it is in state",
		},
		"no lock":      {saying(409, "Node n1 can not have boot_interface updated unless it is in one of allowed (enroll, manageable) states or in maintenance mode."), fault.Rejected, "can not have boot_interface updated"},
		"associated":   {saying(409, "Node n1 is associated with instance 5."), fault.Rejected, "associated with instance"},
		"twice":        {saying(409, "A node with name metal~h1 already exists."), fault.Rejected, "already exists"},
		"protected":    {saying(403, "Node n1 is protected and cannot be undeployed, rebuilt or deleted"), fault.Rejected, "--protected"},
		"no conductor": {saying(404, "No valid host was found. Reason: No conductor service registered which supports driver redfish for conductor group ''."), fault.Rejected, "No conductor"},
		"a proxy's":    {func() (int, string) { return 404, "<html>not here</html>" }, fault.Transient, "is not Ironic"},
		"a gateway's":  {func() (int, string) { return 409, "" }, fault.Transient, "is not Ironic"},
		"the limit":    {saying(503, "Unable to process request at this time. The concurrent limit of 250 for deployment has been reached."), fault.Transient, "at once"},
		"in care":      {saying(400, "The provisioning operation can't be performed on node n1 because it's in maintenance mode."), fault.Rejected, "maintenance unset"},
		"no workers":   {saying(503, "Requested action cannot be performed due to lack of free conductor workers."), fault.Transient, "lack of free"},
		"broken":       {func() (int, string) { return 500, "<html>\n<body>oops" }, fault.Transient, "Internal Server Error"},
		"gateway":      {func() (int, string) { return 502, "" }, fault.Transient, "Bad Gateway"},
		"gone":         {saying(404, "Node n1 could not be found."), fault.Missing, "could not be found"},
		"many lines":   {saying(400, "a\nb\tc"), fault.Rejected, "a b c"},
		"with a login": {saying(400, "cannot reach https://root:"+password+"@bmc1/"), fault.Rejected, "https://[redacted]@bmc1/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.node = node(provisioner.StateEnroll)
			s.answers["PUT /nodes/n1/states/provision"] = c.answer
			err := s.client(t).Do(t.Context(), wanted(), provisioner.Manage)
			if !fault.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("%s: %v, want %s with %q", fault.KindOf(err), err, c.kind, c.text)
			}
			if strings.Contains(fmt.Sprint(err), password) || strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client(t)
	s.Close()
	_, err := c.Observe(t.Context(), wanted().Host)
	if !fault.Is(err, fault.Transient) || !strings.HasSuffix(err.Error(), "does not answer: connection refused") {
		t.Errorf("down: %v", err)
	}

	s = newServer(t)
	c = s.client(t)
	c.service.HTTPClient.Timeout = 20 * time.Millisecond
	s.answers["GET /"] = func() (int, string) { time.Sleep(100 * time.Millisecond); return 200, "{}" }
	_, err = c.Observe(t.Context(), wanted().Host)
	if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("hanging: %v", err)
	}
}

func TestMicroversions(t *testing.T) {
	t.Parallel()
	for offered, want := range map[string]string{"1.81": "1.81", "1.99": "1.99", "1.115": "1.110"} {
		s := newServer(t)
		s.version, s.node = offered, node(provisioner.StateEnroll)
		if _, err := s.client(t).Observe(t.Context(), wanted().Host); err != nil {
			t.Fatal(err)
		}
		if got := s.heard[len(s.heard)-1]; got != want {
			t.Errorf("Ironic offers %s: spoke %s, want %s", offered, got, want)
		}
	}
	s := newServer(t)
	s.version = "1.65"
	if _, err := s.client(t).Observe(t.Context(), wanted().Host); !fault.Is(err, fault.Unsupported) {
		t.Errorf("an old Ironic: %v", err)
	}
}

func TestRegisterCreatesThenRecords(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client(t)
	if err := c.Do(t.Context(), wanted(), provisioner.Register); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"POST /nodes", "POST /ports", "PATCH /nodes/n1"}, s.log); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	var made struct {
		Name       string            `json:"name"`
		Driver     string            `json:"driver"`
		Boot       string            `json:"boot_interface"`
		Info       map[string]any    `json:"driver_info"`
		Extra      map[string]string `json:"extra"`
		Properties map[string]any    `json:"properties"`
	}
	if err := json.Unmarshal([]byte(s.bodies["POST /nodes"]), &made); err != nil {
		t.Fatal(err)
	}
	if made.Name != "metal~h1" || made.Driver != "redfish" || made.Boot != "redfish-virtual-media" ||
		made.Info["redfish_password"] != password || made.Extra[extraHostUID] != uid || made.Properties["capabilities"] != "boot_mode:uefi" {
		t.Errorf("made %+v", made)
	}
	if made.Extra[extraRegistration] != "" {
		t.Error("the registration is recorded before the port exists")
	}
	if !strings.Contains(s.bodies["PATCH /nodes/n1"], wanted().Registration()) {
		t.Errorf("not recorded: %s", s.bodies["PATCH /nodes/n1"])
	}
	if !strings.Contains(s.bodies["POST /ports"], "52:54:00:aa:00:01") {
		t.Errorf("port: %s", s.bodies["POST /ports"])
	}
}

func TestRegisterWithATakenMAC(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answers["POST /ports"] = saying(409, "A port with MAC address 52:54:00:aa:00:01 already exists.")
	err := s.client(t).Do(t.Context(), wanted(), provisioner.Register)
	if !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "spec.bootMACAddress 52:54:00:AA:00:01") {
		t.Errorf("%v", err)
	}
	if slices.Contains(s.log, "PATCH /nodes/n1") {
		t.Error("recorded as registered all the same")
	}
	s.answers["POST /ports"] = saying(409, "Node n1 is locked by host c1, please retry.")
	if err := s.client(t).Do(t.Context(), wanted(), provisioner.Register); !fault.Is(err, fault.Busy) {
		t.Errorf("locked: %v", err)
	}
}

func TestRegisterUpdatesEverySetting(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateActive)
	s.node["properties"] = map[string]any{"root_device": map[string]any{"name": "s== /dev/sdz"}, "local_gb": 10}
	s.node["maintenance"], s.node["fault"] = true, provisioner.FaultPower
	want := wanted()
	want.SkipCleaning, want.BootMAC = true, ""
	if err := s.client(t).Do(t.Context(), want, provisioner.Register); err != nil {
		t.Fatal(err)
	}
	var patch []struct {
		Op, Path string
		Value    any
	}
	if err := json.Unmarshal([]byte(s.bodies["PATCH /nodes/n1"]), &patch); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, p := range patch {
		got[p.Op+" "+p.Path] = p.Value
	}
	if got["add /automated_clean"] != false || got["add /driver"] != "redfish" || got["add /extra/"+extraRegistration] != want.Registration() {
		t.Errorf("patch %v", got)
	}
	if _, removed := got["remove /properties/root_device"]; !removed {
		t.Errorf("an old root device hint stays: %v", got)
	}
	if !slices.Contains(s.log, "DELETE /nodes/n1/maintenance") {
		t.Error("the power fault's maintenance was not ended")
	}
}

func TestForeignNodeIsNeverTouched(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateEnroll)
	s.node["extra"] = map[string]any{extraHostUID: "someone-else"}
	for _, a := range provisioner.Actions() {
		err := s.client(t).Do(t.Context(), wanted(), a)
		if !fault.Is(err, fault.Rejected) || (a != provisioner.TakeOver && !strings.Contains(err.Error(), "baremetal node delete n1")) {
			t.Errorf("%s: %v", a, err)
		}
	}
	if len(s.log) != 0 {
		t.Errorf("calls were made: %v", s.log)
	}
}

// TestOneServerHasOneNode: a BMC that another node drives is refused before a node is made for it, however it is spelled.
func TestOneServerHasOneNode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info    map[string]any
		refused bool
	}{
		"same":          {map[string]any{"redfish_address": "https://bmc1", "redfish_system_id": "/redfish/v1/Systems/1"}, true},
		"other words":   {map[string]any{"redfish_address": "https://BMC1:443/", "redfish_system_id": "redfish/v1/Systems/1"}, true},
		"other system":  {map[string]any{"redfish_address": "https://bmc1", "redfish_system_id": "/redfish/v1/Systems/2"}, false},
		"other port":    {map[string]any{"redfish_address": "https://bmc1:8443", "redfish_system_id": "/redfish/v1/Systems/1"}, false},
		"other machine": {map[string]any{"ipmi_address": "bmc1"}, false},
	} {
		s := newServer(t)
		s.others = []map[string]any{{"uuid": "n0", "name": "metal~was-h1", "driver_info": c.info}}
		err := s.client(t).Do(t.Context(), wanted(), provisioner.Register)
		if got := fault.Is(err, fault.Rejected); got != c.refused || (err != nil && !strings.Contains(err.Error(), "baremetal node set --name metal~h1 n0")) {
			t.Errorf("%s: %v", name, err)
		}
		if made := slices.Contains(s.log, "POST /nodes"); made == c.refused {
			t.Errorf("%s: made %t", name, made)
		}
	}
}

// TestDeploymentIsRecordedWithTheImage: in one change, before the deployment is started.
func TestDeploymentIsRecordedWithTheImage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	want := wanted()
	want.Deployment = "d1"
	if err := s.client(t).Do(t.Context(), want, provisioner.Deploy); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PATCH /nodes/n1", "PUT /nodes/n1/states/provision"}, s.log); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if patch := s.bodies["PATCH /nodes/n1"]; !strings.Contains(patch, `"/extra/rackplane_deployment","value":"d1"`) {
		t.Errorf("patch %s", patch)
	}
}

func TestDeploySendsImageAndDrive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	want := wanted()
	want.Drive = provisioner.ConfigDrive{
		MetaData: "{rack: r7, name: mine}", UserData: "#cloud-config\npassword: " + password, NetworkData: "links: []\n",
	}
	if err := s.client(t).Do(t.Context(), want, provisioner.Deploy); err != nil {
		t.Fatal(err)
	}
	patch := s.bodies["PATCH /nodes/n1"]
	for _, part := range []string{`"image_source":"http://images/a"`, `"image_os_hash_algo":"sha256"`, `"image_disk_format":"qcow2"`, `"/instance_uuid"`, uid} {
		if !strings.Contains(patch, part) {
			t.Errorf("instance lacks %s: %s", part, patch)
		}
	}
	var put struct {
		Target string
		Drive  struct {
			Meta    map[string]string `json:"meta_data"`
			User    string            `json:"user_data"`
			Network map[string]any    `json:"network_data"`
		} `json:"configdrive"`
	}
	if err := json.Unmarshal([]byte(s.bodies["PUT /nodes/n1/states/provision"]), &put); err != nil {
		t.Fatal(err)
	}
	if put.Target != "active" || put.Drive.Meta["rack"] != "r7" || put.Drive.Meta["name"] != "mine" || put.Drive.Meta["metal3-name"] != "h1" ||
		put.Drive.User != want.Drive.UserData.Reveal() || put.Drive.Network["links"] == nil {
		t.Errorf("put %+v", put)
	}
}

func TestDeployWithABrokenDriveSendsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	want := wanted()
	want.Drive.NetworkData = secret.Value("[not an object " + password)
	err := s.client(t).Do(t.Context(), want, provisioner.Deploy)
	if !fault.Is(err, fault.Rejected) || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "spec.networkData") {
		t.Errorf("%v", err)
	}
	if len(s.log) != 0 {
		t.Errorf("calls were made: %v", s.log)
	}
}

func TestInstanceInfoChecksums(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		image provisioner.Image
		want  map[string]any
	}{
		{provisioner.Image{URL: "u", Checksum: "abc"}, map[string]any{"image_source": "u", "image_checksum": "abc"}},
		{provisioner.Image{URL: "u", Checksum: "abc", ChecksumType: "sha512"}, map[string]any{"image_source": "u", "image_os_hash_algo": "sha512", "image_os_hash_value": "abc"}},
		{provisioner.Image{URL: "u", Checksum: "http://sums", ChecksumType: "sha256"}, map[string]any{"image_source": "u", "image_checksum": "http://sums"}},
		{provisioner.Image{URL: "u"}, map[string]any{"image_source": "u"}},
	} {
		got, err := instanceInfo(c.image, metal3v1alpha1.UEFI)
		if err != nil {
			t.Fatal(err)
		}
		if back := imageOf(got); back == nil || *back != c.image {
			t.Errorf("%+v reads back as %+v", c.image, back)
		}
		delete(got, infoImage)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.image, diff)
		}
	}
}

func TestObservation(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateDeployFail)
	s.node["provision_updated_at"] = "2026-11-22T03:53:07.409213+00:00"
	s.node["inspection_finished_at"] = "2026-11-22T03:00:00+00:00"
	s.node["power_state"] = "power off"
	s.date = "Sun, 22 Nov 2026 10:00:00 GMT"
	s.node["instance_info"] = map[string]any{"image_source": "http://images/a", "image_os_hash_algo": "sha256", "image_os_hash_value": "abc"}
	s.answers["GET /nodes/n1/history"] = func() (int, string) {
		return 200, `{"history": [
			{"severity": "ERROR", "created_at": "2026-11-22T03:53:06+00:00", "event": "the image\nis bad"},
			{"severity": "INFO", "created_at": "2026-11-22T03:53:09+00:00", "event": "chatter"},
			{"severity": "ERROR", "created_at": "2026-11-22T01:00:00+00:00", "event": "long ago"}]}`
	}
	got, err := s.client(t).Observe(t.Context(), wanted().Host)
	if err != nil {
		t.Fatal(err)
	}
	want := provisioner.Observation{
		ID: "n1", HostUID: uid, State: provisioner.StateDeployFail, Power: provisioner.PowerOff, LastError: "the image is bad",
		Since:     time.Date(2026, 11, 22, 3, 53, 7, 409213000, time.UTC),
		Now:       time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), // deadlines are by the clock of the one that set them
		Inspected: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC),
		Image:     &provisioner.Image{URL: "http://images/a", Checksum: "abc", ChecksumType: "sha256"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDeleteWhateverTheState(t *testing.T) {
	t.Parallel()
	for _, state := range provisioner.NodeStates() {
		s := newServer(t)
		if state != provisioner.StateAbsent {
			s.node = node(state)
		}
		s.answers["DELETE /nodes/n1"] = saying(404, "gone meanwhile")
		if err := s.client(t).Do(t.Context(), wanted(), provisioner.Delete); err != nil {
			t.Errorf("%q: %v", state, err)
		}
	}
}

func TestAbortBeforeItExisted(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"1.109": "deleted", "1.110": "abort"} {
		s := newServer(t)
		s.version, s.node = version, node(provisioner.StateDeployWait)
		if err := s.client(t).Do(t.Context(), wanted(), provisioner.Abort); err != nil {
			t.Fatal(err)
		}
		if got := s.bodies["PUT /nodes/n1/states/provision"]; !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateEnroll)
	var user, pass string
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ = r.BasicAuth()
		s.handle(w, r)
	})
	c, err := New(Config{Endpoint: s.URL + "/v1/", Username: "engine", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Observe(t.Context(), wanted().Host); err != nil || user != "engine" || pass != password {
		t.Errorf("user %q, password ok: %t, %v", user, pass == password, err)
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{}, {Endpoint: "ironic:6385"}, {Endpoint: "ftp://i"}, {Endpoint: "http://u:" + password + "@i"}, {Endpoint: "https://i", CA: []byte("no")},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestInventory(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	s.answers["GET /nodes/metal~h1/inventory"] = func() (int, string) {
		return 200, `{"inventory": {"cpu": {"architecture": "x86_64", "count": 8, "frequency": "2400.5", "flags": ["vmx", "aes"], "model_name": "X"},
			"memory": {"physical_mb": 32768}, "hostname": "h1", "boot": {"pxe_interface": "52:54:00:00:00:02"},
			"system_vendor": {"manufacturer": "M", "product_name": "P", "serial_number": "S", "firmware": {"version": "1", "vendor": "V", "build_date": "D"}},
			"interfaces": [{"name": "eth1", "mac_address": "52:54:00:00:00:02", "speed_mbps": 25000, "ipv4_address": "10.0.0.2", "ipv6_address": "fe80::2"},
				{"name": "eth0", "mac_address": "52:54:00:00:00:0A", "speed_mbps": null}],
			"disks": [{"name": "/dev/sda", "size": 1000, "rotational": true, "by_path": "/dev/disk/by-path/a", "wwn": "w"}, {"name": "/dev/nvme0n1", "size": 5}]},
			"plugin_data": {"parsed_lldp": {"eth1": {"switch_chassis_id": "c", "switch_port_id": "p"}}}}`
	}
	got, err := s.client(t).Inventory(t.Context(), wanted().Host)
	if err != nil {
		t.Fatal(err)
	}
	lldp := &metal3v1alpha1.LLDP{SwitchID: "c", PortID: "p"}
	want := metal3v1alpha1.HardwareDetails{
		SystemVendor: metal3v1alpha1.HardwareSystemVendor{Manufacturer: "M", ProductName: "P", SerialNumber: "S"},
		Firmware:     metal3v1alpha1.Firmware{BIOS: metal3v1alpha1.BIOS{Date: "D", Vendor: "V", Version: "1"}},
		RAMMebibytes: 32768, Hostname: "h1",
		CPU: metal3v1alpha1.CPU{Arch: "x86_64", Model: "X", Count: 8, ClockMegahertz: 2400.5, Flags: []string{"aes", "vmx"}},
		NIC: []metal3v1alpha1.NIC{
			{Name: "eth0", MAC: "52:54:00:00:00:0a"},
			{Name: "eth1", MAC: "52:54:00:00:00:02", IP: "10.0.0.2", SpeedGbps: 25, PXE: true, LLDP: lldp},
			{Name: "eth1", MAC: "52:54:00:00:00:02", IP: "fe80::2", SpeedGbps: 25, PXE: true, LLDP: lldp},
		},
		Storage: []metal3v1alpha1.Storage{
			{Name: "/dev/disk/by-path/a", AlternateNames: []string{"/dev/sda", "/dev/disk/by-path/a"}, Rotational: true, Type: metal3v1alpha1.HDD, SizeBytes: 1000, WWN: "w"},
			{Name: "/dev/nvme0n1", Type: metal3v1alpha1.NVME, SizeBytes: 5},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRootDeviceHints(t *testing.T) {
	t.Parallel()
	yes := true
	got := rootDevice(&metal3v1alpha1.RootDeviceHints{
		DeviceName: "/dev/sda", HCTL: "0:0:0:0", Model: "m", Vendor: "v", SerialNumber: "s", MinSizeGigabytes: 40, WWN: "w",
		WWNWithExtension: "we", WWNVendorExtension: "wv", Rotational: &yes,
	})
	want := map[string]any{
		"name": "s== /dev/sda", "hctl": "s== 0:0:0:0", "model": "<in> m", "vendor": "<in> v", "serial": "s== s", "size": ">= 40",
		"wwn": "s== w", "wwn_with_extension": "s== we", "wwn_vendor_extension": "s== wv", "rotational": "true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := rootDevice(&metal3v1alpha1.RootDeviceHints{DeviceName: "/dev/disk/by-path/x"}); got["by_path"] != "s== /dev/disk/by-path/x" {
		t.Errorf("by path: %v", got)
	}
	if len(rootDevice(nil)) != 0 {
		t.Error("hints from nothing")
	}
}

// TestFloodCostsNoMemory has Ironic send 600 MiB, as an answer, as an error, and where errors are looked up.
func TestFloodCostsNoMemory(t *testing.T) {
	for name, head := range map[string]string{
		"GET /v1/": `{"version": "`, "GET /v1/nodes/metal~h1": `{"uuid": "`, "GET /v1/nodes/n1/history": `{"history": [{"event": "`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.node = node(provisioner.StateDeployFail)
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method+" "+r.URL.Path == name {
					wiretest.Flood(head, 600<<20)(w, r)
					return
				}
				s.handle(w, r)
			})
			wiretest.Cheap(t, 16<<20, func() {
				_, err := s.client(t).Observe(t.Context(), wanted().Host)
				if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "larger than 8 MiB") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// TestNothingIsSentElsewhere: neither the login nor what a node is registered with follows a redirect to another host.
func TestNothingIsSentElsewhere(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Method + r.URL.Path }))
	t.Cleanup(other.Close)
	s := httptest.NewServer(http.RedirectHandler(other.URL+"/", http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	c, err := New(Config{Endpoint: s.URL, Username: "u", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Do(t.Context(), wanted(), provisioner.Register)
	if !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "not followed") || len(heard) != 0 {
		t.Errorf("%v; %d calls elsewhere", err, len(heard))
	}
}

// TestInventoryIsPlain: neither a server nor the switch it is cabled to puts into an inventory what a terminal acts on.
func TestInventoryIsPlain(t *testing.T) {
	t.Parallel()
	const hostile = `x\u001b]0;owned\u0007\u202e  y`
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	s.answers["GET /nodes/metal~h1/inventory"] = func() (int, string) {
		return http.StatusOK, strings.ReplaceAll(`{"inventory": {"hostname": "@", "system_vendor": {"product_name": "@", "serial_number": "two  blanks"},
			"cpu": {"model_name": "@", "flags": ["@"]}, "interfaces": [{"name": "eth0", "product": "@"}], "disks": [{"name": "@", "model": "@", "by_path": "@"}]},
			"plugin_data": {"parsed_lldp": {"eth0": {"switch_system_name": "@"}}}}`, "@", hostile)
	}
	found, err := s.client(t).Inventory(t.Context(), wanted().Host)
	if err != nil || found.NIC[0].LLDP == nil || found.SystemVendor.SerialNumber != "two  blanks" {
		t.Fatalf("%+v, %v", found, err)
	}
	shown := fmt.Sprintf("%+v %+v", found, *found.NIC[0].LLDP)
	if strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) || !strings.Contains(shown, "x ]0;owned ? y") {
		t.Errorf("%q", shown)
	}
}

func TestPlainTextIsWarnedOf(t *testing.T) {
	t.Parallel()
	for endpoint, exposed := range map[string]bool{
		"https://ironic.example.com:6385": false, "http://127.0.0.1:6385": false, "http://[::1]:6385": false, "http://localhost:6385": false,
		"http://ironic.example.com:6385": true, "http://192.0.2.1:6385": true, "": false,
	} {
		if got := (Config{Endpoint: endpoint}).Exposed(); (got != "") != exposed {
			t.Errorf("%s: %q", endpoint, got)
		}
	}
}

// FuzzErrorAnswers classifies whatever Ironic may answer: a text comes of it that can be shown.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(409, `{"error_message": "{\"faultstring\": \"Node n1 is locked by host c1\\n\"}"}`)
	f.Add(400, `{"error_message": {"faultstring": "http://u:HUNTER2@h/\u001b[2J"}}`)
	f.Add(500, `{"error_message": 7}`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		c := &Client{config: Config{Endpoint: "http://ironic"}}
		shown := c.classify(gophercloud.ErrUnexpectedResponseCode{Actual: code, Body: []byte(body)}).Error()
		if strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) || len(shown) > 1000 {
			t.Errorf("%q", shown)
		}
	})
}

// TestPowerOffIsGentle: a system that runs is asked to shut down, and only a server with nothing on it, or one that cannot be
// asked, is cut.
func TestPowerOffIsGentle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  provisioner.NodeState
		action provisioner.Action
		cannot bool
		want   string
	}{
		"running":       {provisioner.StateActive, provisioner.SwitchOff, false, `{"target":"soft power off","timeout":180}`},
		"cut":           {provisioner.StateActive, provisioner.CutPower, false, `{"target":"power off"}`},
		"free":          {provisioner.StateAvailable, provisioner.SwitchOff, false, `{"target":"power off"}`},
		"not supported": {provisioner.StateActive, provisioner.SwitchOff, true, `{"target":"power off"}`},
	} {
		s := newServer(t)
		s.node = node(c.state)
		s.node["power_state"] = "power on"
		if c.cannot {
			s.answers["PUT /nodes/n1/states/power"] = func() (int, string) {
				delete(s.answers, "PUT /nodes/n1/states/power")
				return 400, string(toJSON(said("Driver x does not support soft power off.")))
			}
		}
		if err := s.client(t).Do(t.Context(), wanted(), c.action); err != nil {
			t.Fatal(err)
		}
		if got := s.bodies["PUT /nodes/n1/states/power"]; got != c.want {
			t.Errorf("%s: Ironic is asked for %s, want %s", name, got, c.want)
		}
	}
}

// TestWhatOthersSetStays: keys of driver_info and capabilities that are not ours are not written, and ours that are no more go.
func TestWhatOthersSetStays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	s.node["driver_info"] = map[string]any{"redfish_auth_type": "basic", "ipmi_address": "bmc0", "deploy_kernel": "file:///mine"}
	s.node["properties"] = map[string]any{"capabilities": "boot_mode:bios,profile:compute, secure_boot:true"}
	if err := s.client(t).Do(t.Context(), wanted(), provisioner.Register); err != nil {
		t.Fatal(err)
	}
	patch := s.bodies["PATCH /nodes/n1"]
	for text, there := range map[string]bool{
		"redfish_auth_type": false, `"/driver_info"`: false, "deploy_kernel": false, "boot_mode:uefi,profile:compute": true,
		`"/driver_info/redfish_password"`: true, `{"op":"remove","path":"/driver_info/ipmi_address"}`: true,
	} {
		if strings.Contains(patch, text) != there {
			t.Errorf("%s: want %v in %s", text, there, patch)
		}
	}
}

// TestCorrectedBootMAC: the port of the MAC address that was wanted before goes, before the new one is made; others stay.
func TestCorrectedBootMAC(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	s.node["extra"] = map[string]any{extraHostUID: uid, extraServer: wanted().BMC.Address + " 52:54:00:aa:00:99"}
	s.answers["GET /ports"] = func() (int, string) {
		return 200, `{"ports": [{"uuid": "old", "address": "52:54:00:aa:00:99"}, {"uuid": "other", "address": "52:54:00:aa:00:77"}]}`
	}
	if err := s.client(t).Do(t.Context(), wanted(), provisioner.Register); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"DELETE /ports/old", "POST /ports", "PATCH /nodes/n1"}, s.log); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestRamdiskNetworkIsGivenAndTaken.
func TestRamdiskNetworkIsGivenAndTaken(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.node = node(provisioner.StateAvailable)
	want := wanted()
	want.RamdiskNetwork = "links: []"
	if err := s.client(t).Do(t.Context(), want, provisioner.Register); err != nil {
		t.Fatal(err)
	}
	if patch := s.bodies["PATCH /nodes/n1"]; !strings.Contains(patch, `"path":"/network_data","value":{"links":[]}`) {
		t.Errorf("patch %s", patch)
	}
	s.node["extra"] = map[string]any{extraHostUID: uid, extraRamdiskNetwork: "true"}
	if err := s.client(t).Do(t.Context(), wanted(), provisioner.Register); err != nil {
		t.Fatal(err)
	}
	if patch := s.bodies["PATCH /nodes/n1"]; !strings.Contains(patch, `"path":"/network_data","value":{}`) {
		t.Errorf("patch %s", patch)
	}
	want.RamdiskNetwork = "- secret"
	if err := s.client(t).Do(t.Context(), want, provisioner.Register); !fault.Is(err, fault.Rejected) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
