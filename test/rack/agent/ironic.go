package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// apiVersion is the first Ironic API version with all three endpoints below (1.84: continue_inspection).
const apiVersion = "1.84"

// maskedToken is what Ironic answers at lookup when the agent already got its token with its boot media.
const maskedToken = "******"

// errBusy means that Ironic holds the node's lock and the same heartbeat succeeds a little later.
var errBusy = errors.New("ironic is busy with the node")

// refusal is an answer of Ironic's that is no success.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("ironic answered %d: %s", r.status, r.text) }

// node is the answer of a lookup.
type node struct {
	UUID    string
	Token   string
	Timeout time.Duration // longest time Ironic accepts between two heartbeats
}

// ironic is the client of the three endpoints an agent uses.
type ironic struct {
	http *http.Client
	url  string
}

// lookup finds the node that owns one of the MAC addresses.
func (i ironic) lookup(ctx context.Context, macs []string) (node, error) {
	query := url.Values{"addresses": {strings.Join(macs, ",")}}
	var answer struct {
		Node   struct{ UUID string }
		Config struct {
			HeartbeatTimeout int    `json:"heartbeat_timeout"`
			AgentToken       string `json:"agent_token"`
		}
	}
	if err := i.call(ctx, http.MethodGet, i.url+"/v1/lookup?"+query.Encode(), nil, &answer); err != nil {
		return node{}, fmt.Errorf("lookup: %w", err)
	}
	found := node{
		UUID:    answer.Node.UUID,
		Token:   answer.Config.AgentToken,
		Timeout: time.Duration(answer.Config.HeartbeatTimeout) * time.Second,
	}
	if found.Token == maskedToken {
		found.Token = ""
	}
	return found, nil
}

// heartbeat is the body of a heartbeat.
type heartbeat struct {
	CallbackURL string `json:"callback_url"`
	Token       string `json:"agent_token"`
	Version     string `json:"agent_version"`
	VerifyCA    string `json:"agent_verify_ca"`
}

// beat tells Ironic that the agent lives and has perhaps finished a command. It returns errBusy on a held lock.
func (i ironic) beat(ctx context.Context, uuid string, body heartbeat) error {
	if err := i.call(ctx, http.MethodPost, i.url+"/v1/heartbeat/"+uuid, body, nil); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// inspected delivers inspection data to the callback URL that Ironic named.
func (i ironic) inspected(ctx context.Context, callback string, data inspection) error {
	if err := i.call(ctx, http.MethodPost, callback, data, nil); err != nil {
		return fmt.Errorf("inspection callback: %w", err)
	}
	return nil
}

// inspection is the inventory with what the agent's default collector adds to it.
type inspection struct {
	Inventory     Inventory     `json:"inventory"`
	RootDisk      Disk          `json:"root_disk"`
	BootInterface string        `json:"boot_interface"`
	Configuration configuration `json:"configuration"`
	Error         *string       `json:"error"`
}

// configuration says which of the agent's plug-ins made the inventory.
type configuration struct {
	Collectors []string  `json:"collectors"`
	Managers   []manager `json:"managers"`
}

type manager struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

func (i ironic) call(ctx context.Context, method, target string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode body: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", apiVersion)
	resp, err := i.http.Do(req)
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusConflict:
		return errBusy
	case resp.StatusCode >= http.StatusMultipleChoices:
		return &refusal{status: resp.StatusCode, text: string(bytes.TrimSpace(data))}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}
