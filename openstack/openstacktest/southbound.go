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
			Params []any  `json:"params"`
		}
		if in.Decode(&call) != nil {
			return
		}
		answer := map[string]any{"id": call.ID, "error": nil, "result": nil}
		switch call.Method {
		case "transact":
			if len(call.Params) == 0 || call.Params[0] != database {
				answer["error"] = map[string]any{"error": "unknown database", "details": "transact request specifies unknown database", "syntax": "[]"}
				break
			}
			answer["result"] = s.rows(call.Params[1:])
		default:
			answer["error"] = "unknown method"
		}
		if out.Encode(answer) != nil { //nolint:errchkjson // it is checked
			return
		}
	}
}

// rows are the results of selects, in their order.
func (s *Simulator) rows(selects []any) []any {
	tables := s.tables()
	results := make([]any, 0, len(selects))
	for _, operation := range selects {
		o, _ := operation.(map[string]any)
		table, _ := o["table"].(string)
		columns, _ := o["columns"].([]any)
		rows := []any{}
		for _, row := range tables[table] {
			picked := map[string]any{}
			for _, c := range columns {
				name := fmt.Sprint(c)
				if picked[name] = row[name]; row[name] == nil {
					return []any{map[string]any{"error": "unknown column", "details": "No column " + name + " in table " + table + "."}}
				}
			}
			rows = append(rows, picked)
		}
		results = append(results, map[string]any{"rows": rows})
	}
	return results
}

// tables are the rows as they are on the wire (RFC 7047, 5.1).
func (s *Simulator) tables() map[string][]map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]map[string]any{}
	for _, c := range s.world.Chassis {
		refs := []any{}
		for _, ip := range c.EncapIPs {
			uuid := []any{"uuid", fmt.Sprintf("00000002-0000-4000-8000-%012d", len(all["Encap"]))}
			all["Encap"] = append(all["Encap"], map[string]any{"_uuid": uuid, "ip": ip, "type": "geneve"})
			refs = append(refs, uuid)
		}
		encaps := []any{"set", refs}
		if len(refs) == 1 { // a set of one is written as its value
			encaps, _ = refs[0].([]any)
		}
		all["Chassis"] = append(all["Chassis"], map[string]any{
			"name": c.Name, "hostname": c.Host, "encaps": encaps, "external_ids": []any{"map", []any{}},
			"other_config": []any{"map", []any{[]any{"ovn-bridge-mappings", strings.Join(c.BridgeMappings, ",")}}},
		})
	}
	return all
}
