package brief_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rackplane/rackplane/controllers/brief"
)

// server answers with a type, a status and a body, and remembers what it was asked to accept.
type server struct {
	contentType, body string
	status            int
	accepted          string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.accepted = r.Header.Get("Accept")
	w.Header().Set("Content-Type", s.contentType)
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.body)
}

// ask sends a request and returns the body of the answer.
func (s *server) ask(ctx context.Context, t *testing.T) string {
	t.Helper()
	listening := httptest.NewServer(s)
	defer listening.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, listening.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json, */*")
	resp, err := brief.Transport(http.DefaultTransport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != s.status {
		t.Fatalf("status %d, %v; want %d", resp.StatusCode, err, s.status)
	}
	return string(body)
}

func TestOnlyWhatIsMarkedIsAnsweredInBrief(t *testing.T) {
	const metadata = `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"}}`
	const whole = `{"kind":"DataPlaneNode","metadata":{"resourceVersion":"7"},"spec":{}}`
	const failure = `{"kind":"Status","reason":"Conflict"}`
	for name, c := range map[string]struct {
		mark   func(context.Context) context.Context
		answer server
		want   string
		asked  bool
	}{
		"metadata":                   {brief.Answers, server{"application/json", metadata, 200, ""}, `{"metadata":{"resourceVersion":"7"}}`, true},
		"a server that cannot":       {brief.Answers, server{"application/json", whole, 200, ""}, whole, true},
		"another type":               {brief.Answers, server{"application/vnd.kubernetes.protobuf", metadata, 200, ""}, metadata, true},
		"a failure":                  {brief.Answers, server{"application/json", failure, 409, ""}, failure, true},
		"what is no JSON":            {brief.Answers, server{"application/json", "<html>", 200, ""}, "<html>", true},
		"unmarked, as it was before": {func(ctx context.Context) context.Context { return ctx }, server{"application/json", metadata, 200, ""}, metadata, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := c.mark(t.Context())
			if got := c.answer.ask(ctx, t); got != c.want {
				t.Errorf("answer %s, want %s", got, c.want)
			}
			if asked := strings.Contains(c.answer.accepted, "as=PartialObjectMetadata"); asked != c.asked {
				t.Errorf("accepts %q", c.answer.accepted)
			}
		})
	}
}
