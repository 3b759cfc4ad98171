package canary_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/test/canary"
)

func TestFind(t *testing.T) {
	n := canary.New()
	secret := n.Plant("password")
	for shift := range 3 {
		packed := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret + "and more"))
		if got := n.Find([]byte(`{"data": "` + packed + `"}`)); !slices.Contains(got, "password in base64") {
			t.Errorf("moved by %d: found %v", shift, got)
		}
	}
	for text, want := range map[string]string{
		"a " + secret + " b": "password", hex.EncodeToString([]byte("x" + secret)): "password in hexadecimal", "nothing " + canary.Value("other"): "",
	} {
		if got := strings.Join(n.Find([]byte(text)), ", "); got != want {
			t.Errorf("in %q: found %q, want %q", text, got, want)
		}
	}
}

// TestKey: any line of a private key that no public key has is found.
func TestKey(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKey(key, "someone@somewhere.example.com")
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	n := canary.New()
	n.WatchKey("key", pem.EncodeToMemory(block))
	if got := n.Find(ssh.MarshalAuthorizedKey(public)); len(got) > 0 {
		t.Errorf("the public key is taken for %v", got)
	}
	lines := strings.Split(string(pem.EncodeToMemory(block)), "\n")
	if got := n.Find([]byte("x\\n" + lines[3] + "\\ny")); !slices.Contains(got, "key") {
		t.Errorf("found %v", got)
	}
}

func TestPlaces(t *testing.T) {
	n, dir := canary.New(), t.TempDir()
	secret := n.Plant("password")
	for name, mode := range map[string]fs.FileMode{"open": 0o644, "closed": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), mode); err != nil {
			t.Fatal(err)
		}
	}
	told := append(n.Tree(dir, canary.Everything), n.Tree(dir, canary.Readable)...)
	if len(told) != 3 || !strings.Contains(told[2], "open shows a secret: password") {
		t.Errorf("told of %v, want both files and then the open one", told)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	cmd.Env = []string{"TOKEN=" + secret}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	mine := func(arguments, environment []byte) bool {
		return bytes.Contains(environment, []byte("TOKEN=")) && bytes.HasPrefix(arguments, []byte("sleep"))
	}
	if looked, told := n.Processes(mine); looked != 1 || len(told) != 1 {
		t.Errorf("looked at %d processes, told of %v", looked, told)
	}
}
