package ironic

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
)

// FuzzAnswers lets Ironic answer anything to everything: each call ends with an answer or with a classified error of one
// line that tells no password.
func FuzzAnswers(f *testing.F) {
	var code int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.TrimSuffix(r.URL.Path, "/") == "/v1" {
			_, _ = io.WriteString(w, `{"id": "v1", "version": {"version": "1.115"}}`)
			return
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	f.Cleanup(server.Close)
	client, err := New(Config{Endpoint: server.URL, Timeout: 2 * time.Second})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, `{"uuid": "n1", "name": "metal~h1", "provision_state": "active", "instance_info": {"image_source": 7}, "extra": {"rackplane": {}}, "power_state": null}`)
	f.Add(200, `{"inventory": {"cpu": {"count": "x"}, "memory": null, "disks": [null], "interfaces": [{"mac_address": "\u001b[2J"}]}, "plugin_data": []}`)
	f.Add(409, `{"error_message": "{\"faultstring\": \"Node is locked\\nby hunter2\"}"}`)
	f.Add(500, "<html>\r\n")
	f.Add(404, "")
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 200 || status > 599 {
			status = 200
		}
		code, body = status, text
		want := wanted()
		_, observed := client.Observe(t.Context(), want.Host)
		_, found := client.Inventory(t.Context(), want.Host)
		for _, err := range []error{
			observed, found, client.Do(t.Context(), want, provisioner.Register), client.Do(t.Context(), want, provisioner.Deploy),
			client.Do(t.Context(), want, provisioner.SwitchOn), client.Do(t.Context(), want, provisioner.Delete),
		} {
			switch {
			case err == nil:
			case !fault.Classified(err):
				t.Errorf("not classified: %v", err)
			case strings.ContainsAny(err.Error(), "\n\r\x1b\x00"), strings.Contains(err.Error(), password):
				t.Errorf("no message to show: %q", err)
			}
		}
	})
}
