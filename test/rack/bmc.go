package rack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// hardwareUser is the account by which the simulated hardware itself speaks to its BMC.
const hardwareUser = "hardware"

// powerState is a Redfish PowerState as sushy-tools' fake driver knows it.
type powerState string

const (
	powerOn  powerState = "On"
	powerOff powerState = "Off"
)

// bmcs is the sushy-tools process that serves all BMCs of the rack.
type bmcs struct {
	service  *service
	http     *http.Client
	url      string
	htpasswd string
	password string // of hardwareUser

	mu       sync.Mutex
	accounts map[string]string // user to password
}

// sushyConfig is sushy-tools' configuration, which is Python (sushy-tools 2.2.0, emulator/main.py and
// resources/systems/fakedriver.py). Everything in it is generated here and plain ASCII, so Go's quoting is Python's.
const sushyConfig = `SUSHY_EMULATOR_FAKE_DRIVER = True
SUSHY_EMULATOR_AUTH_FILE = {{printf "%q" .Htpasswd}}
SUSHY_EMULATOR_STATE_DIR = {{printf "%q" .State}}
EXTERNAL_NOTIFICATION_URL = {{printf "%q" .Notify}}
SUSHY_EMULATOR_FAKE_SYSTEMS = [
{{- range .Hosts}}
    {"uuid": {{printf "%q" .UUID}}, "name": {{printf "%q" .Name}}, "power_state": "Off", "external_notifier": True,
     "nics": [{{range .NICs}}{"mac": {{printf "%q" .MAC}}, "ip": ""}, {{end}}]},
{{- end}}
]
`

// startBMCs starts sushy-tools on a free loopback port; it reports every change of a system to notify.
// One worker serves all requests in turn: the fake driver updates a system by reading and rewriting all of it.
func startBMCs(ctx context.Context, dir, venv, notify string, hosts []*Host) (*bmcs, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "bmc")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("BMCs: %w", err)
	}
	b := &bmcs{
		http:     &http.Client{Timeout: 30 * time.Second},
		url:      "http://127.0.0.1:" + strconv.Itoa(port),
		htpasswd: filepath.Join(state, "htpasswd"),
		password: newPassword(),
		accounts: map[string]string{},
	}
	b.accounts[hardwareUser] = b.password
	for _, h := range hosts {
		b.accounts[h.BMCUsername] = h.BMCPassword
	}
	if err := b.writeAccounts(); err != nil {
		return nil, err
	}
	config := filepath.Join(state, "sushy.conf")
	if err := writeTemplate(config, sushyConfig, map[string]any{
		"Htpasswd": b.htpasswd, "State": state, "Notify": notify, "Hosts": hosts,
	}); err != nil {
		return nil, err
	}
	b.service, err = startService(ctx, dir, program{
		name: "sushy-tools",
		argv: []string{
			filepath.Join(venv, "bin", "gunicorn"), "--bind", "127.0.0.1:" + strconv.Itoa(port), "--workers", "1",
			"--timeout", "120", "sushy_tools.emulator.main:app",
		},
		env: []string{"SUSHY_EMULATOR_CONFIG=" + config},
	})
	if err != nil {
		return nil, err
	}
	return b, b.service.ready(ctx, func(ctx context.Context) error {
		return b.call(ctx, http.MethodGet, "/redfish/v1/Systems", nil, nil)
	})
}

// setPassword changes the password of a user; sushy-tools reads the file at each request.
func (b *bmcs) setPassword(user, password string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[user] = password
	return b.writeAccounts()
}

// writeAccounts replaces the password file at once. The cheapest bcrypt cost keeps each request fast.
func (b *bmcs) writeAccounts() error {
	var text strings.Builder
	for user, password := range b.accounts {
		digest, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return fmt.Errorf("BMC account %s: %w", user, err)
		}
		fmt.Fprintf(&text, "%s:%s\n", user, digest)
	}
	if err := os.WriteFile(b.htpasswd+".new", []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("BMC accounts: %w", err)
	}
	if err := os.Rename(b.htpasswd+".new", b.htpasswd); err != nil {
		return fmt.Errorf("BMC accounts: %w", err)
	}
	return nil
}

// poke reads a system. The fake driver applies a power change that has come due only when somebody reads.
func (b *bmcs) poke(ctx context.Context, uuid string) error {
	return b.call(ctx, http.MethodGet, "/redfish/v1/Systems/"+uuid, nil, nil)
}

// media returns the URL of the image in the virtual CD drive, empty when none is inserted.
func (b *bmcs) media(ctx context.Context, uuid string) (string, error) {
	var drive struct {
		Image    string
		Inserted bool
	}
	if err := b.call(ctx, http.MethodGet, "/redfish/v1/Systems/"+uuid+"/VirtualMedia/Cd", nil, &drive); err != nil {
		return "", err
	}
	if !drive.Inserted {
		return "", nil
	}
	return drive.Image, nil
}

// off tells the BMC that the hardware has switched itself off.
func (b *bmcs) off(ctx context.Context, uuid string) error {
	return b.call(ctx, http.MethodPost, "/redfish/v1/Systems/"+uuid+"/Actions/ComputerSystem.Reset",
		map[string]string{"ResetType": "ForceOff"}, nil)
}

func (b *bmcs) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("redfish: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	if err != nil {
		return fmt.Errorf("redfish: %w", err)
	}
	req.SetBasicAuth(hardwareUser, b.password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Do(req)
	if err != nil {
		return fmt.Errorf("redfish: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("redfish: %s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("redfish: %s %s: %s", method, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("redfish: %s %s: %w", method, path, err)
	}
	return nil
}

// change is what sushy-tools reports of a system whenever something of it changes.
type change struct {
	UUID       string     `json:"uuid"`
	Power      powerState `json:"power_state"`
	BootDevice string     `json:"boot_device"`
	Pending    *struct {
		Power string `json:"power_state"`
	} `json:"pending_power"`
}

// bootsMedia reports whether the system tries virtual media before its disk.
func (c change) bootsMedia() bool { return slices.Contains([]string{"Cd", "UsbCd"}, c.BootDevice) }

// pendingOff reports whether the system has been told to switch off and has not done so yet.
func (c change) pendingOff() bool { return c.Pending != nil && c.Pending.Power == string(powerOff) }
