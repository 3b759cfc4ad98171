package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/test/canary"
)

// secretsKept fails when a secret of the demo is shown anywhere: in an object but a Secret, an event, the engine's log, the
// arguments or the environment of a process, a file others may read, the folder of a run that has ended, or on the terminal.
func (d *demo) secretsKept(ctx context.Context) error {
	nest := canary.New()
	nest.WatchKey("the login key", d.private)
	for _, h := range d.inputs.Hosts {
		nest.Watch("the BMC password of "+h.Name, []byte(h.BMCPassword))
	}
	if d.cloud != nil {
		for user, password := range d.cloud.Passwords {
			nest.Watch("the password of "+user, []byte(password))
		}
	}
	told, err := d.objectsShow(ctx, nest)
	if err != nil {
		return err
	}
	for _, what := range nest.Find(d.told.Bytes()) {
		told = append(told, "the terminal shows a secret: "+what)
	}
	state := []byte(d.engine.dir)
	looked, shown := nest.Processes(func(arguments, _ []byte) bool { return bytes.Contains(arguments, state) })
	if looked == 0 {
		told = append(told, "no process of the engine was seen")
	}
	told = append(told, shown...)
	told = append(told, nest.Tree(d.engine.dir, canary.Readable)...)
	told = append(told, nest.Tree(filepath.Join(d.engine.dir, "runs"), canary.Everything)...)
	told = append(told, nest.Tree(d.dir, func(path string, _ fs.FileInfo) bool { return path == d.engine.log() })...)
	if len(told) > 0 {
		return errors.New(strings.Join(told, "\n"))
	}
	d.say("demo: no secret was shown")
	return nil
}

// objectsShow looks at every object but Secrets.
func (d *demo) objectsShow(ctx context.Context, nest *canary.Nest) (told []string, err error) {
	for _, list := range []client.ObjectList{
		&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneDeploymentList{}, &v1alpha1.DataPlaneServiceList{},
		&v1alpha1.NetConfigList{}, &metal3v1alpha1.BareMetalHostList{}, &metal3v1alpha1.HardwareDataList{}, &corev1.ConfigMapList{},
		&batchv1.JobList{}, &eventsv1.EventList{},
	} {
		if err := d.client.List(ctx, list); err != nil {
			return nil, err
		}
		items, err := apimeta.ExtractList(list)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			text, err := json.Marshal(item)
			if err != nil {
				return nil, err
			}
			for _, what := range nest.Find(text) {
				told = append(told, fmt.Sprintf("a %T shows a secret: %s: %s", item, what, text))
			}
		}
	}
	return told, nil
}
