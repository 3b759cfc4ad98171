package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

// TestServedClock: the API server's time is what its answers say, and goes on between them.
func TestServedClock(t *testing.T) {
	t.Parallel()
	here := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	date := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = []string{date} }))
	defer server.Close()
	machine := clocktesting.NewFakeClock(here)
	s := &served{PassiveClock: machine}
	client, err := rest.HTTPClientFor(s.watch(&rest.Config{Host: server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		date  string
		ahead time.Duration
	}{
		{here.Add(time.Hour).Format(http.TimeFormat), time.Hour},
		{"", time.Hour},
		{"yesterday", time.Hour},
		{here.Add(-time.Second).Format(http.TimeFormat), 0},
		{here.AddDate(-1, 0, 0).Format(http.TimeFormat), here.AddDate(-1, 0, 0).Sub(here)},
	} {
		date = c.date
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := s.Now().Sub(machine.Now()); got != c.ahead || s.Since(here.Add(c.ahead)) != 0 {
			t.Errorf("Date %q: %s ahead, want %s", c.date, got, c.ahead)
		}
	}
	machine.Step(time.Minute)
	if got := s.Since(here.AddDate(-1, 0, 0)); got != time.Minute {
		t.Errorf("a minute later: %s", got)
	}
}
