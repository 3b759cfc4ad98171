// Package canary plants secrets that can be recognised, and looks for them
// where no secret may be: in objects, events and logs, in arguments and
// environments, in files that others may read, on terminals.
//
// A secret is also found inside something else, and as base64 or hexadecimal.
package canary

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nest holds the secrets of one test. Make one with New; it may be used by one goroutine at a time.
type Nest struct {
	needles []needle
	known   map[string]bool
}

// needle is one way in which a secret shows.
type needle struct {
	what string
	text []byte
}

// New returns an empty Nest.
func New() *Nest { return &Nest{known: map[string]bool{}} }

// Value returns the secret for a purpose: always the same, and found nowhere else.
func Value(what string) string {
	sum := sha256.Sum256([]byte("canary/" + what))
	return "canary-" + hex.EncodeToString(sum[:])[:24]
}

// Plant returns the secret for a purpose and looks for it from now on.
func (n *Nest) Plant(what string) string {
	value := Value(what)
	n.Watch(what, []byte(value))
	return value
}

// least is how long a line of a secret is to be one: "-----", a name or a number are none.
const least = 12

// Watch looks for a secret from now on. Of one with several lines, as a private key is, each line is looked for, but for
// those that only frame it.
func (n *Nest) Watch(what string, secret []byte) {
	for line := range bytes.Lines(secret) {
		line = bytes.TrimSpace(line)
		if len(line) < least || bytes.HasPrefix(line, []byte("-----")) || n.known[string(line)] {
			continue
		}
		n.known[string(line)] = true
		n.needles = append(n.needles, needle{what, line}, needle{what + " in hexadecimal", []byte(hex.EncodeToString(line))})
		for shift := range 3 { // the three ways in which bytes fall into base64's groups
			text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), line...))
			n.needles = append(n.needles, needle{what + " in base64", []byte(strings.TrimRight(text[4*((shift+2)/3):], "=")[:len(line)*4/3-4])})
		}
	}
}

// WatchKey looks for what a private key in PEM form alone has: its first lines are the same in every key of a kind, and
// tell its public half.
func (n *Nest) WatchKey(what string, pem []byte) {
	if lines := bytes.Split(bytes.TrimSpace(pem), []byte("\n")); len(lines) > 4 {
		n.Watch(what, bytes.Join(lines[3:], []byte("\n")))
	}
}

// Find returns what of the secrets is in the text.
func (n *Nest) Find(text []byte) (found []string) {
	for _, c := range n.needles {
		if bytes.Contains(text, c.text) {
			found = append(found, c.what)
		}
	}
	return found
}

// Check fails the test for every secret in the text, and says where that was.
func (n *Nest) Check(tb testing.TB, where string, text []byte) {
	tb.Helper()
	for _, told := range n.in(where, text) {
		tb.Error(told)
	}
}

// in says what of the secrets is in the text, and where that was.
func (n *Nest) in(where string, text []byte) (told []string) {
	for _, what := range n.Find(text) {
		told = append(told, fmt.Sprintf("%s shows a secret: %s", where, what))
	}
	return told
}

// Processes looks at the arguments and the environment of the processes that fit; looked is how many these were.
func (n *Nest) Processes(fits func(arguments, environment []byte) bool) (looked int, told []string) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, []string{err.Error()}
	}
	for _, folder := range folders {
		arguments, gone := os.ReadFile(filepath.Join(folder, "cmdline"))
		environment, err := os.ReadFile(filepath.Join(folder, "environ"))
		if gone != nil || err != nil || !fits(arguments, environment) {
			continue // ended meanwhile, or somebody else's
		}
		looked++
		name := string(bytes.ReplaceAll(arguments, []byte{0}, []byte(" ")))
		told = append(told, n.in(fmt.Sprintf("the arguments of %q", name), arguments)...)
		told = append(told, n.in(fmt.Sprintf("the environment of %q", name), environment)...)
	}
	return looked, told
}

// Tree looks at the files below dir that fit.
func (n *Nest) Tree(dir string, fits func(path string, entry fs.FileInfo) bool) (told []string) {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			told = append(told, n.file(path, entry, fits)...)
		}
		return nil // what is gone meanwhile shows nothing
	})
	if err != nil {
		told = append(told, err.Error())
	}
	return told
}

func (n *Nest) file(path string, entry fs.DirEntry, fits func(string, fs.FileInfo) bool) []string {
	info, err := entry.Info()
	if err != nil || !fits(path, info) {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return n.in(path, text)
}

// Everything is what Tree looks at when nothing is left out.
func Everything(string, fs.FileInfo) bool { return true }

// Readable is what Tree looks at for what others than the owner may read.
func Readable(_ string, entry fs.FileInfo) bool { return entry.Mode().Perm()&0o044 != 0 }
