package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The hardware manager whose steps are offered (ironic-python-agent, hardware.py, GenericHardwareManager).
const (
	hardwareManager        = "GenericHardwareManager"
	hardwareManagerVersion = "1.2"
)

// handler is one command. A slow one runs on after its request was answered; Ironic polls it.
type handler struct {
	slow bool
	call func(ctx context.Context, params map[string]any) (any, error)
}

// step is a deploy or clean step that the agent offers.
type step struct {
	Name            string `json:"step"`
	Priority        int    `json:"priority"`
	Interface       string `json:"interface"`
	RebootRequested bool   `json:"reboot_requested"`
	Abortable       bool   `json:"abortable"`
}

// handlers lists the commands that Ironic 39 calls on a server that it deploys, cleans or inspects.
func (a *agent) handlers() map[string]handler {
	empty := func(context.Context, map[string]any) (any, error) { return nil, nil }
	wipe := step{Name: "erase_devices_metadata", Priority: 99, Interface: "deploy", Abortable: true}
	erase := step{Name: "erase_devices", Priority: 10, Interface: "deploy", Abortable: true}
	write := step{Name: "write_image", Interface: "deploy"}
	return map[string]handler{
		"clean.get_clean_steps":       {call: offer("clean", wipe, erase)},
		"clean.execute_clean_step":    {slow: true, call: a.execute("clean")},
		"deploy.get_deploy_steps":     {call: offer("deploy", write, step{Name: wipe.Name, Interface: "deploy"})},
		"deploy.execute_deploy_step":  {slow: true, call: a.execute("deploy")},
		"service.get_service_steps":   {call: offer("service")},
		"image.install_bootloader":    {slow: true, call: empty}, // the images served here bring their own
		"standby.get_partition_uuids": {call: func(context.Context, map[string]any) (any, error) { return map[string]string{}, nil }},
		"standby.sync":                {call: empty},
		"standby.power_off":           {slow: true, call: a.powerOff},
		"log.collect_system_logs":     {call: collectLogs},
	}
}

// offer answers which steps there are.
func offer(kind string, steps ...step) func(context.Context, map[string]any) (any, error) {
	answer := map[string]any{
		kind + "_steps":            map[string][]step{hardwareManager: steps},
		"hardware_manager_version": map[string]string{hardwareManager: hardwareManagerVersion},
	}
	return func(context.Context, map[string]any) (any, error) { return answer, nil }
}

// execute runs one step and answers with the step itself, by which Ironic recognizes what has ended.
func (a *agent) execute(kind string) func(context.Context, map[string]any) (any, error) {
	return func(ctx context.Context, params map[string]any) (any, error) {
		requested, _ := params["step"].(map[string]any)
		name, _ := requested["step"].(string)
		var err error
		switch name {
		case "write_image":
			err = a.writeImage(ctx, requested["args"])
		case "erase_devices", "erase_devices_metadata":
			err = a.machine.Erase(ctx)
		default:
			return nil, fmt.Errorf("no hardware manager offers the %s step %q", kind, name)
		}
		if err != nil {
			return nil, err
		}
		return map[string]any{kind + "_result": nil, kind + "_step": requested}, nil
	}
}

// writeImage fetches, verifies and writes an image, then keeps the config drive.
// Nothing is written before the checksum of the whole image is known to be right.
func (a *agent) writeImage(ctx context.Context, args any) error {
	var request struct {
		Image       image  `json:"image_info"`
		ConfigDrive string `json:"configdrive"`
	}
	if err := convert(args, &request); err != nil {
		return fmt.Errorf("write_image: %w", err)
	}
	drive, err := a.configDrive(ctx, request.ConfigDrive)
	if err != nil {
		return err
	}
	file, err := a.download(ctx, request.Image)
	if err != nil {
		return err
	}
	defer file.remove()
	if err := a.machine.WriteImage(ctx, file.path, request.Image.format()); err != nil {
		return &failure{kind: "ImageWriteError", message: "Error writing image to device", details: err.Error()}
	}
	return a.machine.WriteConfigDrive(ctx, drive)
}

// configDrive decodes a config drive: an ISO image, gzipped and base64-encoded, or the URL of one.
func (a *agent) configDrive(ctx context.Context, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		data, err := a.fetch(ctx, text, 256<<20)
		if err != nil {
			return nil, err
		}
		text = string(data)
	}
	packed, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, &failure{kind: "InvalidCommandParamsError", message: "Config drive is not base64", details: err.Error()}
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, &failure{kind: "InvalidCommandParamsError", message: "Config drive is not gzip", details: err.Error()}
	}
	iso, err := io.ReadAll(io.LimitReader(reader, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("unpack config drive: %w", err)
	}
	return iso, nil
}

func (a *agent) powerOff(ctx context.Context, _ map[string]any) (any, error) {
	return nil, a.machine.PowerOff(ctx)
}

// collectLogs answers an empty archive: the simulated ramdisk has no journal.
func collectLogs(context.Context, map[string]any) (any, error) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(make([]byte, 1024)); err != nil { // two zero blocks end a tar archive
		return nil, fmt.Errorf("pack logs: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("pack logs: %w", err)
	}
	return map[string]string{"system_logs": base64.StdEncoding.EncodeToString(packed.Bytes())}, nil
}

// fetch reads at most limit bytes of a URL.
func (a *agent) fetch(ctx context.Context, url string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	resp, err := a.ironic.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, &failure{kind: "ImageDownloadError", message: "Error downloading image", details: url + ": " + resp.Status}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", url, err)
	}
	return data, nil
}

// convert reads a decoded JSON value into a struct.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}
