package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// While the walls are built, the new root is a file system in memory: oldRoot has all of the machine in it until it is
// taken away, and newRoot is what the program gets. That the program's root is a folder of the namespace's root is
// wanted: the kernel lets no process in there make namespaces of users (user_namespaces(7): EPERM, chroot).
const (
	oldRoot = "/old"
	newRoot = "/new"
)

// The attributes of mounts: none inside is for programs of other users or devices.
const (
	readOnly = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	writable = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	device   = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
)

// systemFolders are the system's programs and libraries; where one is a link into /usr, as on most systems today, so it
// is inside.
func systemFolders() []string {
	return []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
}

// systemFiles are the settings that programs need to start, and that tell nothing: how libraries and commands are found,
// the time zone, which ciphers the system allows.
func systemFiles() []string {
	return []string{
		"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/crypto-policies", "/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf",
		"/etc/protocols", "/etc/services", "/etc/gai.conf",
	}
}

func devices() []string {
	return []string{"null", "zero", "full", "random", "urandom", "tty"}
}

// build replaces the file system by the Spec's.
func build(s Spec) error {
	unix.Umask(0o022)
	if err := pivot(); err != nil {
		return fmt.Errorf("take a root of its own: %w", err)
	}
	for _, part := range []func(Spec) error{bindSystem, writeAccounts, mountKernel, bindSpec} {
		if err := part(s); err != nil {
			return err
		}
	}
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("take the machine's files away: %w", err)
	}
	if err := setAttributes("", readOnly, 0); err != nil {
		return err
	}
	if err := unix.Chroot(newRoot); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.Sethostname([]byte("ansible")); err != nil {
		return fmt.Errorf("take a name of its own: %w", err)
	}
	return os.Chdir("/")
}

// pivot makes a file system in memory the root, with the machine's below it.
func pivot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	const base = "/tmp" // every system has it; what is in there is seen below oldRoot
	if err := unix.Mount("root", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{oldRoot, newRoot} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(base, filepath.Join(base, oldRoot)); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Mount("root", newRoot, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=755")
}

func bindSystem(Spec) error {
	if err := bind("/usr", "/usr", readOnly); err != nil {
		return err
	}
	for _, path := range systemFolders() {
		target, err := os.Readlink(oldRoot + path)
		switch {
		case err == nil:
			err = os.Symlink(target, newRoot+path)
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		default: // no link
			err = bind(path, path, readOnly)
		}
		if err != nil {
			return err
		}
	}
	for _, path := range systemFiles() {
		// It may be a link to something that is not there, as in a container.
		source, err := resolve(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = bind(source, path, readOnly)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resolve follows links of the machine's own root.
func resolve(path string) (string, error) {
	for range 8 {
		target, err := os.Readlink(oldRoot + path)
		if err != nil {
			_, err = os.Stat(oldRoot + path)
			return path, err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", fmt.Errorf("%s: %w", path, unix.ELOOP)
}

// writeAccounts makes the user known: OpenSSH does nothing for one without a name.
func writeAccounts(s Spec) error {
	id := strconv.Itoa(s.ID)
	for path, text := range map[string]string{
		"/etc/passwd":        "ansible:x:" + id + ":" + id + "::" + s.Dir + ":/bin/sh\n",
		"/etc/group":         "ansible:x:" + id + ":\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	} {
		if err := os.MkdirAll(filepath.Dir(newRoot+path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(newRoot+path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mountKernel shows the kernel's own files: processes of this namespace only, and devices that do nothing.
func mountKernel(Spec) error {
	if err := mountNew("proc", "/proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := mountNew("tmpfs", "/dev", unix.MS_NOSUID|unix.MS_NOEXEC, "size=64k,mode=755"); err != nil {
		return err
	}
	for _, name := range devices() {
		if err := bind("/dev/"+name, "/dev/"+name, device); err != nil {
			return err
		}
	}
	if err := mountNew("devpts", "/dev/pts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return err
	}
	for link, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, newRoot+"/dev/"+link); err != nil {
			return err
		}
	}
	return nil
}

// bindSpec shows what the Spec names, and makes the folders that may be written to; one may lie in what is shown.
func bindSpec(s Spec) error {
	if err := mountScratch(s, "/tmp", "/dev/shm"); err != nil {
		return err
	}
	if err := setAttributes("/dev", unix.MOUNT_ATTR_RDONLY|device, 0); err != nil {
		return err
	}
	for _, b := range s.Binds {
		attributes := uint64(readOnly)
		if b.Writable {
			attributes = writable
		}
		if err := bind(b.Source, b.Target, attributes); err != nil {
			return err
		}
	}
	return mountScratch(s, s.Scratch...)
}

func mountScratch(s Spec, paths ...string) error {
	options := fmt.Sprintf("size=%d,nr_inodes=65536,mode=700,uid=%d,gid=%d", s.ScratchBytes, s.ID, s.ID)
	for _, path := range paths {
		if err := mountNew("tmpfs", path, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return err
		}
	}
	return nil
}

// mountNew mounts a file system of the kernel's at a path of the new root.
func mountNew(kind, path string, flags uintptr, options string) error {
	if err := os.MkdirAll(newRoot+path, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, newRoot+path, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return nil
}

// bind shows a path of the machine, with all that is mounted below it, at a path of the new root.
func bind(source, target string, attributes uint64) error {
	info, err := os.Stat(oldRoot + source)
	if err != nil {
		return fmt.Errorf("show %s: %w", source, err)
	}
	if err := makeTarget(newRoot+target, info.Mode()); err != nil {
		return fmt.Errorf("show %s: %w", source, err)
	}
	if err := unix.Mount(oldRoot+source, newRoot+target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s: %w", source, err)
	}
	return setAttributes(target, attributes, unix.AT_RECURSIVE)
}

// makeTarget makes what a mount is put on, of the kind that is shown there.
func makeTarget(path string, mode fs.FileMode) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if mode.IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o644)
}

func setAttributes(path string, attributes uint64, flags uint) error {
	err := unix.MountSetattr(unix.AT_FDCWD, newRoot+path, flags, &unix.MountAttr{Attr_set: attributes})
	if err != nil {
		return fmt.Errorf("limit what can be done in %s (Linux 5.12 or newer is needed): %w", path, err)
	}
	return nil
}
