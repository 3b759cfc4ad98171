package agent

import (
	"context"
	"crypto/md5"  //nolint:gosec // Ironic allows MD5 checksums; the agent has to verify what it is given
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
)

// image is what Ironic tells about an image (ironic, drivers/modules/agent.py, AgentDeploy.write_image).
type image struct {
	ID         string   `json:"id"`
	URLs       []string `json:"urls"`
	DiskFormat string   `json:"disk_format"`
	Checksum   string   `json:"checksum"`
	HashAlgo   string   `json:"os_hash_algo"`
	HashValue  string   `json:"os_hash_value"`
}

// format is the image's format for qemu-img; the agent takes an undeclared one for qcow2, which is checked on use.
func (i image) format() string {
	if i.DiskFormat == "" {
		return "qcow2"
	}
	return i.DiskFormat
}

// scratchFile is a download that its user removes.
type scratchFile struct{ path string }

func (f scratchFile) remove() { _ = os.Remove(f.path) }

// download fetches an image to a scratch file and verifies it.
func (a *agent) download(ctx context.Context, img image) (scratchFile, error) {
	if len(img.URLs) == 0 {
		return scratchFile{}, errors.New("write_image: image_info names no URL")
	}
	source := img.URLs[0]
	algorithm, want, err := a.expected(ctx, img)
	if err != nil {
		return scratchFile{}, err
	}
	sum, err := newHash(algorithm)
	if err != nil {
		return scratchFile{}, err
	}
	file, err := a.stream(ctx, source, sum)
	if err != nil {
		return scratchFile{}, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(got, want) {
		file.remove()
		return scratchFile{}, &failure{
			kind:    "ImageChecksumError",
			message: "Error verifying image checksum",
			details: fmt.Sprintf("Image failed to verify against checksum. location: %s; image ID: %s; image checksum: %s; verification checksum: %s",
				source, img.ID, got, want),
		}
	}
	return file, nil
}

// stream copies a URL into a new scratch file and into sum.
func (a *agent) stream(ctx context.Context, source string, sum io.Writer) (scratchFile, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return scratchFile{}, fmt.Errorf("download: %w", err)
	}
	resp, err := a.images.Do(req)
	if err != nil {
		return scratchFile{}, &failure{kind: "ImageDownloadError", message: "Error downloading image", details: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return scratchFile{}, &failure{kind: "ImageDownloadError", message: "Error downloading image", details: source + ": " + resp.Status}
	}
	out, err := os.CreateTemp(a.scratch, "image-")
	if err != nil {
		return scratchFile{}, fmt.Errorf("download: %w", err)
	}
	file := scratchFile{path: out.Name()}
	_, err = io.Copy(io.MultiWriter(out, sum), resp.Body)
	if err := errors.Join(err, out.Close()); err != nil {
		file.remove()
		return scratchFile{}, &failure{kind: "ImageDownloadError", message: "Error downloading image", details: err.Error()}
	}
	return file, nil
}

// expected tells which checksum the image must have. The SHA-2 pair goes before the older single field,
// and either may be the URL of a checksum file.
func (a *agent) expected(ctx context.Context, img image) (algorithm, value string, err error) {
	algorithm, value = img.HashAlgo, img.HashValue
	if algorithm == "" || value == "" {
		algorithm, value = "", img.Checksum
	}
	if strings.Contains(value, "://") {
		data, err := a.fetch(ctx, value, 1<<20)
		if err != nil {
			return "", "", err
		}
		value, err = findChecksum(string(data), img.URLs[0])
		if err != nil {
			return "", "", err
		}
	}
	if algorithm == "" {
		algorithm, err = algorithmOf(value)
	}
	return algorithm, value, err
}

// findChecksum reads a checksum file: one lone value, or lines "value name", "value *name" or "ALGO (name) = value",
// of which the one for the image's file name counts (ironic-python-agent, extensions/standby.py, _fetch_checksum).
func findChecksum(text, source string) (string, error) {
	parsed, err := url.Parse(source)
	if err != nil {
		return "", fmt.Errorf("image URL: %w", err)
	}
	name := path.Base(parsed.Path)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && len(strings.Fields(text)) == 1:
			return fields[0], nil
		case len(fields) == 2 && strings.TrimPrefix(fields[1], "*") == name:
			return fields[0], nil
		case len(fields) == 4 && fields[1] == "("+name+")" && fields[2] == "=":
			return fields[3], nil
		}
	}
	return "", &failure{
		kind: "ImageDownloadError", message: "Error downloading image",
		details: "Checksum file does not contain name " + name,
	}
}

// algorithmOf tells the algorithm from the length of a hexadecimal checksum.
func algorithmOf(value string) (string, error) {
	switch len(value) {
	case hex.EncodedLen(md5.Size):
		return "md5", nil
	case hex.EncodedLen(sha256.Size):
		return "sha256", nil
	case hex.EncodedLen(sha512.Size):
		return "sha512", nil
	default:
		return "", &failure{
			kind: "ImageChecksumError", message: "Unable to identify the checksum's algorithm",
			details: fmt.Sprintf("checksum has %d characters", len(value)),
		}
	}
}

func newHash(algorithm string) (hash.Hash, error) {
	switch strings.ToLower(algorithm) {
	case "md5":
		return md5.New(), nil //nolint:gosec // see the import
	case "sha1":
		return sha1.New(), nil //nolint:gosec // see the import
	case "sha256":
		return sha256.New(), nil
	case "sha512":
		return sha512.New(), nil
	default:
		return nil, &failure{
			kind: "RESTError", message: "Unable to verify image", details: "Unsupported checksum algorithm " + algorithm,
		}
	}
}
