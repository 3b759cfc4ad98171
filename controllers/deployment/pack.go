package deployment

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/fault"
)

// A packed snapshot is a gzipped tar archive of these files: text stays text, which compresses as JSON strings in base64
// would not. Data of the services lie under dataFolder, by the service's index.
const (
	planFile      = "plan.json"
	inventoryFile = "inventory.yaml"
	hostsFile     = "hosts.json"
	dataFolder    = "data"
)

const (
	// maxPart is how much of a packed snapshot one Secret holds: in base64, with its metadata, it stays below 256 KiB. The API
	// server answers objects between etcd's limit of 1.5 MiB and its own of 3 MiB with a 500 that gives no reason.
	maxPart = 180 << 10
	// maxParts is how many Secrets one snapshot may take.
	maxParts = 64
	// maxArchive is how large a snapshot may be unpacked, in bytes; 5,000 nodes take an eighth of it (TestNoObjectIsTooLarge). Whoever may write Secrets could
	// else have a few of them unpack to more than the engine has memory.
	maxArchive = 128 << 20
)

// pack writes the snapshot as an archive and sets its digest.
func (s *snapshot) pack() ([]byte, error) {
	hosts, err := json.Marshal(s.Hosts)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot: %w", err)
	}
	files := map[string][]byte{inventoryFile: s.Inventory, hostsFile: hosts}
	plan := *s
	plan.Services = slices.Clone(s.Services)
	for i := range plan.Services {
		for name, content := range plan.Services[i].Data {
			files[path.Join(dataFolder, strconv.Itoa(i), name)] = content
		}
		plan.Services[i].Data = nil
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot: %w", err)
	}
	files[planFile] = text
	var archive, packed bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o600})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			return nil, fmt.Errorf("pack the snapshot: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the snapshot: %w", err)
	}
	s.digest, s.size = digest(archive.Bytes()), archive.Len()
	z := gzip.NewWriter(&packed)
	_, err = z.Write(archive.Bytes())
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("pack the snapshot: %w", err)
	}
	return packed.Bytes(), nil
}

// unpack reads a packed snapshot, which must be the one with the digest.
func unpack(packed []byte, sum string) (snapshot, error) {
	damaged := func(err error) (snapshot, error) {
		return snapshot{}, fault.Wrap(fault.Rejected, err, "the snapshot is damaged: delete the DataPlaneDeployment, another one is made")
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return damaged(err)
	}
	archive, err := io.ReadAll(io.LimitReader(z, maxArchive+1))
	if err == nil && len(archive) > maxArchive {
		err = fmt.Errorf("it is larger than %d KiB", maxArchive>>10)
	}
	if err != nil {
		return damaged(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			files[h.Name], err = io.ReadAll(r)
		}
		if err != nil {
			return damaged(err)
		}
	}
	s := snapshot{digest: digest(archive)}
	if s.digest != sum {
		return damaged(fmt.Errorf("its digest is %s, not %s", s.digest, sum))
	}
	if err := json.Unmarshal(files[planFile], &s); err != nil {
		return damaged(err)
	}
	if err := json.Unmarshal(files[hostsFile], &s.Hosts); err != nil { // an older version's has no such file
		return damaged(fmt.Errorf("host keys: %w", err))
	}
	s.Inventory = files[inventoryFile]
	s.addData(files)
	return s, nil
}

// addData gives the services their files back.
func (s *snapshot) addData(files map[string][]byte) {
	for name, content := range files {
		rest, ok := strings.CutPrefix(name, dataFolder+"/")
		if !ok {
			continue
		}
		index, file, _ := strings.Cut(rest, "/")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(s.Services) {
			continue // pack writes no such file
		}
		if s.Services[i].Data == nil {
			s.Services[i].Data = map[string][]byte{}
		}
		s.Services[i].Data[file] = content
	}
}

// cut returns the packed snapshot in parts that fit into one object each.
func cut(packed []byte) [][]byte { return slices.Collect(slices.Chunk(packed, maxPart)) }
