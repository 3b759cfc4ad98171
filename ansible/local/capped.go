package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// headBytes and tailBytes are what is kept of a log: its beginning, where a run says what it is, and its end, where it says
// why it failed.
const headBytes, tailBytes = pieceBytes, pieceBytes

// pieceBytes is how long a piece of a log gets.
const pieceBytes = 1 << 20

// cappedLog is a log file of bounded size. While it is written the tail is in two pieces beside it, the newest and the one
// before; close puts the end of them behind the head. A writer that dies leaves the pieces, bounded as they are.
type cappedLog struct {
	path string
	file *os.File // the head, then the newest piece
	size int64    // of file
	tail bool     // file is a piece
	cut  int64
	err  error // the first; what comes after is cut, so that no full disk ends a run
}

func (f folder) capped(name string) (*cappedLog, error) {
	file, err := openLog(f.path(name))
	if err != nil {
		return nil, err
	}
	return &cappedLog{path: f.path(name), file: file}, nil
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (l *cappedLog) newest() string { return l.path + ".tail" }

func (l *cappedLog) before() string { return l.path + ".tail.1" }

// Write implements io.Writer. It takes all, whatever becomes of it.
func (l *cappedLog) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if l.err == nil && l.size >= pieceBytes {
			l.err = l.rotate()
		}
		if l.err != nil {
			l.cut += int64(len(rest))
			break
		}
		n, err := l.file.Write(rest[:min(int64(len(rest)), pieceBytes-l.size)])
		l.size, rest, l.err = l.size+int64(n), rest[n:], err
	}
	return len(p), nil
}

// rotate goes on with a new piece. The one before the last is cut.
func (l *cappedLog) rotate() error {
	err := l.file.Close()
	if l.tail {
		old, statErr := os.Stat(l.before())
		if statErr == nil {
			l.cut += old.Size()
		}
		err = errors.Join(err, os.Rename(l.newest(), l.before()))
	}
	file, openErr := openLog(l.newest())
	if err = errors.Join(err, openErr); err == nil {
		l.file, l.size, l.tail = file, 0, true
	}
	return err
}

// close makes one file of the pieces and says in it how much is missing.
func (l *cappedLog) close() error {
	err := errors.Join(l.err, l.file.Close())
	if !l.tail && l.cut == 0 {
		return err
	}
	head, openErr := openLog(l.path)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	err = errors.Join(err, l.join(head), head.Close())
	for _, piece := range []string{l.before(), l.newest()} {
		if removeErr := os.Remove(piece); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

func (l *cappedLog) join(head io.Writer) error {
	var tail []byte
	for _, piece := range []string{l.before(), l.newest()} {
		text, err := os.ReadFile(piece)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		tail = append(tail, text...)
	}
	if over := len(tail) - tailBytes; over > 0 {
		l.cut += int64(over)
		tail = tail[over:]
	}
	if l.cut > 0 {
		if _, err := fmt.Fprintf(head, "\n[%d bytes were cut here]\n", l.cut); err != nil {
			return err
		}
	}
	_, err := head.Write(tail)
	return err
}
