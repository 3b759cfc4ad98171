package openstacktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/secret"
)

// Server is a simulated cloud behind HTTP, as far as package api uses Keystone, Nova, Placement and Neutron
// (2025.1: paths, fields and status codes from their API references).
type Server struct {
	*Simulator
	// URL of Keystone.
	URL string

	mu          sync.Mutex
	calls       map[string]int
	generations map[string]int
	token       int // the last one given out
	revoked     int // the last one that is not valid any more
	answers     map[string]http.HandlerFunc
	endpoints   string // root of the catalog's
}

const tokenHeader = "X-Subject-Token"

// Serve starts a cloud that admits the password; it ends with the test.
func Serve(tb testing.TB, password secret.Value) *Server {
	tb.Helper()
	s := &Server{calls: map[string]int{}, generations: map[string]int{}, answers: map[string]http.HandlerFunc{}}
	server := httptest.NewServer(s.handler())
	tb.Cleanup(server.Close)
	s.URL, s.endpoints = server.URL, server.URL
	s.Simulator = New(s.URL+"/v3", password)
	return s
}

// Calls are how often each method and path was asked for since the last time.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = map[string]int{}
	return calls
}

// Answer lets the handler answer what is asked of the method and path, such as "GET /compute/v2.1/os-services".
func (s *Server) Answer(what string, handler http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what] = handler
}

// Elsewhere puts other endpoints into the catalog.
func (s *Server) Elsewhere(root string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = root
}

// Revoke makes every token that was given out invalid.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = s.token
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /v3/{$}":                                        s.version("v3.14", "/v3/"),
		"POST /v3/auth/tokens":                               s.authenticate,
		"GET /compute/v2.1/{$}":                              s.version("v2.1", "/compute/v2.1/"),
		"GET /compute/v2.1/os-services":                      s.list("services", s.services),
		"PUT /compute/v2.1/os-services/{id}":                 s.disable,
		"DELETE /compute/v2.1/os-services/{id}":              s.remove(openstack.DeleteService),
		"GET /compute/v2.1/servers":                          s.servers,
		"DELETE /network/v2.0/agents/{id}":                   s.remove(openstack.DeleteAgent),
		"GET /compute/v2.1/os-hypervisors/detail":            s.list("hypervisors", s.hypervisors),
		"GET /compute/v2.1/os-aggregates":                    s.list("aggregates", s.aggregates),
		"POST /compute/v2.1/os-aggregates":                   s.createAggregate,
		"POST /compute/v2.1/os-aggregates/{id}/action":       s.addHost,
		"GET /placement/{$}":                                 s.version("v1.0", "/placement/"),
		"GET /placement/resource_providers":                  s.list("resource_providers", s.providers),
		"GET /placement/resource_providers/{id}/traits":      s.traits,
		"PUT /placement/resource_providers/{id}/traits":      s.setTraits,
		"GET /placement/resource_providers/{id}/inventories": s.inventories,
		"PUT /placement/traits/{name}":                       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) },
		"GET /network/{$}":                                   s.version("v2.0", "/network/v2.0/"),
		"GET /network/v2.0/agents":                           s.list("agents", s.agents),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.calls[r.Method+" "+r.URL.Path]++
			token, err := strconv.Atoi(r.Header.Get("X-Auth-Token"))
			valid := err == nil && token > s.revoked && token <= s.token
			other := s.answers[r.Method+" "+r.URL.Path]
			s.mu.Unlock()
			if other != nil {
				other(w, r)
				return
			}
			open := strings.HasSuffix(pattern, "{$}") || strings.HasSuffix(pattern, "tokens")
			if !open && !valid {
				refuse(w, http.StatusUnauthorized, "The request you have made requires authentication.")
				return
			}
			handle(w, r)
		})
	}
	return mux
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // the client sees it cut short
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"error": map[string]any{"code": status, "message": message}})
}

func (s *Server) version(id, path string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		version := map[string]any{"id": id, "status": "CURRENT", "links": []any{map[string]any{"rel": "self", "href": s.URL + path}}}
		if id == "v3.14" || id == "v2.1" {
			reply(w, http.StatusOK, map[string]any{"version": version})
			return
		}
		reply(w, http.StatusOK, map[string]any{"versions": []any{version}})
	}
}

func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct {
						Password string `json:"password"`
					} `json:"user"`
				} `json:"password"`
				Credential struct {
					Secret string `json:"secret"`
				} `json:"application_credential"`
			} `json:"identity"`
		} `json:"auth"`
	}
	err := json.NewDecoder(r.Body).Decode(&asked)
	given := asked.Auth.Identity.Password.User.Password + asked.Auth.Identity.Credential.Secret
	if err != nil || given != s.password.Reveal() {
		refuse(w, http.StatusUnauthorized, "The request you have made requires authentication.")
		return
	}
	s.mu.Lock()
	s.token++
	token, root := s.token, s.endpoints
	s.mu.Unlock()
	var catalog []any
	for kind, path := range map[string]string{"compute": "/compute/v2.1", "placement": "/placement", "network": "/network"} {
		catalog = append(catalog, map[string]any{"type": kind, "name": kind, "id": kind, "endpoints": []any{
			map[string]any{"id": kind, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": root + path},
		}})
	}
	w.Header().Set(tokenHeader, strconv.Itoa(token))
	reply(w, http.StatusCreated, map[string]any{"token": map[string]any{"catalog": catalog, "expires_at": "2099-01-01T00:00:00.000000Z"}})
}

// list answers with what rows makes of the world.
func (s *Server) list(name string, rows func(*World) []any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.Simulator.mu.Lock()
		body := rows(&s.world)
		s.Simulator.mu.Unlock()
		reply(w, http.StatusOK, s.page(name, body, r))
	}
}

// page is the part of the rows that is asked for by limit and marker, with the link to the next one, as Nova makes it.
func (s *Server) page(name string, rows []any, r *http.Request) map[string]any {
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		return map[string]any{name: rows}
	}
	id := func(row any) string {
		fields, _ := row.(map[string]any)
		return fmt.Sprint(fields["id"])
	}
	if marker := query.Get("marker"); marker != "" {
		rows = rows[1+slices.IndexFunc(rows, func(row any) bool { return id(row) == marker }):]
	}
	if len(rows) < limit {
		return map[string]any{name: rows}
	}
	rows = rows[:limit]
	query.Set("marker", id(rows[limit-1]))
	// Behind a proxy Nova often names itself by another host than the one that was asked.
	next := "http://nova.invalid" + r.URL.Path + "?" + query.Encode()
	return map[string]any{name: rows, name + "_links": []any{map[string]any{"rel": "next", "href": next}}}
}

func word(yes bool, a, b string) string { //nolint:revive // two words for a bool is what it is for
	if yes {
		return a
	}
	return b
}

func (s *Server) services(w *World) []any {
	rows := []any{}
	for _, c := range w.Services {
		row := map[string]any{
			"id": c.ID, "binary": "nova-compute", "host": c.Host, "state": word(c.Up, "up", "down"), "status": word(c.Disabled, "disabled", "enabled"),
			"forced_down": c.ForcedDown, "disabled_reason": nil, "updated_at": "2026-01-01T00:00:00.000000", "zone": "nova",
		}
		if c.DisabledReason != "" {
			row["disabled_reason"] = c.DisabledReason
		}
		if c.Unknown {
			row = map[string]any{"binary": "nova-compute", "host": c.Host, "status": "UNKNOWN", "id": c.ID}
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *Server) hypervisors(w *World) []any {
	rows := []any{}
	for _, h := range w.Hypervisors {
		rows = append(rows, map[string]any{
			"id": h.ID, "hypervisor_hostname": h.Name, "state": word(h.Up, "up", "down"), "status": "enabled", "cpu_info": map[string]any{},
			"service": map[string]any{"host": h.ServiceHost, "id": "service-" + h.ServiceHost, "disabled_reason": nil},
		})
	}
	return rows
}

func (s *Server) aggregates(w *World) []any {
	rows := []any{}
	for i, a := range w.Aggregates {
		rows = append(rows, aggregateRow(i, a))
	}
	return rows
}

func aggregateRow(i int, a openstack.HostAggregate) map[string]any {
	row := map[string]any{
		"id": i + 1, "uuid": fmt.Sprintf("aggregate-%d", i), "name": a.Name, "hosts": append([]string{}, a.Hosts...), "metadata": map[string]string{},
		"availability_zone": nil, "deleted": false, "created_at": "2026-01-01T00:00:00.000000", "updated_at": nil, "deleted_at": nil,
	}
	if a.Zone != "" {
		row["availability_zone"], row["metadata"] = a.Zone, map[string]string{"availability_zone": a.Zone}
	}
	return row
}

func (s *Server) agents(w *World) []any {
	rows := []any{}
	for _, a := range w.Agents {
		rows = append(rows, map[string]any{
			"id": a.ID, "binary": a.Binary, "host": a.Host, "alive": a.Alive, "admin_state_up": true,
			"agent_type": a.Binary, "heartbeat_timestamp": "2026-01-01 00:00:00.123456+00:00", "configurations": map[string]any{},
		})
	}
	return rows
}

func (s *Server) providers(w *World) []any {
	rows := []any{}
	for _, p := range w.Providers {
		rows = append(rows, map[string]any{"uuid": p.ID, "name": p.Name, "generation": s.generation(p.ID)})
	}
	return rows
}

func (s *Server) generation(provider string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generations[provider]
}

// provider is a copy of the one the path names; false after a 404 was answered.
func (s *Server) provider(w http.ResponseWriter, r *http.Request) (openstack.ResourceProvider, bool) {
	s.Simulator.mu.Lock()
	defer s.Simulator.mu.Unlock()
	i := slices.IndexFunc(s.world.Providers, func(p openstack.ResourceProvider) bool { return p.ID == r.PathValue("id") })
	if i < 0 {
		reply(w, http.StatusNotFound, map[string]any{"errors": []any{map[string]any{"status": 404, "detail": "No resource provider with uuid " + r.PathValue("id") + " found"}}})
		return openstack.ResourceProvider{}, false
	}
	return s.world.Providers[i], true
}

func (s *Server) inventories(w http.ResponseWriter, r *http.Request) {
	p, ok := s.provider(w, r)
	if !ok {
		return
	}
	rows := map[string]any{}
	for class, usable := range p.Usable {
		rows[class] = map[string]any{"total": usable + 512, "reserved": 512, "allocation_ratio": 1.0, "min_unit": 1, "max_unit": usable, "step_size": 1}
	}
	reply(w, http.StatusOK, map[string]any{"resource_provider_generation": s.generation(p.ID), "inventories": rows})
}

func (s *Server) traits(w http.ResponseWriter, r *http.Request) {
	if p, ok := s.provider(w, r); ok {
		reply(w, http.StatusOK, map[string]any{"resource_provider_generation": s.generation(p.ID), "traits": p.Traits})
	}
}

func (s *Server) setTraits(w http.ResponseWriter, r *http.Request) {
	p, ok := s.provider(w, r)
	if !ok {
		return
	}
	var asked struct {
		Generation int      `json:"resource_provider_generation"`
		Traits     []string `json:"traits"`
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.Generation != s.generation(p.ID) {
		reply(w, http.StatusConflict, map[string]any{"errors": []any{map[string]any{"status": 409, "detail": "Resource provider's generation already changed. Please update the generation and try again."}}})
		return
	}
	for _, trait := range asked.Traits {
		if !s.act(w, openstack.Action{Verb: openstack.SetTrait, Provider: p.ID, Trait: trait}) {
			return
		}
	}
	s.mu.Lock()
	s.generations[p.ID]++
	s.mu.Unlock()
	s.traits(w, r)
}

func (s *Server) createAggregate(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Aggregate struct {
			Name string `json:"name"`
			Zone string `json:"availability_zone"`
		} `json:"aggregate"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked) // an empty name conflicts with nothing and is found by no test
	s.Simulator.mu.Lock()
	there := s.aggregate(asked.Aggregate.Name) != nil
	s.Simulator.mu.Unlock()
	if there {
		reply(w, http.StatusConflict, map[string]any{"conflictingRequest": map[string]any{"code": 409, "message": "Aggregate " + asked.Aggregate.Name + " already exists."}})
		return
	}
	if s.act(w, openstack.Action{Verb: openstack.MakeAggregate, Aggregate: asked.Aggregate.Name, Zone: asked.Aggregate.Zone}) {
		reply(w, http.StatusOK, map[string]any{"aggregate": aggregateRow(0, openstack.HostAggregate{Name: asked.Aggregate.Name, Zone: asked.Aggregate.Zone})})
	}
}

func (s *Server) addHost(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		AddHost struct {
			Host string `json:"host"`
		} `json:"add_host"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked) // an empty host is not found
	id, err := strconv.Atoi(r.PathValue("id"))
	s.Simulator.mu.Lock()
	known := err == nil && id >= 1 && id <= len(s.world.Aggregates)
	var a openstack.HostAggregate
	if known {
		a = s.world.Aggregates[id-1]
	}
	s.Simulator.mu.Unlock()
	switch {
	case !known:
		reply(w, http.StatusNotFound, map[string]any{"itemNotFound": map[string]any{"code": 404, "message": "Aggregate could not be found."}})
	case slices.Contains(a.Hosts, asked.AddHost.Host):
		reply(w, http.StatusConflict, map[string]any{"conflictingRequest": map[string]any{"code": 409, "message": "Aggregate already has host " + asked.AddHost.Host + "."}})
	case s.act(w, openstack.Action{Verb: openstack.JoinAggregate, Aggregate: a.Name, Host: asked.AddHost.Host}):
		reply(w, http.StatusOK, map[string]any{"aggregate": aggregateRow(id-1, a)})
	}
}

func (s *Server) servers(w http.ResponseWriter, r *http.Request) {
	rows := []any{}
	s.Simulator.mu.Lock()
	for _, name := range s.world.Servers[r.URL.Query().Get("host")] {
		rows = append(rows, map[string]any{"id": name, "name": name})
	}
	s.Simulator.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"servers": rows})
}

func (s *Server) disable(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Status string `json:"status"`
		Reason string `json:"disabled_reason"`
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.Status != "disabled" || asked.Reason == "" {
		refuse(w, http.StatusBadRequest, "Invalid input for field/attribute status.")
		return
	}
	id := r.PathValue("id")
	if s.act(w, openstack.Action{Verb: openstack.DisableService, Service: id}) {
		reply(w, http.StatusOK, map[string]any{"service": map[string]any{"id": id, "binary": "nova-compute", "status": "disabled"}})
	}
}

// remove deletes what the path names; what is not there is not found.
func (s *Server) remove(verb openstack.Verb) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		s.Simulator.mu.Lock()
		there := slices.ContainsFunc(s.world.Services, func(c openstack.ComputeService) bool { return c.ID == id }) ||
			slices.ContainsFunc(s.world.Agents, func(a openstack.NetworkAgent) bool { return a.ID == id })
		s.Simulator.mu.Unlock()
		switch {
		case !there:
			reply(w, http.StatusNotFound, map[string]any{"itemNotFound": map[string]any{"code": 404, "message": id + " not found."}})
		case s.act(w, openstack.Action{Verb: verb, Service: id, Agent: id}):
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// act does what the simulator does, or answers with the status its fault stands for.
func (s *Server) act(w http.ResponseWriter, action openstack.Action) bool {
	s.Simulator.mu.Lock()
	changed, err := s.do(action)
	if changed {
		s.effects = append(s.effects, action)
	}
	s.Simulator.mu.Unlock()
	if err == nil {
		return true
	}
	status := map[fault.Kind]int{fault.Missing: http.StatusNotFound, fault.Rejected: http.StatusConflict, fault.Busy: http.StatusConflict}[fault.KindOf(err)]
	if action.Verb == openstack.SetTrait && status == http.StatusConflict {
		status = http.StatusBadRequest
	}
	reply(w, status, map[string]any{"errors": []any{map[string]any{"status": status, "detail": err.Error()}}})
	return false
}
