package apivalidation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/brief"
	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/test/cluster"
)

// counting counts the bytes that are announced of answers.
type counting struct {
	http.RoundTripper
	bytes int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		c.bytes = resp.ContentLength
	}
	return resp, err
}

// briefly is a client whose marked requests are answered in brief, and what counts its answers.
func briefly(t *testing.T) (client.Client, *counting) {
	t.Helper()
	cfg, counter := rest.CopyConfig(cluster.Config(t)), &counting{}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { counter.RoundTripper = next; return counter })
	cfg.Wrap(brief.Transport)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c, counter
}

// loaded is a node with fifteen results.
func loaded(namespace string) *v1alpha1.DataPlaneNode {
	node := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "loaded", Labels: map[string]string{v1alpha1.NodeSetLabel: "set"}}}
	node.Spec.HostName = "loaded"
	for i := range 15 {
		name := fmt.Sprintf("service-%d", i)
		node.Spec.Services = append(node.Spec.Services, v1alpha1.ServiceInput{Name: name, InputHash: "0123456789abcdef"})
		node.Status.Services = append(node.Status.Services, v1alpha1.ServiceResult{
			Name: name, InputHash: "0123456789abcdef", Result: v1alpha1.ServiceSucceeded, Deployment: "loaded-0123456789", FinishedAt: metav1.Now().Rfc3339Copy(),
		})
	}
	return node
}

// TestBriefAnswersOfTheAPI: the real API server answers the engine's patches with metadata, also of a status; what else the writer
// has stays, its next write follows on, and a race that was lost is told as ever.
func TestBriefAnswersOfTheAPI(t *testing.T) {
	c, counter := briefly(t)
	w, ctx := cached.Writer{Client: c}, t.Context()
	node := loaded(cluster.Namespace(t, c))
	want := node.DeepCopy()
	if err := c.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	node.Status = want.Status
	bare := node.DeepCopy()
	bare.Status = v1alpha1.DataPlaneNodeStatus{}
	lock := client.MergeFromWithOptimisticLock{}
	if err := w.Status().Patch(ctx, node, client.MergeFromWithOptions(bare, lock)); err != nil {
		t.Fatal(err)
	}
	old := node.DeepCopy()
	node.Spec.Services[0].InputHash, node.ManagedFields = "1", []metav1.ManagedFieldsEntry{{}}
	if err := w.Patch(ctx, node, client.MergeFromWithOptions(old, lock)); err != nil {
		t.Fatal(err)
	}
	if counter.bytes <= 0 || counter.bytes > 600 {
		t.Errorf("the answer has %d bytes", counter.bytes)
	}
	want.Spec.Services[0].InputHash = "1"
	if diff := cmp.Diff(want.Spec, node.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Status, node.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if err := w.Patch(ctx, old, client.MergeFromWithOptions(old.DeepCopy(), lock)); !apierrors.IsConflict(err) {
		t.Errorf("a patch of what was read before: %v, want a conflict", err)
	}
	if err := c.Patch(t.Context(), node, client.MergeFromWithOptions(node.DeepCopy(), lock)); err != nil {
		t.Errorf("a patch of what a patch left: %v", err)
	}
	if diff := cmp.Diff(want.Status, node.Status); diff != "" {
		t.Errorf("status as the API has it (-want +got):\n%s", diff)
	}
}

// TestBriefReads: a marked read brings the metadata alone, and what is gone is told as ever.
func TestBriefReads(t *testing.T) {
	c, _ := briefly(t)
	node := loaded(cluster.Namespace(t, c))
	if err := c.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	var got v1alpha1.DataPlaneNode
	if err := c.Get(brief.Answers(t.Context()), client.ObjectKeyFromObject(node), &got); err != nil {
		t.Fatal(err)
	}
	if got.UID != node.UID || got.ResourceVersion != node.ResourceVersion || len(got.Spec.Services) > 0 {
		t.Errorf("read %+v", got)
	}
	got.Name = "nobody"
	if err := c.Get(brief.Answers(t.Context()), client.ObjectKeyFromObject(&got), &got); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not there: %v", err)
	}
}

// TestNobodyAccountsForNodes: once a node was written with cleared managedFields none come back, whoever writes it, but for an apply.
func TestNobodyAccountsForNodes(t *testing.T) {
	c, _ := briefly(t)
	node := loaded(cluster.Namespace(t, c))
	status := node.Status
	if err := c.Create(t.Context(), node); err != nil || len(node.ManagedFields) == 0 {
		t.Fatal(errors.Join(err, fmt.Errorf("managedFields of what was made: %d", len(node.ManagedFields))))
	}
	write := func(change func(*v1alpha1.DataPlaneNode), do func(context.Context, client.Object, client.Patch) error) {
		t.Helper()
		old := node.DeepCopy()
		change(node)
		if err := do(t.Context(), node, client.MergeFrom(old)); err != nil {
			t.Fatal(err)
		}
		if len(node.ManagedFields) > 0 {
			t.Errorf("managedFields: %s", strings.TrimSpace(fmt.Sprint(node.ManagedFields)))
		}
	}
	patch := func(ctx context.Context, o client.Object, p client.Patch) error { return c.Patch(ctx, o, p) }
	write(func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services[0].InputHash, n.ManagedFields = "1", []metav1.ManagedFieldsEntry{{}}
	}, patch)
	write(func(n *v1alpha1.DataPlaneNode) { n.Status = status },
		func(ctx context.Context, o client.Object, p client.Patch) error { return c.Status().Patch(ctx, o, p) })
	write(func(n *v1alpha1.DataPlaneNode) { n.Annotations = map[string]string{"example.com/note": "seen"} }, patch)
}
