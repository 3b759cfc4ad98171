package rack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// ironicConfig makes Ironic 39 quick and self-contained: periodic tasks and polls at a second's pace where
// real servers need minutes, everything else as Metal3's ironic-image has it (noauth on loopback, SQLite,
// no forcing of power states, no automated cleaning unless a node asks for it).
//
// json_rpc keeps its default port: with any other, a conductor that crashed does not recognize the locks it left,
// which it wrote as "host", because it then calls itself "host:port" (ironic 39.0.0, conductor/base_manager.py,
// prepare_host; conductor/task_manager.py). The namespace is the rack's own, so the port is free.
const ironicConfig = `[DEFAULT]
auth_strategy = noauth
debug = false
host = 127.0.0.1
rpc_transport = json-rpc
state_path = {{.Dir}}
tempdir = {{.Tmp}}
enabled_hardware_types = redfish
enabled_bios_interfaces = no-bios,redfish
default_bios_interface = no-bios
enabled_boot_interfaces = redfish-virtual-media
enabled_console_interfaces = no-console
enabled_deploy_interfaces = direct
enabled_firmware_interfaces = no-firmware,redfish
default_firmware_interface = no-firmware
enabled_inspect_interfaces = agent
enabled_management_interfaces = redfish
enabled_network_interfaces = noop
enabled_power_interfaces = redfish
enabled_raid_interfaces = no-raid,agent,redfish
default_raid_interface = no-raid
enabled_rescue_interfaces = no-rescue
enabled_storage_interfaces = noop
enabled_vendor_interfaces = no-vendor,redfish
default_vendor_interface = no-vendor
hash_ring_reset_interval = 1

[agent]
certificates_path = {{.Dir}}/certificates
command_wait_attempts = 600
command_wait_interval = 1
deploy_logs_local_path = {{.Dir}}/ramdisk-logs
post_deploy_get_power_state_retries = 40
post_deploy_get_power_state_retry_interval = 1

[api]
host_ip = 127.0.0.1
port = {{.Port}}
api_workers = 1
ramdisk_heartbeat_timeout = 5

[conductor]
automated_clean = false
bootloader = file://{{.Ramdisk}}/esp.img
cache_clean_up_interval = 0
check_allocations_interval = 0
check_provision_state_interval = 10
deploy_kernel = file://{{.Ramdisk}}/kernel
deploy_ramdisk = file://{{.Ramdisk}}/initramfs
disable_deep_image_inspection = true
file_url_allowed_paths = {{.Ramdisk}}
force_power_state_during_sync = false
heartbeat_interval = 5
node_history = true
node_locked_retry_attempts = 30
sync_power_state_interval = {{.PowerSync}}

[database]
connection = sqlite:///{{.Dir}}/ironic.sqlite
sqlite_synchronous = false

[deploy]
default_boot_mode = uefi
fast_track = {{.FastTrack}}
http_root = {{.Media}}
http_url = {{.MediaURL}}
iso_master_path =

[inspector]
status_check_period = 10

[json_rpc]
host_ip = 127.0.0.1

[pxe]
images_path = {{.Dir}}/images
instance_master_path =
tftp_master_path =
tftp_root = {{.Dir}}/tftpboot

[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{{.Port}}
`

// ironicSite is what Python runs before Ironic. For each question to a BMC Ironic 39 hashes its password with 600,000
// rounds of PBKDF2, half a second of CPU (ironic/drivers/modules/redfish/utils.py, SessionCache), which was two thirds of all that
// a rack cost. Here the same password is hashed once; Ironic gets the same hash and does all else as ever.
const ironicSite = `import functools
import hashlib

hashlib.pbkdf2_hmac = functools.lru_cache(maxsize=None)(hashlib.pbkdf2_hmac)
`

// ironicServer is the all-in-one Ironic process.
type ironicServer struct {
	dir     string // of the rack
	venv    string
	config  string
	site    string // folder of ironicSite
	url     string
	service *service // nil while stopped
}

// newIronic writes Ironic's configuration, its database and the files it makes boot media of.
// mediaURL is where media, a directory, is served.
func newIronic(ctx context.Context, cfg Config, venv, media, mediaURL string) (*ironicServer, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cfg.Dir, "ironic")
	ramdisk := filepath.Join(dir, "ramdisk")
	for _, d := range []string{ramdisk, filepath.Join(dir, "certificates"), filepath.Join(dir, "images"), filepath.Join(dir, "site")} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return nil, fmt.Errorf("ironic: %w", err)
		}
	}
	// The servers are simulated and so is their firmware: what Ironic packs as kernel, ramdisk and boot loader
	// is never executed; the kernel command line beside them is what counts.
	for _, name := range []string{"kernel", "initramfs", "esp.img"} {
		if err := os.WriteFile(filepath.Join(ramdisk, name), []byte("simulated "+name+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("ironic: %w", err)
		}
	}
	s := &ironicServer{
		dir: cfg.Dir, venv: venv, config: filepath.Join(dir, "ironic.conf"), site: filepath.Join(dir, "site"),
		url: "http://127.0.0.1:" + strconv.Itoa(port),
	}
	if err := os.WriteFile(filepath.Join(s.site, "sitecustomize.py"), []byte(ironicSite), 0o600); err != nil {
		return nil, fmt.Errorf("ironic: %w", err)
	}
	if err := writeTemplate(s.config, ironicConfig, map[string]any{
		"Dir": dir, "Tmp": filepath.Join(cfg.Dir, "tmp"), "Ramdisk": ramdisk, "Port": port,
		"Media": media, "MediaURL": mediaURL, "FastTrack": !cfg.NoFastTrack, "PowerSync": int(cfg.PowerSync.Seconds()),
	}); err != nil {
		return nil, err
	}
	return s, s.createSchema(ctx)
}

func (s *ironicServer) createSchema(ctx context.Context) error {
	return run(ctx, filepath.Join(s.venv, "bin", "ironic-dbsync"), "--config-file", s.config, "create_schema")
}

// lose starts anew with an empty database.
func (s *ironicServer) lose(ctx context.Context) error {
	s.stop()
	files, err := filepath.Glob(filepath.Join(s.dir, "ironic", "ironic.sqlite*")) // with the journal a killed one leaves
	if err != nil {
		return fmt.Errorf("ironic: %w", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("ironic: %w", err)
		}
	}
	if err := s.createSchema(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// start starts Ironic and waits until its conductor serves the redfish driver. Starting a running one does nothing.
func (s *ironicServer) start(ctx context.Context) error {
	if s.service != nil {
		return nil
	}
	service, err := startService(ctx, s.dir, program{
		name: "ironic",
		argv: []string{filepath.Join(s.venv, "bin", "ironic"), "--config-file", s.config},
		env:  []string{"PATH=" + filepath.Join(s.venv, "bin") + ":" + os.Getenv("PATH"), "PYTHONPATH=" + s.site},
	})
	if err != nil {
		return err
	}
	s.service = service
	ready, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return service.ready(ready, s.serves)
}

// stop kills Ironic. Stopping a stopped one does nothing.
func (s *ironicServer) stop() {
	if s.service != nil {
		s.service.kill()
		s.service = nil
	}
}

// serves checks that an active conductor offers the redfish hardware type.
func (s *ironicServer) serves(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/drivers", nil)
	if err != nil {
		return fmt.Errorf("ironic: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ironic: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Drivers []struct {
			Name  string
			Hosts []string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("ironic: %s: %w", resp.Status, err)
	}
	for _, driver := range answer.Drivers {
		if driver.Name == "redfish" && len(driver.Hosts) > 0 {
			return nil
		}
	}
	return errors.New("ironic: no conductor serves the redfish driver yet")
}
