package sandbox

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// families are the sockets that the program may make: what its network namespace holds, and the kernel's answers about it.
// Others know no such namespace: AF_VSOCK (vsock(7)) leads from any of them to this machine and its hypervisor.
func families() []uint32 {
	return []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
}

// Where the kernel puts what a filter looks at (seccomp(2), struct seccomp_data), on machines that are little-endian.
const (
	dataNumber, dataArchitecture, dataFirstArgument = 0, 4, 16
	// otherNumbers begin those of the x32 ABI, which are other ones on the same architecture.
	otherNumbers = 0x40000000
)

// architecture is the machine's, as the kernel calls it (linux/audit.h).
func architecture() (uint32, error) {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64, nil
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64, nil
	}
	return 0, fmt.Errorf("system calls of %s are not known here", runtime.GOARCH)
}

// filter is a program for the kernel (seccomp(2)) that refuses other sockets, and io_uring, which makes sockets past it.
func filter() ([]unix.SockFilter, error) {
	native, err := architecture()
	if err != nil {
		return nil, err
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	// A jump skips so many of the instructions that follow it.
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	missing, foreign := answer(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)), answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EAFNOSUPPORT))
	program := []unix.SockFilter{
		load(dataArchitecture),
		jump(unix.BPF_JEQ, native, 1, 0),
		missing,
		load(dataNumber),
		jump(unix.BPF_JGE, otherNumbers, 1, 0),
		jump(unix.BPF_JEQ, unix.SYS_IO_URING_SETUP, 0, 1),
		missing,
		jump(unix.BPF_JEQ, unix.SYS_SOCKET, 1, 0),
		answer(unix.SECCOMP_RET_ALLOW),
		load(dataFirstArgument),
	}
	for _, family := range families() {
		program = append(program, jump(unix.BPF_JEQ, family, 0, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	return append(program, foreign), nil
}

// refuseSockets filters the system calls of this thread and of what it starts, for good. It takes no new privileges.
func refuseSockets() error {
	program, err := filter()
	if err != nil {
		return err
	}
	length := len(program)
	if length < 0 || length > math.MaxUint16 {
		return fmt.Errorf("a filter of %d instructions is too long", length)
	}
	p := unix.SockFprog{Len: uint16(length), Filter: &program[0]}
	// Older kernels slow down everything of a filtered process unless they are told not to.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&p))) //nolint:gosec // the kernel takes a pointer
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("refuse sockets of other families: %w", errno)
	}
	return nil
}
