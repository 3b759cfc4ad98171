package adoption

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// systems are the operating systems the services run on: os-release ID to versions. An ID that is not here is looked up
// by what it is like. Families and versions are those of playbooks/roles/*/vars.
func systems() map[string][]string {
	el := []string{"9", "10"}
	return map[string][]string{
		"debian": {"12", "13"}, "ubuntu": {"24.04"},
		"rhel": el, "centos": el, "rocky": el, "almalinux": el, "ol": el,
	}
}

const systemsText = "Debian 12 or 13, Ubuntu 24.04, or Enterprise Linux 9 or 10"

func operatingSystem(l *look) {
	os := &l.facts.OS
	name := os.Name
	if name == "" {
		name = strings.TrimSpace(os.ID + " " + os.Version)
	}
	for _, id := range append([]string{os.ID}, os.Like...) {
		versions, known := systems()[id]
		if !known {
			continue
		}
		whole, _, _ := strings.Cut(os.Version, ".")
		if slices.Contains(versions, os.Version) || slices.Contains(versions, whole) {
			l.ok(name)
			return
		}
	}
	l.refuse(name, systemsText, "install one of these")
}

// modular reports whether the node's family ships libvirt as modular daemons (virtqemud) rather than libvirtd.
func (o OS) modular() bool {
	return slices.ContainsFunc(append([]string{o.ID}, o.Like...), func(id string) bool { return id == "rhel" || id == "fedora" || id == "centos" })
}

func kernel(l *look) {
	k := &l.facts.Kernel
	if l.wanted.Architecture != "" && k.Architecture != l.wanted.Architecture {
		l.refuse(k.Architecture, l.wanted.Architecture, "take the node out, or correct spec.hosts.requirements.cpu.arch")
	}
	if l.wanted.has(serviceNova) && !k.KVM {
		if l.wanted.Emulation {
			l.note("no /dev/kvm", "hardware virtualization", "servers will run emulated, about ten times slower, as edpm_nova_allow_qemu allows")
		} else {
			l.refuse("no /dev/kvm", "hardware virtualization", "switch it on in the firmware, or set edpm_nova_allow_qemu: true to run servers emulated")
		}
	}
	if newest := newestOf(k.Installed); newest != "" && newest != k.Running && newer(newest, k.Running) {
		reboot(l, k.Running+" running, "+newest+" installed", "the installed one running")
	}
	var missing []string
	for _, argument := range l.wanted.KernelArguments {
		if !slices.Contains(k.Arguments, argument) {
			missing = append(missing, argument)
		}
	}
	if len(missing) > 0 {
		reboot(l, "a kernel that was not started with "+list(missing), "these arguments (edpm_kernel_args)")
	}
	l.otherwise(k.Running + " " + k.Architecture)
}

// reboot tells of something that takes a restart of the node.
func reboot(l *look, found, wanted string) {
	if l.wanted.reboots() {
		l.disturb(found, wanted, "the service reboot-os will restart the node")
		return
	}
	l.note(found, wanted, "restart the node when it suits; no service will")
}

// newestOf is the newest kernel release; "" for none. Rescue kernels of EL, named by a machine-id, are none.
func newestOf(releases []string) string {
	newest := ""
	for _, r := range slices.Sorted(slices.Values(releases)) {
		if !strings.Contains(r, "rescue") && (newest == "" || newer(r, newest)) {
			newest = r
		}
	}
	return newest
}

// newer compares releases as people do: runs of digits by value, everything else by character. EL's distribution tag
// and what follows it say nothing of age, and would hide that 427.13.1.el9_4 comes after 427.el9.
func newer(a, b string) bool {
	a, _, _ = strings.Cut(a, ".el")
	b, _, _ = strings.Cut(b, ".el")
	for a != "" && b != "" {
		var x, y string
		x, a = chunk(a)
		y, b = chunk(b)
		if x == y {
			continue
		}
		if isDigit(x[0]) && isDigit(y[0]) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) > len(y)
			}
		}
		if x != y {
			return x > y
		}
	}
	return len(a) > len(b)
}

// chunk splits the first run of digits, or of anything else, off a text that is not empty.
func chunk(text string) (head, rest string) {
	i := 1
	for i < len(text) && isDigit(text[i]) == isDigit(text[0]) {
		i++
	}
	return text[:i], text[i:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// maxSkew is how far clocks may differ: certificates, tokens and Nova's own heartbeat (service_down_time, 60 s) build on them.
const maxSkew = 30 * time.Second

func clock(l *look) {
	skew := time.UnixMilli(l.facts.Clock.Unix).Sub(l.wanted.Now)
	if skew.Abs() > maxSkew {
		direction := "ahead"
		if skew < 0 {
			direction = "behind"
		}
		l.refuse("a clock about "+rough(skew.Abs())+" "+direction, "at most "+rough(maxSkew)+" from the engine's", "set it (chronyc makestep, timedatectl), and see that the engine's own is right")
	}
	if s := l.facts.Clock.Synchronised; s != nil && !*s {
		if l.wanted.has(serviceConfigure) {
			l.note("a clock that nothing synchronises", "one kept by NTP", "configure-os brings that")
		} else {
			l.note("a clock that nothing synchronises", "one kept by NTP", "set up chrony, or add configure-os to the services")
		}
	}
	l.otherwise("within " + rough(maxSkew) + " of the engine's")
}

// rough is a duration to one unit: two looks a moment apart must say the same.
func rough(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(10*time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Round(24*time.Hour).Hours()/24))
	}
}

func disk(l *look) {
	want := l.wanted.minFree()
	var fine []string
	told := map[int64]bool{}
	for _, d := range slices.SortedFunc(slices.Values(l.facts.Disks), func(a, b Disk) int { return strings.Compare(a.Path, b.Path) }) {
		if told[d.Device] || (d.Path == novaState && !l.wanted.has(serviceNova)) {
			continue
		}
		told[d.Device] = true
		switch {
		case d.ReadOnly:
			l.refuse(d.Path+" mounted read-only", "a file system that can be written to", "see the kernel's log for why, and remount it")
		case d.FreeBytes < want:
			l.refuse(gib(d.FreeBytes)+" free on "+d.Path, gib(want), "free space, or set spec.adoption.minFreeGiB")
		default:
			fine = append(fine, gib(d.FreeBytes)+" free on "+d.Path)
		}
	}
	if len(told) == 0 {
		l.refuse("no file system", gib(want)+" free on /", "log in and see why")
	}
	l.otherwise(strings.Join(fine, ", "))
}

// novaState is where Nova keeps servers' disks.
const novaState = "/var/lib/nova"

// gib is a size to a tenth of a GiB below 10, whole above.
func gib(bytes int64) string {
	size := float64(bytes) / (1 << 30)
	if size < 9.95 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", size), ".0") + " GiB"
	}
	return fmt.Sprintf("%.0f GiB", size)
}

func identity(l *look) {
	id := &l.facts.Identity
	want := l.wanted.HostName
	if short(id.HostName) != short(want) && id.FQDN != want {
		l.refuse("a host that calls itself "+id.HostName, want, fmt.Sprintf("run hostnamectl set-hostname %s, or set hostName in spec.nodes: Nova and OVN know a node by it", short(want)))
	} else if domain := strings.TrimPrefix(id.FQDN, short(id.FQDN)); domain != "" && id.FQDN != want {
		l.note("hostname -f saying "+id.FQDN, want, "bootstrap puts the wanted name first in /etc/hosts")
	}
	serves := l.runs("nova-compute") || len(l.facts.Guests) > 0
	host := id.NovaHost
	if host == "" && l.runs("nova-compute") {
		host = id.HostName // Nova's default (nova/conf/netconf.py: socket.gethostname)
	}
	if host != "" && host != want && l.wanted.has(serviceNova) {
		verdict := Note
		if serves {
			verdict = Refuse
		}
		l.add(verdict, "Nova knowing it as "+host, want, fmt.Sprintf("make %s its name (hostName in spec.nodes, dnsDomain in the NetConfig): else Nova sees a new compute", host))
	}
	if len(id.MachineID) != 32 {
		l.note("no machine-id", "one of its own", "run systemd-machine-id-setup")
	}
	l.otherwise(id.FQDN)
}
