package rack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// bootConfigs lists where boot media keep the boot loader's configuration: Ironic's UEFI and BIOS media
// (ironic 39.0.0, conf/default.py, grub_config_path; common/images.py, ISOLINUX_CFG) and what distributions add.
func bootConfigs() []string {
	return []string{
		"/EFI/BOOT/grub.cfg", "/boot/grub/grub.cfg", "/isolinux/isolinux.cfg", "/EFI/debian/grub.cfg", "/EFI/ubuntu/grub.cfg",
	}
}

// kernelCommandLine downloads boot media and returns the command line of the first kernel it would boot.
func kernelCommandLine(ctx context.Context, source, scratch string) (string, error) {
	dir, err := os.MkdirTemp(scratch, "media-")
	if err != nil {
		return "", fmt.Errorf("boot media: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	iso := filepath.Join(dir, "media.iso")
	if err := download(ctx, source, iso); err != nil {
		return "", err
	}
	for i, name := range bootConfigs() {
		to := filepath.Join(dir, fmt.Sprint("config", i))
		// xorriso exits non-zero when the file is not there, which is how the next place is tried.
		if err := run(ctx, "xorriso", "-osirrox", "on", "-indev", iso, "-extract", name, to); err != nil {
			continue
		}
		text, err := os.ReadFile(to)
		if err != nil {
			return "", fmt.Errorf("boot media: %w", err)
		}
		return parseBootConfig(string(text))
	}
	return "", fmt.Errorf("boot media %s: no boot loader configuration found", source)
}

// parseBootConfig finds the kernel's arguments in a GRUB configuration ("linux KERNEL ARGS")
// or an ISOLINUX one ("append ARGS").
func parseBootConfig(text string) (string, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 2 && (fields[0] == "linux" || fields[0] == "linuxefi"):
			return strings.Join(fields[2:], " "), nil
		case len(fields) >= 1 && strings.EqualFold(fields[0], "append"):
			return strings.Join(fields[1:], " "), nil
		}
	}
	return "", errors.New("boot media: the boot loader configuration boots no kernel")
}

// extractISO unpacks an ISO image, an archive of plain files, into a directory.
func extractISO(ctx context.Context, iso, dir string) error {
	if err := run(ctx, "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", dir); err != nil {
		return err
	}
	// What comes from read-only media is read-only; the owner of the copy has to be able to remove it.
	return run(ctx, "chmod", "-R", "u+w", dir)
}

// download stores what a URL serves in a file.
func download(ctx context.Context, source, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("download %s: %s", source, resp.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	_, err = io.Copy(out, resp.Body)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("download %s: %w", source, err)
	}
	return nil
}
