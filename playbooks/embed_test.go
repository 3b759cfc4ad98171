package playbooks

import (
	"os"
	"path/filepath"
	"testing"
)

const bootstrap = "ansible_collections/osp/edpm/playbooks/bootstrap.yml"

func TestExtractLaysDownTheCollection(t *testing.T) {
	dir := extracted(t)
	for _, name := range []string{
		bootstrap,
		"ansible_collections/osp/edpm/galaxy.yml",
		"ansible_collections/osp/edpm/plugins/callback/rackplane.py",
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is not in the extracted collection: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ansible_collections/osp/edpm/tests")); err == nil {
		t.Error("the collection's tests were embedded")
	}
}

func TestExtractLeavesRightContentsAlone(t *testing.T) {
	dir := extracted(t)
	before := stat(t, dir)
	cache := filepath.Join(dir, "ansible_collections/osp/edpm/plugins/filter/__pycache__")
	if err := os.Mkdir(cache, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cache, "edpm.cpython-311.pyc"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Extract(dir); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, stat(t, dir)) {
		t.Error("Extract replaced a collection that was right")
	}
}

func TestExtractReplacesOtherContents(t *testing.T) {
	dir := extracted(t)
	before := stat(t, dir)
	want, err := os.ReadFile(filepath.Join(dir, bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, bootstrap), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Extract(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, bootstrap))
	if err != nil || string(got) != string(want) {
		t.Errorf("after Extract bootstrap.yml is %q (%v), want the embedded one", got, err)
	}
	if os.SameFile(before, stat(t, dir)) {
		t.Error("Extract changed the folder in place, so a reader could have seen a part of it")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".playbooks-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("Extract left %v behind (%v)", left, err)
	}
}

func TestExtractNamesTheFolderItCannotWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent", "playbooks")
	if err := Extract(dir); err == nil {
		t.Errorf("Extract(%s) succeeded without a parent folder", dir)
	}
}

func TestHashIsOfTheContents(t *testing.T) {
	first := Hash()
	dir := extracted(t)
	second, err := hash(os.DirFS(dir), root)
	if err != nil || first != second || len(first) != 64 {
		t.Errorf("Hash() = %q, the extracted collection's is %q (%v); want the same 64 digits", first, second, err)
	}
	if err := os.WriteFile(filepath.Join(dir, bootstrap), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third, err := hash(os.DirFS(dir), root); err != nil || third == first {
		t.Errorf("the hash did not follow the contents (%v)", err)
	}
}

func extracted(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "playbooks")
	if err := Extract(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func stat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
