package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner/join"
)

const (
	// discoveryLabel on Jobs names the CronJob they were made from.
	discoveryLabel = "dataplane.rackplane.dev/cell-discovery"
	// discoveryRest is the least time between the end of one discovery and the start of the next.
	discoveryRest = 30 * time.Second
)

// discover has the compute mapped into its cell. One Job maps every compute that is up, so all nodes share it: the next
// one's name follows from the last one, and of two nodes that start it at once one finds it made.
func (p *pass) discover(ctx context.Context, decision join.Decision) (step.Outcome, error) {
	wait := func(format string, args ...any) (step.Outcome, error) {
		return step.Waiting(decision.Reason, decision.Message+": "+fmt.Sprintf(format, args...), joinPoll), nil
	}
	name := p.set.Spec.OpenStack.Discovery.CronJob
	if name == "" {
		return wait("the scheduler's periodic discovery is waited for ([scheduler] discover_hosts_in_cells_interval in nova.conf, off by default); "+
			"or name a CronJob that runs nova-manage cell_v2 discover_hosts in spec.openstack.discovery.cronJob of NodeSet %s", p.set.Name)
	}
	key := types.NamespacedName{Namespace: p.node.Namespace, Name: name}
	var source batchv1.CronJob
	err := p.Reader.Get(ctx, key, &source)
	switch {
	case apierrors.IsNotFound(err):
		return wait("CronJob %s (spec.openstack.discovery.cronJob of NodeSet %s) does not exist: create it", key, p.set.Name)
	case err != nil:
		return step.Outcome{}, fmt.Errorf("read CronJob %s: %w", key, err)
	}
	last, err := p.lastDiscovery(ctx, name)
	if err != nil {
		return step.Outcome{}, err
	}
	ended, failure := jobEnd(last)
	switch {
	case last != nil && ended.IsZero():
		return wait("Job %s is under way", last.Name)
	case last != nil && p.Clock.Since(ended) < discoveryRest && failure != "":
		return wait("Job %s failed (%s): its log tells why; it is tried again", last.Name, failure)
	case last != nil && p.Clock.Since(ended) < discoveryRest:
		return wait("Job %s has ended and did not find it; it is tried again", last.Name)
	}
	job := discoveryJob(&source, last)
	if err := p.Client.Create(ctx, job); err != nil {
		return step.Outcome{}, err
	}
	return wait("Job %s is under way", job.Name)
}

// lastDiscovery is the youngest Job made from the CronJob; nil when there is none.
func (p *pass) lastDiscovery(ctx context.Context, cronJob string) (*batchv1.Job, error) {
	var jobs batchv1.JobList
	if err := p.Reader.List(ctx, &jobs, client.InNamespace(p.node.Namespace), client.MatchingLabels{discoveryLabel: cronJob}); err != nil {
		return nil, fmt.Errorf("list Jobs in %s: %w", p.node.Namespace, err)
	}
	if len(jobs.Items) == 0 {
		return nil, nil
	}
	last := slices.MaxFunc(jobs.Items, func(a, b batchv1.Job) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return &last, nil
}

// jobEnd is when a Job ended, zero while it has not, and why it failed, if it did.
func jobEnd(job *batchv1.Job) (ended time.Time, failure string) {
	if job == nil {
		return time.Time{}, ""
	}
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return c.LastTransitionTime.Time, ""
		case c.Type == batchv1.JobFailed:
			return c.LastTransitionTime.Time, strings.TrimSpace(c.Reason + " " + c.Message)
		}
	}
	return time.Time{}, ""
}

// discoveryJob is the Job that follows the last one. The CronJob owns it, so that its history limits clear it away.
func discoveryJob(source *batchv1.CronJob, last *batchv1.Job) *batchv1.Job {
	follows := "first"
	if last != nil {
		follows = string(last.UID)
	}
	sum := sha256.Sum256([]byte(string(source.UID) + "/" + follows))
	template := source.Spec.JobTemplate.DeepCopy()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: source.Namespace, Name: source.Name + "-" + hex.EncodeToString(sum[:])[:10],
			Labels: template.Labels, Annotations: template.Annotations,
		},
		Spec: template.Spec,
	}
	if job.Labels == nil {
		job.Labels = map[string]string{}
	}
	job.Labels[discoveryLabel] = source.Name
	owner := metav1.NewControllerRef(source, batchv1.SchemeGroupVersion.WithKind("CronJob"))
	owner.BlockOwnerDeletion = nil // would need a right on the CronJob's finalizers
	job.OwnerReferences = []metav1.OwnerReference{*owner}
	return job
}
