package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Screen redraws a tree in place on a terminal.
type Screen struct {
	w     io.Writer
	style Style
	rows  int
}

// NewScreen draws on w, which must understand ANSI cursor movement.
func NewScreen(w io.Writer, st Style) *Screen { return &Screen{w: w, style: st} }

// Draw replaces what the last Draw wrote.
func (s *Screen) Draw(v View) error {
	var b bytes.Buffer
	if err := Tree(&b, v, s.style); err != nil {
		return err
	}
	if s.rows > 0 {
		if _, err := fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.rows); err != nil {
			return err
		}
	}
	s.rows = bytes.Count(b.Bytes(), []byte("\n"))
	_, err := s.w.Write(b.Bytes())
	return err
}

// Changes writes one plain line whenever a node's phase, step, notice or trouble changes.
type Changes struct {
	w    io.Writer
	last map[string]string
}

// NewChanges writes to w.
func NewChanges(w io.Writer) *Changes { return &Changes{w: w, last: map[string]string{}} }

// Write writes the lines that differ from the last call's, and nodes that went away.
func (c *Changes) Write(v View) error {
	seen := map[string]bool{}
	for _, l := range Lines(v) {
		key := l.Namespace + "/" + l.Node
		seen[key] = true
		state := strings.Join([]string{l.Phase, l.Step, l.Host, l.Notice}, "|")
		if l.Trouble {
			state += "|" + l.Cause
		}
		if c.last[key] == state {
			continue
		}
		c.last[key] = state
		if _, err := fmt.Fprintln(c.w, Plain(l, v.Now)); err != nil {
			return err
		}
	}
	return c.gone(seen)
}

func (c *Changes) gone(seen map[string]bool) error {
	var lost []string
	for key := range c.last {
		if !seen[key] {
			lost = append(lost, key)
		}
	}
	slices.Sort(lost)
	for _, key := range lost {
		delete(c.last, key)
		_, name, _ := strings.Cut(key, "/")
		if _, err := fmt.Fprintln(c.w, name+"  released"); err != nil {
			return err
		}
	}
	return nil
}
