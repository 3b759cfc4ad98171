package node_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
)

// sharing gives those who want no copy of a NodeSet the same one again and again, as a cache does.
type sharing struct {
	client.Reader
	sets map[string]*v1alpha1.NodeSet // by version: what is shared
}

// shared reads like a cache, and fails the test when something changes what it gave without a copy.
func shared(t *testing.T, r client.Reader) client.Reader {
	t.Helper()
	s := sharing{r, map[string]*v1alpha1.NodeSet{}}
	asRead := map[string]*v1alpha1.NodeSet{}
	t.Cleanup(func() {
		for version, set := range s.sets {
			if diff := cmp.Diff(asRead[version], set); diff != "" {
				t.Errorf("a NodeSet of the cache was changed:\n%s", diff)
			}
		}
	})
	return reads{s, func(version string, set *v1alpha1.NodeSet) { asRead[version] = set.DeepCopy() }}
}

// reads tells of sets that are shared for the first time.
type reads struct {
	sharing
	first func(version string, set *v1alpha1.NodeSet)
}

func (r reads) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	set, ok := obj.(*v1alpha1.NodeSet)
	if err := r.Reader.Get(ctx, key, obj); err != nil || !ok || !uncopied(opts) {
		return err
	}
	version := string(set.UID) + set.ResourceVersion
	if r.sets[version] == nil {
		r.sets[version] = set.DeepCopy()
		r.first(version, set)
	}
	*set = *r.sets[version]
	return nil
}

func uncopied(opts []client.GetOption) bool {
	var o client.GetOptions
	o.ApplyOptions(opts)
	return o.UnsafeDisableDeepCopy != nil && *o.UnsafeDisableDeepCopy
}

// memory gives objects as an informer's store does: copied, unless the caller wants none.
type memory struct {
	client.Reader
	set    *v1alpha1.NodeSet
	node   *v1alpha1.DataPlaneNode
	secret *corev1.Secret
	config v1alpha1.NetConfigList
	copies bool // whoever wants none gets one all the same
}

func (m *memory) Get(_ context.Context, _ client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	switch o := obj.(type) {
	case *v1alpha1.NodeSet:
		if *o = *m.set; m.copies || !uncopied(opts) {
			m.set.DeepCopyInto(o)
		}
	case *v1alpha1.DataPlaneNode:
		m.node.DeepCopyInto(o)
	case *corev1.Secret:
		m.secret.DeepCopyInto(o)
	default:
		return fmt.Errorf("no %T", obj)
	}
	return nil
}

func (m *memory) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if l, ok := list.(*v1alpha1.NetConfigList); ok {
		m.config.DeepCopyInto(l)
		return nil
	}
	return fmt.Errorf("no %T", list)
}

// BenchmarkPass is a pass over a node that does not answer, one of a thousand explicit ones of 1.5 KB each.
func BenchmarkPass(b *testing.B) {
	for name, copies := range map[string]bool{"shared": false, "copied": true} {
		b.Run(name, func(b *testing.B) {
			set := steptest.NodeSet(0)
			set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.HostNameTemplate, set.Spec.Image = true, nil, "", nil
			set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
			set.Spec.Nodes = map[string]v1alpha1.NodeSection{}
			for i := range 1000 {
				vars := map[string]apiextensionsv1.JSON{}
				for v := range 15 {
					vars[fmt.Sprintf("edpm_variable_%d", v)] = apiextensionsv1.JSON{Raw: fmt.Appendf(nil, "%q", fmt.Sprintf("%080d", i))}
				}
				set.Spec.Nodes[fmt.Sprintf("n%d", i)] = v1alpha1.NodeSection{
					Ansible: v1alpha1.AnsibleOptions{AnsibleHost: fmt.Sprintf("n%d", i), AnsibleVars: vars}, SSHHostKeys: []string{steptest.HostKey},
				}
			}
			n := planned()
			n.Spec.Host = nil
			m := &memory{set: set, node: n, secret: steptest.LoginSecret(b), config: v1alpha1.NetConfigList{Items: []v1alpha1.NetConfig{*steptest.NetConfig()}}, copies: copies}
			api := steptest.New(b, n)
			silent := &prober{err: fault.New(fault.Transient, "no answer")}
			controller := node.Reconciler{Client: api, Reader: m, Live: m, Answers: silent, Clock: api.Clock, Events: &events.FakeRecorder{}}
			pass := func() {
				if _, err := steptest.Pass(b.Context(), &controller, client.ObjectKeyFromObject(n)); err != nil {
					b.Fatal(err)
				}
			}
			pass()
			m.node = &v1alpha1.DataPlaneNode{}
			if err := api.Plain.Get(b.Context(), client.ObjectKeyFromObject(n), m.node); err != nil {
				b.Fatal(err)
			}
			api.Writes()
			b.ReportAllocs()
			for b.Loop() {
				pass()
			}
			if w := api.Writes(); len(w) > 0 {
				b.Errorf("%d writes, first %v", len(w), w[0])
			}
		})
	}
}
