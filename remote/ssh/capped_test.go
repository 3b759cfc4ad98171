package ssh

import (
	"bytes"
	"io"
	"testing"
)

// TestComplaintsAreBounded copies as golang.org/x/crypto/ssh copies a session's error output.
func TestComplaintsAreBounded(t *testing.T) {
	t.Parallel()
	c := &capped{}
	// Hides WriteTo, as a channel has none: then it is the destination's choice how to read.
	source := struct{ io.Reader }{bytes.NewReader(make([]byte, 1<<20))}
	if n, err := io.Copy(c, source); n != 1<<20 || err != nil || c.kept.Len() != longestComplaint {
		t.Errorf("read %d, kept %d of at most %d: %v", n, c.kept.Len(), longestComplaint, err)
	}
}
