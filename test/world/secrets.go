package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
	"github.com/rackplane/rackplane/test/canary"
)

// CloudPassword and bmcPassword are what the world's cloud and servers let in, and nobody is to see.
func CloudPassword() string { return canary.Value("cloud password") }

func bmcPassword() string { return canary.Value("BMC password") }

// record is all that the engine told beside objects: its events, and its log with every error it returned.
type record struct{ bytes.Buffer }

// Eventf implements events.EventRecorder.
func (r *record) Eventf(_, _ runtime.Object, eventType, reason, action, note string, args ...any) {
	fmt.Fprintf(r, "event %s %s %s ", eventType, reason, action)
	fmt.Fprintf(r, note+"\n", args...)
}

func (r *record) logger() logr.Logger {
	return funcr.New(func(prefix, args string) { fmt.Fprintf(r, "log %s %s\n", prefix, args) }, funcr.Options{Verbosity: 10})
}

// checkSecrets looks for every secret there is in everything but Secrets: objects, events, the log, and what a person is
// shown of it all.
func (w *World) checkSecrets(tb testing.TB) {
	tb.Helper()
	nest := canary.New()
	nest.Plant("cloud password")
	nest.Plant("BMC password")
	for _, kind := range w.Store.objects {
		for _, obj := range kind {
			if secret, ok := obj.(*corev1.Secret); ok {
				for key, value := range secret.Data {
					for _, found := range privateKey.FindAll(value, -1) {
						nest.WatchKey(secret.Name+"/"+key, found)
					}
				}
			}
		}
	}
	for _, kind := range w.Store.objects {
		for _, obj := range kind {
			if _, secret := obj.(*corev1.Secret); secret {
				continue
			}
			text, err := json.Marshal(obj)
			if err != nil {
				tb.Fatal(err)
			}
			nest.Check(tb, fmt.Sprintf("%T %s", obj, obj.GetName()), text)
		}
	}
	var shown bytes.Buffer
	if err := report.Tree(&shown, w.view(tb), report.Style{}); err != nil {
		tb.Fatal(err)
	}
	nest.Check(tb, "the status a person sees", shown.Bytes())
	nest.Check(tb, "an event or the log", w.told.Bytes())
}

// view is what `rackplane status` reads.
func (w *World) view(tb testing.TB) report.View {
	tb.Helper()
	var sets v1alpha1.NodeSetList
	var nodes v1alpha1.DataPlaneNodeList
	var deployments v1alpha1.DataPlaneDeploymentList
	var hosts metal3v1alpha1.BareMetalHostList
	for _, err := range []error{
		w.API.List(tb.Context(), &sets), w.API.List(tb.Context(), &nodes), w.API.List(tb.Context(), &deployments), w.API.List(tb.Context(), &hosts),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return report.View{NodeSets: sets.Items, Nodes: nodes.Items, Deployments: deployments.Items, Hosts: hosts.Items, Now: w.Clock.Now()}
}
