package agent

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// States of a command (ironic-python-agent, extensions/base.py, AgentCommandStatus).
const (
	running   = "RUNNING"
	succeeded = "SUCCEEDED"
	failed    = "FAILED"
)

// command is one call of Ironic and its result.
type command struct {
	ID     string         `json:"id"`
	Name   string         `json:"command_name"`
	Params map[string]any `json:"command_params"`
	Status string         `json:"command_status"`
	Error  *commandError  `json:"command_error"`
	Result any            `json:"command_result"`

	done chan struct{}
}

// commandError is the agent's RESTError as Ironic reads it.
type commandError struct {
	Type    string `json:"type"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details string `json:"details"`
}

// failure is an error with the class name and sentence that the real agent would answer.
type failure struct {
	kind    string
	message string
	details string
}

func (f *failure) Error() string { return f.message + ": " + f.details }

// commands is the command API. The agent runs one command at a time; a second one gets 409.
type commands struct {
	agent    *agent
	handlers map[string]handler

	mu   sync.Mutex
	list []*command
}

// handler serves the API. Commands outlive the requests that start them and end with ctx.
func (c *commands) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/commands/", c.serveList)
	mux.HandleFunc("POST /v1/commands/", func(w http.ResponseWriter, r *http.Request) { c.serveRun(ctx, w, r) })
	mux.HandleFunc("GET /v1/commands/{id}", c.serveOne)
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"version": version})
	})
	return mux
}

func (c *commands) serveList(w http.ResponseWriter, r *http.Request) {
	if !c.authorized(w, r) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"commands": append([]*command{}, c.list...)})
}

func (c *commands) serveOne(w http.ResponseWriter, r *http.Request) {
	if !c.authorized(w, r) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cmd := range c.list {
		if cmd.ID == r.PathValue("id") {
			answer(w, http.StatusOK, cmd)
			return
		}
	}
	fault(w, http.StatusNotFound, "Command not found: "+r.PathValue("id"))
}

func (c *commands) serveRun(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if !c.authorized(w, r) {
		return
	}
	var call struct {
		Name   string         `json:"name"`
		Params map[string]any `json:"params"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 256<<20)).Decode(&call); err != nil {
		fault(w, http.StatusBadRequest, "Missing or invalid command: "+err.Error())
		return
	}
	run, known := c.handlers[call.Name]
	if !known {
		fault(w, http.StatusNotFound, "Unknown command: "+call.Name)
		return
	}
	cmd, err := c.start(ctx, call.Name, call.Params, run)
	if err != nil {
		fault(w, http.StatusConflict, err.Error())
		return
	}
	if wait, _ := strconv.ParseBool(r.URL.Query().Get("wait")); wait || !run.slow {
		select {
		case <-cmd.done:
		case <-r.Context().Done():
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answer(w, http.StatusOK, cmd)
}

// authorized compares the token. Before Ironic handed one out there is none, as in the real agent.
func (c *commands) authorized(w http.ResponseWriter, r *http.Request) bool {
	got := r.URL.Query().Get("agent_token")
	if c.agent.token == "" || subtle.ConstantTimeCompare([]byte(got), []byte(c.agent.token)) == 1 {
		return true
	}
	fault(w, http.StatusUnauthorized, "Token invalid.")
	return false
}

// start records the command and runs it, unless another one is still running.
func (c *commands) start(ctx context.Context, name string, params map[string]any, run handler) (*command, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.list); n > 0 && c.list[n-1].Status == running {
		return nil, fmt.Errorf("agent is busy - executing command %s", c.list[n-1].Name)
	}
	_, short, _ := strings.Cut(name, ".")
	cmd := &command{
		ID: strconv.Itoa(len(c.list) + 1), Name: short, Params: map[string]any{},
		Status: running, done: make(chan struct{}),
	}
	c.list = append(c.list, cmd)
	c.agent.log.Debug("agent runs", "command", name)
	go c.finish(ctx, cmd, params, run)
	return cmd, nil
}

// finish runs the command and records how it ended. A slow one ends with a heartbeat, so Ironic looks at once.
func (c *commands) finish(ctx context.Context, cmd *command, params map[string]any, run handler) {
	result, err := run.call(ctx, params)
	c.mu.Lock()
	cmd.Status, cmd.Result = succeeded, result
	if err != nil {
		cmd.Status, cmd.Error = failed, asCommandError(err)
		c.agent.log.Info("agent command failed", "command", cmd.Name, "error", err)
	}
	c.mu.Unlock()
	close(cmd.done)
	if run.slow {
		c.agent.wake()
	}
}

func asCommandError(err error) *commandError {
	var known *failure
	if errors.As(err, &known) {
		return &commandError{
			Type: known.kind, Code: http.StatusInternalServerError, Message: known.message, Details: known.details,
		}
	}
	return &commandError{
		Type: "CommandExecutionError", Code: http.StatusInternalServerError,
		Message: "Command execution failed", Details: err.Error(),
	}
}

func fault(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]any{"faultcode": strconv.Itoa(code), "faultstring": message})
}

func answer(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}
