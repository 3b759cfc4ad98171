package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
)

// lock is a leader's lease in memory.
type lock struct {
	resourcelock.Interface
	record resourcelock.LeaderElectionRecord
	err    error
}

func (l *lock) Identity() string { return "us" }

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &l.record, nil, l.err
}

func (l *lock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, r)
}

func (l *lock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	if l.err == nil {
		l.record = r
	}
	return l.err
}

// TestThawedLeaderDoesNothing: what counts is how long ago the lease was renewed, not that somebody has noticed.
func TestThawedLeaderDoesNothing(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	time0 := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	lease := &lock{}
	lead := &leadership{Interface: lease, clock: time0}
	api, err := rest.HTTPClientFor(lead.guard(&rest.Config{Host: server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	runner := ansibletest.New(1)
	act := func(want bool, why string) {
		t.Helper()
		asked = 0
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			request, err := http.NewRequestWithContext(t.Context(), method, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if answer, err := api.Do(request); err == nil {
				answer.Body.Close()
			}
		}
		before := len(runner.Started())
		err := ledRunner{runner, lead}.Start(t.Context(), ansible.Run{Key: why, Role: "x", Nodes: []string{"n"}})
		if got := asked == 4 && err == nil && len(runner.Started()) == before+1; got != want || (!want && asked > 0) {
			t.Errorf("%s: %d writes, run: %v; want acts: %t", why, asked, err, want)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := api.Do(request)
		if err != nil {
			t.Errorf("%s: it cannot even read: %v", why, err)
			return
		}
		answer.Body.Close()
	}
	us := resourcelock.LeaderElectionRecord{HolderIdentity: "us"}
	act(false, "before-it-leads")
	lead.Create(t.Context(), us)
	act(true, "leads")
	time0.SetTime(time0.Now().Add(9 * time.Second))
	act(true, "leads-still")
	time0.SetTime(time0.Now().Add(time.Minute))
	act(false, "thawed")
	lead.Update(t.Context(), us)
	act(true, "nobody-else-led")
	lease.err = context.DeadlineExceeded
	time0.SetTime(time0.Now().Add(10 * time.Second))
	lead.Update(t.Context(), us)
	act(false, "cannot-renew")
	lease.err = nil
	lead.Update(t.Context(), us)
	lease.record.HolderIdentity = "another"
	lead.Get(t.Context())
	act(false, "saw-another")
	lead.Update(t.Context(), us)
	act(true, "leads-again")
	lease.err = context.DeadlineExceeded
	lead.Update(t.Context(), resourcelock.LeaderElectionRecord{})
	act(false, "given-back-whether-it-arrived-or-not")
}
