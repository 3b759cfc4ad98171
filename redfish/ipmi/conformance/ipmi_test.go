// Package conformance holds IPMI to real BMCs in software: OpenIPMI's ipmi_sim and virtualbmc.
package conformance

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/redfish"
	"github.com/rackplane/rackplane/redfish/broker"
	"github.com/rackplane/rackplane/redfish/ipmi"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/test/assets"
)

const user, password = "admin", "letmein-7"

// relay stands between client and BMC and counts what tells of a login.
type relay struct {
	address string

	mu    sync.Mutex
	rakp1 int // with the user name
	rakp3 int // with what is derived from the password
	open  int // sessions asked for
}

func (r *relay) counts() (opened, named, proved int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open, r.rakp1, r.rakp3
}

// between starts a relay to a BMC. Each client's port gets one of its own towards the BMC.
func between(t *testing.T, to string) *relay {
	t.Helper()
	front, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close() })
	r := &relay{address: front.LocalAddr().String()}
	go func() {
		backs := map[string]net.Conn{}
		packet := make([]byte, 2048)
		for {
			n, from, err := front.ReadFrom(packet)
			if err != nil {
				return
			}
			r.count(packet[:n])
			back := backs[from.String()]
			if back == nil {
				if back, err = net.Dial("udp4", to); err != nil {
					return
				}
				backs[from.String()] = back
				go func() {
					answer := make([]byte, 2048)
					for {
						n, err := back.Read(answer)
						if err != nil {
							return
						}
						_, _ = front.WriteTo(answer[:n], from)
					}
				}()
			}
			_, _ = back.Write(packet[:n])
		}
	}()
	return r
}

func (r *relay) count(packet []byte) {
	if len(packet) < 6 || packet[4] != 0x06 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch packet[5] & 0x3f {
	case 0x10:
		r.open++
	case 0x12:
		r.rakp1++
	case 0x14:
		r.rakp3++
	}
}

// ipmiSim runs OpenIPMI's simulator with a program for its chassis, and returns where.
func ipmiSim(t *testing.T) string {
	t.Helper()
	var tree assets.Tree
	if _, err := tree.Build(t.Context(), "deps.sh", "bmc"); err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freePort(t)
	host, port, _ := strings.Cut(address, ":")
	chassis := filepath.Join(dir, "chassis")
	write(t, filepath.Join(dir, "lan.conf"), fmt.Sprintf(`name "sim"
set_working_mc 0x20
  startlan 1
    addr %s %s
    priv_limit admin
    allowed_auths_admin md5
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%s 0x20"
  user 2 true "%s" "%s" admin 10 md5
`, host, port, chassis, user, password), 0o600)
	write(t, filepath.Join(dir, "sim.emu"), "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 0x09 0x08 0x9f 0x1291 0xf02\nmc_enable 0x20\n", 0o600)
	write(t, chassis, fmt.Sprintf(`#!/bin/sh
# get NAME... or set NAME VALUE..., after the device
cd %s
shift
verb=$1
shift
while [ $# -gt 0 ]; do
	case $verb in
	get)
		if [ -e "$1" ]; then echo "$1:$(cat "$1")"; elif [ "$1" = power ]; then echo power:0; else echo "$1:default"; fi
		shift
		;;
	set)
		echo "$2" >"$1"
		[ "$1" != reset ] || rm -f boot
		shift 2
		;;
	esac
done
`, dir), 0o700)
	run(t, dir, "ipmi_sim", "-n", "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "sim.emu"), "-s", dir)
	return address
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.LocalAddr().String()
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// run starts a program that ends with the test.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Log(string(text))
		}
		_ = log.Close()
	})
}

func login(word string) broker.Login {
	return broker.Login{Username: user, Password: secret.Value(word), Secret: "bmc-1", Version: word}
}

// server is the one behind a relay, with a broker that knows nothing yet.
func server(t *testing.T, r *relay, word string) (*ipmi.Server, *broker.Broker) {
	t.Helper()
	a, err := bmc.Parse("ipmi://" + r.address)
	if err != nil {
		t.Fatal(err)
	}
	b := broker.New(testingclock.NewFakeClock(time.Now()))
	return ipmi.New(b).Server(a, login(word)), b
}

// await waits until the BMC answers at all.
func await(t *testing.T, s *ipmi.Server) {
	t.Helper()
	_, err := s.Power(t.Context())
	for range 50 {
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
		_, err = s.Power(t.Context())
	}
	t.Fatal(err)
}

// refusedOnce holds a BMC to one login with a wrong password, whoever asks.
func refusedOnce(t *testing.T, r *relay) {
	t.Helper()
	wrong, b := server(t, r, "not-this")
	_, before, proved := r.counts()
	for range 3 {
		if _, err := wrong.Power(t.Context()); !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), "not-this") {
			t.Error(err)
		}
	}
	if _, named, now := r.counts(); named != before+1 || now > proved+1 {
		t.Errorf("%d logins with a wrong password", named-before)
	}
	if !b.Refused(broker.Target{Endpoint: "ipmi://" + r.address, Login: login("not-this")}) {
		t.Error("nobody is told")
	}
}

// TestIPMISim: power and boot device of OpenIPMI's simulator, which refuses cipher suite 17.
func TestIPMISim(t *testing.T) {
	r := between(t, ipmiSim(t))
	s, _ := server(t, r, password)
	await(t, s)
	set := func(a redfish.Action, want redfish.State) {
		t.Helper()
		if got, err := s.SetPower(t.Context(), a); err != nil || got.State != want {
			t.Fatalf("%s: %+v %v", a, got, err)
		}
	}
	set(redfish.Restart, redfish.Blocked)
	for range 2 {
		if got, err := s.SetOverride(t.Context(), redfish.Override{Target: "Pxe", Enabled: "Once"}); err != nil || got.State != redfish.Complete {
			t.Fatal(got, err)
		}
	}
	if got, err := s.Override(t.Context()); err != nil || got.Target != "None" { // it reads as not valid
		t.Error(got, err)
	}
	set(redfish.On, redfish.Complete)
	set(redfish.On, redfish.Complete)
	if got, err := s.SetOverride(t.Context(), redfish.Override{Target: "Cd"}); err != nil || got.State != redfish.Blocked {
		t.Error(got, err)
	}
	if _, err := s.SetOverride(t.Context(), redfish.Override{Target: "UefiHttp"}); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
	set(redfish.Off, redfish.Complete)
	if is, err := s.Power(t.Context()); err != nil || is != "Off" {
		t.Error(is, err)
	}
	refusedOnce(t, r)
}

// TestVirtualBMC: virtualbmc has cipher suite 3 alone and answers a question for 17 with it; nothing derived from the
// password is sent before 3 was asked for by name.
func TestVirtualBMC(t *testing.T) {
	r := between(t, virtualBMC(t))
	s, _ := server(t, r, password)
	await(t, s)
	opened, named, _ := r.counts()
	if is, err := s.Power(t.Context()); err != nil || is != "On" {
		t.Error(is, err)
	}
	if now, then, _ := r.counts(); now-opened != 2 || then-named != 1 {
		t.Errorf("%d sessions were asked for and %d logins made", now-opened, then-named)
	}
	if got, err := s.SetOverride(t.Context(), redfish.Override{Target: "Pxe"}); err != nil || got.State != redfish.Blocked {
		t.Error(got, err)
	}
	refusedOnce(t, r)
}

// virtualBMC runs virtualbmc 3.3.0 for the one machine of libvirt's test hypervisor, which is on.
func virtualBMC(t *testing.T) string {
	t.Helper()
	var tree assets.Tree
	if _, err := tree.Build(t.Context(), "deps.sh", "bmc"); err != nil {
		t.Fatal(err)
	}
	venv, err := tree.Build(t.Context(), "bmc/venv.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freePort(t)
	_, port, _ := strings.Cut(address, ":")
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bmc.py")
	write(t, program, fmt.Sprintf(`from virtualbmc.vbmc import VirtualBMC
VirtualBMC(username=%q, password=%q, port=%d, address="127.0.0.1", domain_name="test", libvirt_uri="test:///default").listen()
`, user, password, number), 0o600)
	run(t, dir, filepath.Join(venv, "bin", "python"), program)
	return address
}
