package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/wire"
)

// The answer of an OVSDB server is read row by row, and of a row is kept what is wanted: what a server sends that never
// stops, or one with the rows of a million chassis, costs no more than these. libovsdb, which was used before, reads a
// message whole before it looks at it.
const (
	// maxRow bounds what is read between the ends of two rows, in bytes; a chassis takes about 2 KiB.
	maxRow = 256 << 10
	// maxTables bounds all that is read: 10,000 chassis take about 25 MB.
	maxTables = 32 << 20
	// maxKept bounds what is kept of it; a chassis takes about 300 bytes.
	maxKept = 4 << 20
	// maxProbes is how many calls of a server's own may come before its answer.
	maxProbes = 10
	// rowCost is what keeping a row costs beside its text.
	rowCost = 200
)

// bridgeMappings is where a chassis tells its mappings: in other_config since OVN 20.12, in external_ids before.
const bridgeMappings = "ovn-bridge-mappings"

// askSouthbound reads the chassis in one transaction (RFC 7047, 4.1.3 and 5.2.2). Encapsulations come first: chassis name them.
func askSouthbound(conn io.ReadWriter) ([]openstack.Chassis, error) {
	read := func(table string, columns ...string) map[string]any {
		return map[string]any{"op": "select", "table": table, "where": []any{}, "columns": columns}
	}
	call := map[string]any{"id": 0, "method": "transact", "params": []any{
		southboundDatabase, read("Encap", "_uuid", "ip"), read("Chassis", "name", "hostname", "encaps", "external_ids", "other_config"),
	}}
	out := json.NewEncoder(conn)
	if err := out.Encode(call); err != nil {
		return nil, err
	}
	in := newTables(conn)
	for range maxProbes {
		m, err := in.message()
		if err != nil {
			return nil, err
		}
		if m.method != "echo" {
			return in.chassis, nil
		}
		// A server probes connections that are idle (ovsdb-server(1), inactivity_probe).
		if err := out.Encode(map[string]any{"id": m.id, "error": nil, "result": m.params}); err != nil {
			return nil, err
		}
	}
	return nil, errNoAnswer
}

// tables reads what a server says.
type tables struct {
	in      *json.Decoder
	source  *metered
	kept    int
	address map[string]string // by the UUID of an Encap
	chassis []openstack.Chassis
}

func newTables(r io.Reader) *tables {
	source := &metered{r: r, row: maxRow, all: maxTables}
	return &tables{in: json.NewDecoder(source), source: source, address: map[string]string{}}
}

// metered fails with wire.ErrTooLarge when more is read than is allowed.
type metered struct {
	r        io.Reader
	row, all int
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.row, m.all = m.row-n, m.all-n
	if m.row < 0 || m.all < 0 {
		return 0, wire.ErrTooLarge
	}
	return n, err
}

// message is what is known of a JSON-RPC message beside its rows.
type message struct {
	method     string
	id, params json.RawMessage
}

// message reads the next message, rows included.
func (t *tables) message() (message, error) {
	var m message
	t.source.row = maxRow
	err := t.object(func(key string) error {
		switch key {
		case "method":
			return t.in.Decode(&m.method)
		case "id":
			return t.in.Decode(&m.id)
		case "params":
			return t.in.Decode(&m.params)
		case "result":
			return t.results()
		case "error":
			return t.refusal()
		default:
			var other json.RawMessage
			return t.in.Decode(&other)
		}
	})
	return m, err
}

// object reads an object, the values by each.
func (t *tables) object(each func(key string) error) error {
	if err := t.delimiter('{'); err != nil {
		return err
	}
	for t.in.More() {
		key, err := t.in.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return errNoAnswer
		}
		if err := each(name); err != nil {
			return err
		}
	}
	return t.delimiter('}')
}

func (t *tables) delimiter(want json.Delim) error {
	token, err := t.in.Token()
	if err == nil && token != want {
		err = errNoAnswer
	}
	return err
}

// refusal reads an error: null, or why nothing was done.
func (t *tables) refusal() error {
	var e struct {
		Error   string `json:"error"`
		Details string `json:"details"`
	}
	var raw json.RawMessage
	if err := t.in.Decode(&raw); err != nil || string(raw) == "null" {
		return err
	}
	if json.Unmarshal(raw, &e) != nil {
		return errNoAnswer
	}
	if strings.Contains(e.Error+e.Details, "unknown database") {
		return errNoDatabase
	}
	return fmt.Errorf("%w: %s", errRefused, cmp.Or(e.Details, e.Error))
}

// results reads the result of each operation: the rows of Encap, then those of Chassis; null beside an error.
func (t *tables) results() error {
	token, err := t.in.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return errNoAnswer
	}
	for _, row := range []func() error{t.encapRow, t.chassisRow} {
		if err := t.result(row); err != nil {
			return err
		}
	}
	for t.in.More() { // an operation of its own tells what became of the whole
		var other json.RawMessage
		if err := t.in.Decode(&other); err != nil {
			return err
		}
	}
	return t.delimiter(']')
}

func (t *tables) result(row func() error) error {
	why := ""
	err := t.object(func(key string) error {
		if key == "rows" {
			return t.rows(row)
		}
		var other any
		err := t.in.Decode(&other)
		if key == "error" || key == "details" {
			why += fmt.Sprint(other) + " "
		}
		return err
	})
	if err == nil && why != "" {
		err = fmt.Errorf("%w: %s", errRefused, strings.TrimSpace(why))
	}
	return err
}

func (t *tables) rows(row func() error) error {
	if err := t.delimiter('['); err != nil {
		return err
	}
	for t.in.More() {
		if err := row(); err != nil {
			return err
		}
		t.source.row = maxRow
		if t.kept > maxKept {
			return wire.ErrTooLarge
		}
	}
	return t.delimiter(']')
}

func (t *tables) encapRow() error {
	var row struct {
		UUID references `json:"_uuid"`
		IP   string     `json:"ip"`
	}
	if err := t.in.Decode(&row); err != nil {
		return err
	}
	for _, id := range row.UUID {
		t.address[id] = row.IP
		t.kept += len(id) + len(row.IP) + rowCost
	}
	return nil
}

func (t *tables) chassisRow() error {
	var row struct {
		Name        string     `json:"name"`
		Hostname    string     `json:"hostname"`
		Encaps      references `json:"encaps"`
		ExternalIDs pairs      `json:"external_ids"`
		OtherConfig pairs      `json:"other_config"`
	}
	if err := t.in.Decode(&row); err != nil {
		return err
	}
	c := openstack.Chassis{Name: row.Name, Host: row.Hostname}
	for _, encap := range row.Encaps {
		if ip := t.address[encap]; ip != "" {
			c.EncapIPs = append(c.EncapIPs, ip)
		}
	}
	slices.Sort(c.EncapIPs)
	c.EncapIPs = slices.Compact(c.EncapIPs) // one address may have several types of tunnel
	mappings, ok := row.OtherConfig[bridgeMappings]
	if !ok {
		mappings = row.ExternalIDs[bridgeMappings]
	}
	for mapping := range strings.SplitSeq(mappings, ",") {
		if mapping = strings.TrimSpace(mapping); mapping != "" {
			c.BridgeMappings = append(c.BridgeMappings, strings.Clone(mapping))
		}
	}
	slices.Sort(c.BridgeMappings)
	t.chassis = append(t.chassis, c)
	t.kept += len(row.Name) + len(row.Hostname) + 2*len(mappings) + rowCost
	for _, ip := range c.EncapIPs {
		t.kept += len(ip)
	}
	return nil
}

// references are UUIDs in a column: one, or a set (RFC 7047, 5.1).
type references []string

// UnmarshalJSON implements json.Unmarshaler.
func (r *references) UnmarshalJSON(data []byte) error {
	var value [2]json.RawMessage
	var kind, one string
	var many []references
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	if err := json.Unmarshal(value[0], &kind); err != nil {
		return err
	}
	*r = nil
	if kind == "uuid" {
		err := json.Unmarshal(value[1], &one)
		*r = references{one}
		return err
	}
	if kind != "set" {
		return fmt.Errorf("a column of UUIDs holds %q", kind)
	}
	if err := json.Unmarshal(value[1], &many); err != nil {
		return err
	}
	*r = slices.Concat(many...)
	return nil
}

// pairs are a map in a column.
type pairs map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (p *pairs) UnmarshalJSON(data []byte) error {
	var value [2]json.RawMessage
	var all [][2]string
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	if err := json.Unmarshal(value[1], &all); err != nil {
		return err
	}
	*p = pairs{}
	for _, pair := range all {
		(*p)[pair[0]] = pair[1]
	}
	return nil
}
