package rack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestParseBootConfig(t *testing.T) {
	tests := map[string]struct {
		text, want string
	}{
		"GRUB":     {"menuentry \"boot_partition\" {\nlinux /vmlinuz ipa-api-url=http://i a=b --\ninitrd /initrd\n}\n", "ipa-api-url=http://i a=b --"},
		"ISOLINUX": {"label boot\nkernel /vmlinuz\nappend initrd=/initrd text a=b --\n", "initrd=/initrd text a=b --"},
		"no args":  {"linux /vmlinuz\n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := parseBootConfig(test.text); err != nil || got != test.want {
				t.Errorf("parseBootConfig = %q, %v; want %q", got, err, test.want)
			}
		})
	}
	if _, err := parseBootConfig("set timeout=5\n"); err == nil {
		t.Error("a configuration without a kernel was accepted")
	}
}

// gptDisk is the start of a disk with one partition of the given type.
func gptDisk(kind [16]byte, first, last uint64) []byte {
	disk := make([]byte, 34*sector)
	header := disk[sector:]
	copy(header, "EFI PART")
	binary.LittleEndian.PutUint64(header[72:], 2)
	binary.LittleEndian.PutUint32(header[80:], 128)
	binary.LittleEndian.PutUint32(header[84:], 128)
	entry := disk[2*sector+128:] // the second of 128 entries
	copy(entry, kind[:])
	binary.LittleEndian.PutUint64(entry[32:], first)
	binary.LittleEndian.PutUint64(entry[40:], last)
	return disk
}

func TestRootPartition(t *testing.T) {
	got, err := rootPartition(bytes.NewReader(gptDisk(rootTypes()[0], 2048, 4095)))
	if want := (extent{offset: 1 << 20, size: 1 << 20}); err != nil || got != want {
		t.Errorf("rootPartition = %+v, %v; want %+v", got, err, want)
	}
	for name, disk := range map[string][]byte{
		"swap only": gptDisk([16]byte{0x6d, 0xfd, 0x57, 0x06}, 2048, 4095),
		"empty":     make([]byte, 34*sector),
		"tiny":      {},
	} {
		if _, err := rootPartition(bytes.NewReader(disk)); !errors.Is(err, errNoSystem) {
			t.Errorf("%s disk: %v, want errNoSystem", name, err)
		}
	}
}

func TestEraseTables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.raw")
	if err := eraseTables(file); err != nil {
		t.Errorf("a disk that was never written: %v", err)
	}
	if err := os.WriteFile(file, append(gptDisk(rootTypes()[1], 2048, 4095), make([]byte, 1<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := eraseTables(file); err != nil {
		t.Fatal(err)
	}
	if err := mountRoot(t.Context(), file, filepath.Join(t.TempDir(), "root")); !errors.Is(err, errNoSystem) {
		t.Errorf("mounting an erased disk: %v, want errNoSystem", err)
	}
}
