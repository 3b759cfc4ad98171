package wire

import (
	"errors"
	"io"
	"net/http"
)

// bounded reads answers whole, so that one that is too long costs MaxAnswer and nothing that is made of it.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > MaxAnswer {
		return nil, errors.Join(ErrTooLarge, resp.Body.Close())
	}
	read, err := readChunks(resp.Body)
	if closed := resp.Body.Close(); err == nil { // joined with it, an error would be known as a timeout no more (url.Error)
		err = closed
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(read)
	return resp, nil
}

const (
	firstChunk = 4 << 10
	lastChunk  = 256 << 10
)

// chunks hold an answer in pieces, which grow without being copied and are let go as they are read.
type chunks struct{ parts [][]byte }

// Read implements io.Reader.
func (c *chunks) Read(p []byte) (int, error) {
	if len(c.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.parts[0])
	if c.parts[0] = c.parts[0][n:]; len(c.parts[0]) == 0 {
		c.parts[0] = nil
		c.parts = c.parts[1:]
	}
	return n, nil
}

// readChunks reads to the end, or fails with ErrTooLarge.
func readChunks(r io.Reader) (*chunks, error) {
	c, total := &chunks{}, 0
	for size := firstChunk; ; size = min(2*size, lastChunk) {
		chunk, err := fill(r, make([]byte, size))
		if total += len(chunk); total > MaxAnswer {
			return nil, ErrTooLarge
		}
		if len(chunk) > 0 {
			c.parts = append(c.parts, chunk)
		}
		switch {
		case errors.Is(err, io.EOF):
			return c, nil
		case err != nil:
			return nil, err
		}
	}
}

// fill reads until the buffer is full or there is no more. io.ReadFull would tell the end and a connection that broke alike.
func fill(r io.Reader, buffer []byte) ([]byte, error) {
	for n := 0; ; {
		read, err := r.Read(buffer[n:])
		if n += read; err != nil || n == len(buffer) {
			return buffer[:n], err
		}
	}
}
