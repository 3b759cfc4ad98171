// Package sandbox runs one program behind walls: another user without any
// privilege, a file system that shows what the Spec names and nothing else, no
// network nor sockets that lead past it, and processes of its own. It takes nothing but a Linux kernel of 5.12
// or newer and root; there is nothing to install.
//
// The program's first process is Enter, in a process that Command starts in new
// namespaces. It builds the file system, gives up every right, and is then the
// init of the program's PID namespace: it reaps, passes SIGTERM on, and ends
// with the program. Its end, by whatever cause, ends every process in there, and
// so does the end of the process that called Command.
package sandbox
