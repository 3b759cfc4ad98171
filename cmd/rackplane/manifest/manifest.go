// Package manifest reads objects from files, or from a cluster at one moment, so
// that what plans for an API server can plan for them with the same code.
package manifest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// maxFile bounds one file, in bytes: what is larger is no manifest.
const maxFile = 64 << 20

// Reader holds objects and is readable like an API server that holds nothing else.
type Reader struct {
	scheme  *runtime.Scheme
	objects []client.Object
}

var _ client.Reader = (*Reader)(nil)

// Read reads files, folders (their *.yaml, *.yml and *.json, sorted) and "-" for in.
// Objects without a namespace go to the given one; if that is empty, to the first NodeSet's, else to "default".
func Read(scheme *runtime.Scheme, in io.Reader, namespace string, paths []string) (*Reader, error) {
	r := &Reader{scheme: scheme}
	for _, path := range paths {
		files, err := expand(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := r.readFile(in, file); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	r.settle(namespace)
	return r, nil
}

// FromCluster reads what a plan needs of a cluster, in all namespaces: a host may serve another one.
func FromCluster(ctx context.Context, c client.Client) (*Reader, error) {
	r := &Reader{scheme: c.Scheme()}
	for _, list := range []client.ObjectList{
		&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneServiceList{}, &v1alpha1.NetConfigList{},
		&v1alpha1.HostClaimPolicyList{}, &metal3v1alpha1.BareMetalHostList{}, &metal3v1alpha1.HardwareDataList{},
		&corev1.SecretList{}, &corev1.ConfigMapList{},
	} {
		if err := c.List(ctx, list); err != nil {
			return nil, fmt.Errorf("read the cluster: %w", err)
		}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			if obj, ok := o.(client.Object); ok {
				r.objects = append(r.objects, obj)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the cluster: %w", err)
		}
	}
	return r, nil
}

// Objects returns all objects in the order they were read, to be changed in place.
func (r *Reader) Objects() []client.Object { return r.objects }

// settle gives objects without a namespace theirs.
func (r *Reader) settle(namespace string) {
	for _, obj := range r.objects {
		if _, is := obj.(*v1alpha1.NodeSet); is && namespace == "" {
			namespace = obj.GetNamespace()
		}
	}
	for _, obj := range r.objects {
		if obj.GetNamespace() == "" {
			obj.SetNamespace(cmp.Or(namespace, metav1.NamespaceDefault))
		}
	}
}

func expand(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	return files, nil
}

func (r *Reader) readFile(in io.Reader, path string) error {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	reader := yaml.NewYAMLReader(bufio.NewReader(io.LimitReader(in, maxFile)))
	for i := 1; ; i++ {
		doc, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("document %d: %w", i, err)
		case strings.TrimSpace(withoutComments(string(doc))) == "":
			continue
		}
		if err := r.add(doc); err != nil {
			return fmt.Errorf("document %d: %w", i, err)
		}
	}
}

func withoutComments(doc string) string {
	lines := slices.DeleteFunc(strings.Split(doc, "\n"), func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "#") || l == "---"
	})
	return strings.Join(lines, "\n")
}

// withoutText returns the error, unless the document may be a Secret and the words are a parser's, which quotes what it stumbled
// over. Errors that name fields are shown.
func withoutText(doc []byte, err error) error {
	if runtime.IsStrictDecodingError(err) || !mayBeSecret.Match(doc) {
		return err
	}
	if at := lineNumber.FindString(err.Error()); at != "" {
		return fmt.Errorf("a Secret that is no valid YAML or JSON, at %s: its text is not shown", at)
	}
	return errors.New("a Secret that is no valid YAML or JSON, or whose values are not what a Secret has (data in base64, stringData as text): its text is not shown")
}

var (
	mayBeSecret = regexp.MustCompile(`\bSecret\b|stringData`)
	lineNumber  = regexp.MustCompile(`\bline [0-9]+`)
)

// add decodes strictly: an unknown field is an error here as it is with kubectl, not silently lost.
func (r *Reader) add(doc []byte) error {
	decoder := serializer.NewCodecFactory(r.scheme, serializer.EnableStrict).UniversalDeserializer()
	decoded, gvk, err := decoder.Decode(doc, nil, nil)
	switch {
	case runtime.IsMissingKind(err), runtime.IsMissingVersion(err):
		// The decoder's own words are the whole document, which may be a Secret.
		return errors.New("kind or apiVersion is missing: say what the object is, as apiVersion: v1 and kind: Secret do")
	case err != nil:
		return withoutText(doc, err)
	}
	if list, ok := decoded.(*corev1.List); ok {
		return r.addItems(list)
	}
	if meta.IsListType(decoded) {
		return meta.EachListItem(decoded, r.keep)
	}
	decoded.GetObjectKind().SetGroupVersionKind(*gvk)
	return r.keep(decoded)
}

// addItems decodes the items of a v1 List, which is what kubectl get -o yaml prints.
func (r *Reader) addItems(list *corev1.List) error {
	for i := range list.Items {
		if len(list.Items[i].Raw) == 0 || string(list.Items[i].Raw) == "null" {
			return fmt.Errorf("items[%d] is empty", i)
		}
		if err := r.add(list.Items[i].Raw); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

func (r *Reader) keep(decoded runtime.Object) error {
	obj, ok := decoded.(client.Object)
	if !ok {
		return fmt.Errorf("%T is not an object", decoded)
	}
	if secret, ok := obj.(*corev1.Secret); ok {
		mergeStringData(secret)
	}
	r.objects = append(r.objects, obj)
	return nil
}

// mergeStringData does what the API server does when a Secret is written.
func mergeStringData(s *corev1.Secret) {
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	s.StringData = nil
}

// Get finds an object by name.
func (r *Reader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	for _, obj := range r.objects {
		if reflect.TypeOf(obj) == reflect.TypeOf(into) && client.ObjectKeyFromObject(obj) == key {
			reflect.ValueOf(into).Elem().Set(reflect.ValueOf(obj.DeepCopyObject()).Elem())
			return nil
		}
	}
	gvk, err := apiutil.GVKForObject(into, r.scheme)
	if err != nil {
		return err
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.String())
}

// List finds objects by kind, namespace and labels.
func (r *Reader) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(opts)
	gvk, err := apiutil.GVKForObject(into, r.scheme)
	if err != nil {
		return err
	}
	kind := gvk.GroupVersion().WithKind(strings.TrimSuffix(gvk.Kind, "List"))
	var found []runtime.Object
	for _, obj := range r.objects {
		is, err := apiutil.GVKForObject(obj, r.scheme)
		if err != nil {
			return err
		}
		if is == kind && (o.Namespace == "" || o.Namespace == obj.GetNamespace()) && (o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(obj.GetLabels()))) {
			found = append(found, obj.DeepCopyObject())
		}
	}
	return meta.SetList(into, found)
}
