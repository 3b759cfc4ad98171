package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// numbered is text whose every place is recognised.
func numbered(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%07d\n", i)
	}
	return b.String()[:size]
}

func TestCappedLog(t *testing.T) {
	for _, size := range []int{0, 1, headBytes, headBytes + 1, headBytes + tailBytes, headBytes + tailBytes + 1, headBytes + 3*tailBytes + 77} {
		for _, piece := range []int{97 << 10, 5 << 20} {
			f := folder{dir: t.TempDir()}
			log, err := f.capped("log")
			if err != nil {
				t.Fatal(err)
			}
			text := numbered(size)
			for rest := text; rest != ""; {
				n, err := log.Write([]byte(rest[:min(piece, len(rest))]))
				if err != nil || n == 0 {
					t.Fatalf("wrote %d: %v", n, err)
				}
				rest = rest[n:]
				if entries, _ := filepath.Glob(f.path("log*")); len(entries) > 3 {
					t.Fatalf("pieces: %v", entries)
				}
			}
			if err := log.close(); err != nil {
				t.Fatal(err)
			}
			want := text
			if cut := size - headBytes - tailBytes; cut > 0 {
				want = text[:headBytes] + fmt.Sprintf("\n[%d bytes were cut here]\n", cut) + text[headBytes+cut:]
			}
			if got := string(read(t, f.path("log"))); got != want {
				t.Errorf("of %d bytes in pieces of %d it keeps %d, want %d", size, piece, len(got), len(want))
			}
			if entries, _ := os.ReadDir(f.dir); len(entries) != 1 {
				t.Errorf("left: %v", entries)
			}
		}
	}
}

// TestCappedLogThatCannotBeWritten: a disk that is full ends the log, not the run.
func TestCappedLogThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	log := &cappedLog{path: filepath.Join(t.TempDir(), "log"), file: full}
	for range 2 {
		if n, err := log.Write([]byte("lost")); n != 4 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if err := log.close(); err == nil {
		t.Error("what was lost is not told")
	}
	if got := string(read(t, log.path)); !strings.Contains(got, "[8 bytes were cut here]") {
		t.Errorf("log: %q", got)
	}
}
