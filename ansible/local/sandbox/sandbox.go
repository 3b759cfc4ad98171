package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Spec says what runs and what it sees.
type Spec struct {
	// Command, Environment and Dir (a path inside) of the program.
	Command, Environment []string
	Dir                  string
	// ID is the program's user and group; it must be of nobody else.
	ID int
	// Binds are what the program sees of this machine beside the system's programs and libraries.
	Binds []Bind
	// Scratch are folders inside that only live in memory, each of at most ScratchBytes.
	Scratch      []string
	ScratchBytes int64
	// Limits of the program.
	Limits Limits
}

// Bind shows a file or folder of this machine. Both paths are absolute and clean, and Source has no symbolic link in it.
type Bind struct {
	Source, Target string
	// Writable lets the program change it, as far as its owner and mode do.
	Writable bool
}

// Limits bound what the program takes from this machine.
type Limits struct {
	// Processes counts all of the user, threads too; Files are open files of a process.
	Processes, Files uint64
	// Memory bounds a process's addresses, FileBytes a file's length.
	Memory, FileBytes uint64
}

// specDescriptor is where Enter reads its Spec: the first of exec.Cmd's ExtraFiles.
const specDescriptor = 3

// namespaces are all that the program has of its own. Time is not among them, users neither: root of a namespace of users
// could do more than a user without rights outside.
const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP

// Command returns a command that runs the Spec's program. enter is the command line of a process that calls Enter. What
// is added to ExtraFiles stays open in that process alone. The program ends with lifeline, which must stay open for its
// life; the caller closes it after the command has ended.
func Command(ctx context.Context, enter []string, s Spec) (cmd *exec.Cmd, lifeline io.Closer, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox: %w", err)
	}
	inside, outside, err := pipe(text)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox: %w", err)
	}
	cmd = exec.CommandContext(ctx, enter[0], enter[1:]...)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{inside}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	return cmd, closers{inside, outside}, nil
}

// pipeBytes is what a pipe takes before anybody reads (pipe(7), since Linux 2.6.11).
const pipeBytes = 64 << 10

// pipe returns a pipe that holds the text.
func pipe(text []byte) (inside, outside *os.File, err error) {
	if len(text) > pipeBytes {
		return nil, nil, fmt.Errorf("a description of %d bytes is longer than %d", len(text), pipeBytes)
	}
	inside, outside, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if _, err = outside.Write(text); err != nil {
		return nil, nil, errors.Join(err, inside.Close(), outside.Close())
	}
	return inside, outside, nil
}

// closers close everything.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var err error
	for _, closer := range c {
		err = errors.Join(err, closer.Close())
	}
	return err
}
