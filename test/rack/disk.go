package rack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// sector is the logical block size of every simulated disk, in bytes.
const sector = 512

// rootTypes lists the type GUIDs of partitions that can hold a root file system, in their on-disk byte order
// (UEFI 2.10, 5.3.3; Discoverable Partitions Specification): "Linux filesystem" and "root, x86-64".
func rootTypes() [2][16]byte {
	return [2][16]byte{
		{0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4},
		{0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09},
	}
}

// errNoSystem means that a disk holds nothing to boot.
var errNoSystem = errors.New("the disk holds no root partition")

// extent is a range of a disk, in bytes.
type extent struct{ offset, size int64 }

// rootPartition finds the first partition of a GPT disk that can hold a root file system.
func rootPartition(disk io.ReaderAt) (extent, error) {
	header := make([]byte, sector)
	if _, err := disk.ReadAt(header, sector); err != nil && !errors.Is(err, io.EOF) {
		return extent{}, fmt.Errorf("read partition table: %w", err)
	}
	if !bytes.HasPrefix(header, []byte("EFI PART")) {
		return extent{}, errNoSystem
	}
	table := int64(binary.LittleEndian.Uint64(header[72:])) * sector //nolint:gosec // checked by reading
	count := binary.LittleEndian.Uint32(header[80:])
	size := binary.LittleEndian.Uint32(header[84:])
	if count > 1024 || size < 128 || size > 4096 {
		return extent{}, errNoSystem
	}
	entries := make([]byte, count*size)
	if _, err := disk.ReadAt(entries, table); err != nil {
		return extent{}, fmt.Errorf("read partition table: %w", err)
	}
	for i := range count {
		entry := entries[i*size:]
		for _, kind := range rootTypes() {
			if bytes.Equal(entry[:16], kind[:]) {
				first := int64(binary.LittleEndian.Uint64(entry[32:])) //nolint:gosec // checked by mounting
				last := int64(binary.LittleEndian.Uint64(entry[40:]))  //nolint:gosec // checked by mounting
				return extent{offset: first * sector, size: (last - first + 1) * sector}, nil
			}
		}
	}
	return extent{}, errNoSystem
}

// mountRoot mounts the root partition of a disk file. The loop device frees itself when unmounted.
func mountRoot(ctx context.Context, file, target string) error {
	disk, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return errNoSystem
	} else if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	defer func() { _ = disk.Close() }()
	part, err := rootPartition(disk)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	return run(ctx, "mount", "-o", fmt.Sprintf("loop,offset=%d,sizelimit=%d", part.offset, part.size), file, target)
}

// eraseTables destroys a disk's partition tables, primary at its start and backup at its end.
// A disk that was never written is left as it is.
func eraseTables(file string) error {
	disk, err := os.OpenFile(file, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	defer func() { _ = disk.Close() }()
	info, err := disk.Stat()
	if err != nil {
		return fmt.Errorf("erase disk: %w", err)
	}
	zeros := make([]byte, 34*sector)
	_, err = disk.WriteAt(zeros, 0)
	if end := info.Size() - int64(len(zeros)); err == nil && end > 0 {
		_, err = disk.WriteAt(zeros, end)
	}
	if err != nil {
		return fmt.Errorf("erase disk: %w", err)
	}
	return nil
}
