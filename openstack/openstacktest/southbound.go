package openstacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// ServeSouthbound answers on the listener as an OVSDB server (RFC 7047 and ovsdb-server(7)) that has the named database,
// with the chassis of the cloud in it; it ends with the test.
func ServeSouthbound(tb testing.TB, listener net.Listener, database string, s *Simulator) {
	tb.Helper()
	tb.Cleanup(func() { _ = listener.Close() }) // may be closed already
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.converse(conn, database)
		}
	}()
}

// converse answers JSON-RPC calls until the other side is gone.
func (s *Simulator) converse(conn io.ReadWriteCloser, database string) {
	defer conn.Close()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var call struct {
			Method string `json:"method"`
			ID     any    `json:"id"`
		}
		if in.Decode(&call) != nil {
			return
		}
		answer := map[string]any{"id": call.ID, "error": nil, "result": nil}
		switch call.Method {
		case "list_dbs":
			answer["result"] = []string{"_Server", database}
		case "get_schema":
			answer["result"] = schema(database)
		case "monitor_cond_since":
			answer["result"] = []any{false, "00000000-0000-0000-0000-000000000000", s.tables()}
		default:
			answer["error"] = "unknown method"
		}
		if out.Encode(answer) != nil { //nolint:errchkjson // it is checked
			return
		}
	}
}

// schema has the columns of ovn-sb(5) that are read, with their types.
func schema(database string) map[string]any {
	text := map[string]any{"type": "string"}
	pairs := map[string]any{"type": map[string]any{"key": "string", "value": "string", "min": 0, "max": "unlimited"}}
	return map[string]any{"name": database, "version": "20.41.0", "tables": map[string]any{
		"Chassis": map[string]any{"indexes": []any{[]string{"name"}}, "columns": map[string]any{
			"name": text, "hostname": text, "external_ids": pairs, "other_config": pairs,
			"encaps": map[string]any{"type": map[string]any{
				"key": map[string]any{"type": "uuid", "refTable": "Encap", "refType": "strong"}, "min": 1, "max": "unlimited",
			}},
		}},
		// A client has to read the columns of the index too.
		"Encap": map[string]any{"columns": map[string]any{"ip": text, "type": text}, "indexes": []any{[]string{"type", "ip"}}},
	}}
}

// tables are the rows, as an update2 tells them.
func (s *Simulator) tables() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	chassis, encaps := map[string]any{}, map[string]any{}
	id := func(table, row int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", table, row) }
	for i, c := range s.world.Chassis {
		var refs []any
		for _, ip := range c.EncapIPs {
			uuid := id(2, len(encaps))
			encaps[uuid] = map[string]any{"initial": map[string]any{"ip": ip, "type": "geneve"}}
			refs = append(refs, []any{"uuid", uuid})
		}
		chassis[id(1, i)] = map[string]any{"initial": map[string]any{
			"name": c.Name, "hostname": c.Host, "encaps": []any{"set", refs}, "external_ids": []any{"map", []any{}},
			"other_config": []any{"map", []any{[]any{"ovn-bridge-mappings", strings.Join(c.BridgeMappings, ",")}}},
		}}
	}
	return map[string]any{"Chassis": chassis, "Encap": encaps}
}
