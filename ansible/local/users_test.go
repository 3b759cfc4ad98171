package local

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// users returns the users that the store gives to the namespaces, in order.
func users(t *testing.T, c Config, namespaces ...string) []int {
	t.Helper()
	var ids []int
	for _, namespace := range namespaces {
		id, err := c.userOf(namespace)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func TestNamespacesNeverShareAUser(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sandbox: &Sandbox{FirstID: testUsers, LastID: testUsers + 2}}
	first := users(t, c, "a", "b", "a", "c", "b")
	if first[0] == first[1] || first[1] == first[3] || first[0] == first[3] || first[0] != first[2] || first[1] != first[4] {
		t.Errorf("a, b, a, c, b have %v", first)
	}
	if _, err := c.userOf("d"); err == nil || !strings.Contains(err.Error(), "widen the range") {
		t.Errorf("a fourth of three: %v", err)
	}
	c.Sandbox.LastID++
	if got := users(t, c, "d", "a"); got[0] != testUsers+3 || got[1] != first[0] {
		t.Errorf("d, a have %v", got)
	}
	// The range was of somebody else after all: everybody moves, to users that nobody had.
	c.Sandbox = &Sandbox{FirstID: testUsers + 2, LastID: testUsers + 9}
	if got := users(t, c, "a", "b", "c", "d"); got[0] != testUsers+4 || got[1] != testUsers+5 || got[2] != first[3] || got[3] != testUsers+3 {
		t.Errorf("moved to %v", got)
	}
}

func TestUsersOfThisMachineAreLeftAlone(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sandbox: &Sandbox{FirstID: 1, LastID: 65535}}
	for _, id := range users(t, c, "a", "b") {
		if id <= 2 { // daemon and bin have had these for ever
			t.Errorf("user %d was given to a namespace", id)
		}
	}
}

func TestTornUsersAreNotGuessed(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sandbox: &Sandbox{FirstID: testUsers, LastID: testUsers}}
	write(t, filepath.Join(c.Dir, fileUsers), "{")
	if _, err := c.userOf("a"); err == nil || !strings.Contains(err.Error(), "put a good copy there") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(c.Dir, fileUsers)); err != nil {
		t.Fatal(err)
	}
	if got := users(t, c, "a"); got[0] != testUsers {
		t.Errorf("got %v", got)
	}
}

// What runs must not reach the engine does not for them: its own logins to nodes go by the same rule.
func TestRefuse(t *testing.T) {
	walled, bare := Runner{config: Config{Sandbox: &Sandbox{Deny: []string{"192.0.2.0/24"}}}}, Runner{}
	for to, want := range map[string]string{
		"192.0.2.7:22": "is denied", "127.0.0.1:6443": "the machine that the engine runs on", "169.254.169.254:80": "no node's address", "198.51.100.7:22": "",
	} {
		err := walled.Refuse(t.Context(), netip.MustParseAddrPort(to))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", to, err, want)
		}
		if err := bare.Refuse(t.Context(), netip.MustParseAddrPort(to)); err != nil {
			t.Errorf("without walls %s: %v", to, err)
		}
	}
}
