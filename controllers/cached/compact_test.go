package cached

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

func decodedNode(t *testing.T) *v1alpha1.DataPlaneNode {
	t.Helper()
	node := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{v1alpha1.NodeSetLabel: "compute"}}}
	for _, name := range []string{"bootstrap", "network", "known"} {
		node.Spec.Services = append(node.Spec.Services, v1alpha1.ServiceInput{Name: name, InputHash: "hash-of-" + name})
		node.Status.Services = append(node.Status.Services, v1alpha1.ServiceResult{Name: name, InputHash: "hash-of-" + name, FinishedAt: metav1.Unix(1700000000, 0)})
	}
	data, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	decoded := &v1alpha1.DataPlaneNode{}
	if err := json.Unmarshal(data, decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// What the cache keeps is equal to what it was told, holds no room for more, and has a text once that many objects have.
func TestCachedObjectsShareTheirTexts(t *testing.T) {
	transform := Options().DefaultTransform
	one, other, want := decodedNode(t), decodedNode(t), decodedNode(t)
	for _, node := range []*v1alpha1.DataPlaneNode{one, other} {
		if kept, err := transform(node); err != nil || kept != any(node) {
			t.Fatal(kept, err)
		}
		if diff := cmp.Diff(want, node); diff != "" {
			t.Errorf("changed (-was +is):\n%s", diff)
		}
	}
	if cap(one.Spec.Services) != 3 || cap(one.Status.Services) != 3 {
		t.Errorf("room for %d and %d, want 3", cap(one.Spec.Services), cap(one.Status.Services))
	}
	same := func(a, b string) bool { return unsafe.StringData(a) == unsafe.StringData(b) }
	if !same(one.Spec.Services[2].InputHash, one.Status.Services[2].InputHash) || !same(one.Status.Services[0].Name, other.Spec.Services[0].Name) {
		t.Error("equal texts are held twice")
	}
	for _, label := range one.Labels {
		if !same(label, other.Labels[v1alpha1.NodeSetLabel]) {
			t.Error("a label's text is held twice")
		}
	}
}

// A text that many hold outlives those that are seen once, and what is long is left alone.
func TestTextsAreBounded(t *testing.T) {
	texts := newTexts()
	for i := range 100_000 {
		texts.share(time.Unix(int64(i), 0).String())
	}
	if held := int(unsafe.Sizeof(texts.table)) + len(texts.table)*(longest+16); held > 2<<20 {
		t.Errorf("%d bytes held, want 2 MiB at most", held)
	}
	long := string(make([]byte, longest+1))
	texts.share(long)
	for i := range texts.table {
		if seen := texts.table[i].Load(); seen != nil && len(*seen) > longest {
			t.Fatalf("a text of %d bytes is held", len(*seen))
		}
	}
}

// Of a host's hardware data no more is kept than hosts are chosen and networks rendered by, and no less: whatever is read of one that is
// filled in everywhere is read of what is kept of it.
func TestCachedHardware(t *testing.T) {
	details := &metal3v1alpha1.HardwareDetails{}
	fillIn(reflect.ValueOf(details).Elem())
	details.NIC = append(details.NIC, metal3v1alpha1.NIC{Name: "eno2"})
	details.Storage = append(details.Storage, metal3v1alpha1.Storage{Name: "/dev/sdb", SizeBytes: 3 * metal3v1alpha1.TebiByte}, metal3v1alpha1.Storage{Name: "/dev/sdc"})
	data := &metal3v1alpha1.HardwareData{Spec: metal3v1alpha1.HardwareDataSpec{HardwareDetails: details.DeepCopy()}}
	for obj, by := range Options().ByObject {
		if _, ok := obj.(*metal3v1alpha1.HardwareData); ok {
			if _, err := by.Transform(data); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := data.Spec.HardwareDetails
	if diff := cmp.Diff(hardware.FromMetal3(details), hardware.FromMetal3(kept)); diff != "" {
		t.Errorf("something that is read is not kept (-want +got):\n%s", diff)
	}
	if len(kept.CPU.Flags) > 0 || len(kept.Storage) != 1 || kept.Firmware != (metal3v1alpha1.Firmware{}) || kept.NIC[0].LLDP != nil {
		t.Errorf("%+v is kept: nothing of it is read", kept)
	}
}

// fillIn sets everything there is to something.
func fillIn(v reflect.Value) {
	switch kind := v.Kind(); {
	case kind == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(v.Elem())
	case kind == reflect.Struct:
		for _, field := range v.Fields() {
			fillIn(field)
		}
	case kind == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillIn(v.Index(0))
	case kind == reflect.String:
		v.SetString("X" + v.Type().Name())
	case kind == reflect.Bool:
		v.SetBool(true)
	case v.CanFloat():
		v.SetFloat(7)
	case v.CanInt():
		v.SetInt(7)
	}
}
