package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// machine is a Machine that remembers what was done to it.
type machine struct {
	mu     sync.Mutex
	image  string
	drive  string
	erased bool
	off    bool
}

func (m *machine) Inventory() Inventory {
	return Inventory{Interfaces: []Interface{{Name: "eth0", MACAddress: "52:54:00:00:00:01"}}, Disks: []Disk{{Name: "/dev/sda"}}}
}

func (m *machine) WriteImage(_ context.Context, file, format string) error {
	data, err := os.ReadFile(file)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.image = format + ":" + string(data)
	return err
}

func (m *machine) WriteConfigDrive(_ context.Context, iso []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drive = string(iso)
	return nil
}

func (m *machine) Erase(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.erased = true
	return nil
}

func (m *machine) PowerOff(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off = true
	return nil
}

// ironicServer is as much of Ironic as an agent sees, with an image beside it.
type ironicServer struct {
	*httptest.Server
	inspected chan inspection
	beats     chan heartbeat
	token     string
	busy      int // heartbeats to answer with 409 first
	refuse    int // inspections to answer with 404 first
	image     string
	mu        sync.Mutex
}

func newIronicServer(t *testing.T) *ironicServer {
	t.Helper()
	s := &ironicServer{
		inspected: make(chan inspection, 8), beats: make(chan heartbeat, 64),
		token: strings.Repeat("t", 32), image: "the image",
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/continue_inspection", func(w http.ResponseWriter, r *http.Request) {
		if s.spend(&s.refuse) {
			http.NotFound(w, r)
			return
		}
		var data inspection
		_ = json.NewDecoder(r.Body).Decode(&data)
		s.inspected <- data
	})
	mux.HandleFunc("GET /v1/lookup", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("addresses") != "52:54:00:00:00:01" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"node": {"uuid": "n1"}, "config": {"heartbeat_timeout": 300, "agent_token": %q}}`, s.token)
	})
	mux.HandleFunc("POST /v1/heartbeat/n1", func(w http.ResponseWriter, r *http.Request) {
		if s.spend(&s.busy) {
			w.WriteHeader(http.StatusConflict)
			return
		}
		var beat heartbeat
		_ = json.NewDecoder(r.Body).Decode(&beat)
		s.beats <- beat
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /image.qcow2", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s.image) })
	mux.HandleFunc("GET /image.qcow2.sha256", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s  image.qcow2\n", digest(s.image))
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// spend takes one from a counter and reports whether there was one.
func (s *ironicServer) spend(counter *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *counter == 0 {
		return false
	}
	*counter--
	return true
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// boot runs an agent until the test ends.
func boot(t *testing.T, m Machine, params Params) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		err := Run(ctx, Config{
			Params: params, Machine: m, Listen: "127.0.0.1", Scratch: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want the end of its context", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

// caller is Ironic's side of the command API.
type caller struct {
	t      *testing.T
	client *http.Client
	beat   heartbeat
}

func newCaller(t *testing.T, beat heartbeat) *caller {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(beat.VerifyCA)) {
		t.Fatal("the heartbeat carries no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{t: t, client: &http.Client{Transport: transport}, beat: beat}
}

// do calls the API and returns the status and the decoded answer.
func (c *caller) do(method, query string, body any) (int, map[string]any) {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.beat.CallbackURL+"/v1/commands/?"+query, bytes.NewReader(data))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// command runs a command to its end.
func (c *caller) command(name string, params map[string]any) map[string]any {
	c.t.Helper()
	query := url.Values{"wait": {"true"}, "agent_token": {c.beat.Token}}.Encode()
	status, answer := c.do(http.MethodPost, query, map[string]any{"name": name, "params": params})
	if status != http.StatusOK {
		c.t.Fatalf("%s: status %d: %v", name, status, answer)
	}
	return answer
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(10 * time.Second):
		t.Fatal("the agent did not call")
		panic("unreachable")
	}
}

func TestInspection(t *testing.T) {
	server := newIronicServer(t)
	server.refuse = 1
	boot(t, &machine{}, Params{APIURL: server.URL, InspectionURL: server.URL + "/v1/continue_inspection"})
	data := receive(t, server.inspected)
	if data.RootDisk.Name != "/dev/sda" || data.Inventory.Interfaces[0].MACAddress != "52:54:00:00:00:01" {
		t.Errorf("inspection data = %+v", data)
	}
	if beat := receive(t, server.beats); beat.Token != server.token {
		t.Errorf("after inspection the agent heartbeats with token %q", beat.Token)
	}
}

func TestHeartbeatUsesMediaTokenAndRetriesWhenLocked(t *testing.T) {
	server := newIronicServer(t)
	server.token, server.busy = maskedToken, 1
	boot(t, &machine{}, Params{APIURL: server.URL, Token: "from-media"})
	beat := receive(t, server.beats)
	if beat.Token != "from-media" || !strings.HasPrefix(beat.CallbackURL, "https://127.0.0.1:") {
		t.Errorf("heartbeat = %+v", beat)
	}
}

func writeImage(server *ironicServer, checksum string) map[string]any {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = io.WriteString(writer, "the drive")
	_ = writer.Close()
	return map[string]any{"step": map[string]any{
		"interface": "deploy", "step": "write_image", "args": map[string]any{
			"image_info": map[string]any{
				"id": "image.qcow2", "urls": []string{server.URL + "/image.qcow2"}, "disk_format": "qcow2",
				"os_hash_algo": "sha256", "os_hash_value": checksum,
			},
			"configdrive": base64.StdEncoding.EncodeToString(packed.Bytes()),
		},
	}}
}

func TestWriteImage(t *testing.T) {
	server := newIronicServer(t)
	m := &machine{}
	boot(t, m, Params{APIURL: server.URL})
	c := newCaller(t, receive(t, server.beats))

	for name, checksum := range map[string]string{"value": digest(server.image), "file": server.URL + "/image.qcow2.sha256"} {
		answer := c.command("deploy.execute_deploy_step", writeImage(server, checksum))
		if answer["command_status"] != "SUCCEEDED" || answer["command_name"] != "execute_deploy_step" {
			t.Fatalf("checksum %s: answer %v", name, answer)
		}
		result, _ := answer["command_result"].(map[string]any)
		if done, _ := result["deploy_step"].(map[string]any); done["step"] != "write_image" {
			t.Errorf("checksum %s: the answer names step %v", name, done)
		}
		if m.image != "qcow2:the image" || m.drive != "the drive" {
			t.Errorf("checksum %s: image %q, config drive %q", name, m.image, m.drive)
		}
	}
	receive(t, server.beats) // the end of a slow command wakes Ironic long before the next regular heartbeat
}

func TestWriteImageRefusesWrongChecksum(t *testing.T) {
	server := newIronicServer(t)
	m := &machine{}
	boot(t, m, Params{APIURL: server.URL})
	c := newCaller(t, receive(t, server.beats))
	answer := c.command("deploy.execute_deploy_step", writeImage(server, digest("another image")))
	fault, _ := answer["command_error"].(map[string]any)
	if answer["command_status"] != "FAILED" || fault["type"] != "ImageChecksumError" {
		t.Errorf("answer = %v", answer)
	}
	if m.image != "" {
		t.Errorf("an image with a wrong checksum was written: %q", m.image)
	}
}

func TestCommands(t *testing.T) {
	server := newIronicServer(t)
	m := &machine{}
	boot(t, m, Params{APIURL: server.URL})
	c := newCaller(t, receive(t, server.beats))

	if status, _ := c.do(http.MethodPost, "agent_token=wrong", map[string]any{"name": "standby.sync"}); status != http.StatusUnauthorized {
		t.Errorf("wrong token: status %d", status)
	}
	if status, _ := c.do(http.MethodPost, "agent_token="+server.token, map[string]any{"name": "standby.dance"}); status != http.StatusNotFound {
		t.Errorf("unknown command: status %d", status)
	}
	for _, name := range []string{"clean.get_clean_steps", "deploy.get_deploy_steps", "service.get_service_steps"} {
		result, _ := c.command(name, nil)["command_result"].(map[string]any)
		kind := strings.SplitN(name, ".", 2)[0]
		if result[kind+"_steps"] == nil || result["hardware_manager_version"] == nil {
			t.Errorf("%s: result %v", name, result)
		}
	}
	c.command("clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "erase_devices_metadata", "interface": "deploy"}})
	c.command("standby.power_off", nil)
	if !m.erased || !m.off {
		t.Errorf("machine = %+v", m)
	}
	_, listed := c.do(http.MethodGet, "agent_token="+server.token, nil)
	all, _ := listed["commands"].([]any)
	last, _ := all[len(all)-1].(map[string]any)
	if len(all) != 5 || last["command_name"] != "power_off" {
		t.Errorf("commands = %v", listed)
	}
}
