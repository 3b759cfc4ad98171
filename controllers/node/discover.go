package node

import (
	"cmp"
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

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/openstack/join"
)

const (
	// discoveryLabel on Jobs names the CronJob they were made from.
	discoveryLabel = "dataplane.rackplane.dev/cell-discovery"
	// discoveryRest is the least time between the end of one discovery and the start of the next. It doubles with each
	// discovery in a row that failed, up to discoveryRestMost.
	discoveryRest     = 30 * time.Second
	discoveryRestMost = 30 * time.Minute
)

// discover has the compute mapped into its cell. One Job maps every compute that is up, so all nodes share it: the next
// one's name follows from the last one, and of two nodes that start it at once one finds it made.
func (p *membership) discover(ctx context.Context, decision join.Decision) (step.Outcome, error) {
	why, err := p.discovered(ctx)
	if apierrors.IsForbidden(err) {
		// Jobs run with any rights that their namespace has to give: the engine has none of that unless somebody binds it.
		why, err = fmt.Sprintf("the engine may not run Jobs in namespace %s: bind the ClusterRole rackplane-cell-discovery there to its ServiceAccount "+
			"(kubectl -n %[1]s create rolebinding rackplane-cell-discovery --clusterrole=rackplane-cell-discovery --serviceaccount=rackplane-system:rackplane-manager)", p.node.Namespace), nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	return step.Waiting(decision.Reason, decision.Message+": "+why, joinPoll), nil
}

// discovered starts a discovery if one is due, and says what is waited for.
func (p *membership) discovered(ctx context.Context) (string, error) {
	name := p.set.Spec.OpenStack.Discovery.CronJob
	if name == "" {
		return fmt.Sprintf("the scheduler's periodic discovery is waited for ([scheduler] discover_hosts_in_cells_interval in nova.conf, off by default); "+
			"or name a CronJob that runs nova-manage cell_v2 discover_hosts in spec.openstack.discovery.cronJob of NodeSet %s", p.set.Name), nil
	}
	key := types.NamespacedName{Namespace: p.node.Namespace, Name: name}
	what := fmt.Sprintf("CronJob %s (spec.openstack.discovery.cronJob of NodeSet %s)", key, p.set.Name)
	var source batchv1.CronJob
	err := p.Live.Get(ctx, key, &source)
	switch {
	case apierrors.IsNotFound(err):
		return what + " does not exist: create it", nil
	case err != nil:
		return "", fmt.Errorf("read CronJob %s: %w", key, err)
	case source.Annotations[v1alpha1.DiscoveryAnnotation] != "true":
		return fmt.Sprintf("%s is not meant to be started for it: set its annotation %s to \"true\" if it is", what, v1alpha1.DiscoveryAnnotation), nil
	}
	jobs, err := p.discoveries(ctx, name)
	if err != nil {
		return "", err
	}
	var last *batchv1.Job
	if len(jobs) > 0 {
		last = &jobs[len(jobs)-1]
	}
	ended, failure := jobEnd(last)
	// An end further ahead than any rest is of a clock that was wrong, and keeps nothing waiting.
	switch resting := last != nil && p.Clock.Since(p.here(ended)).Abs() < restAfter(jobs); {
	case last != nil && ended.IsZero():
		return fmt.Sprintf("Job %s is under way", last.Name), nil
	case resting && failure != "":
		return fmt.Sprintf("Job %s failed (%s): its log tells why; it is tried again", last.Name, failure), nil
	case resting:
		return fmt.Sprintf("Job %s has ended and did not find it; it is tried again", last.Name), nil
	}
	job := discoveryJob(&source, last)
	if err := p.Client.Create(ctx, job); err != nil {
		return "", err
	}
	return fmt.Sprintf("Job %s is under way", job.Name), nil
}

// restAfter is how long to wait after the last of the discoveries.
func restAfter(jobs []batchv1.Job) time.Duration {
	rest := discoveryRest
	for i := range slices.Backward(jobs) {
		if _, failure := jobEnd(&jobs[i]); failure == "" || rest >= discoveryRestMost {
			break
		}
		rest *= 2
	}
	return min(rest, discoveryRestMost)
}

// discoveries are the Jobs made from the CronJob, as far as its history limits keep them, the youngest last.
func (p *membership) discoveries(ctx context.Context, cronJob string) ([]batchv1.Job, error) {
	var jobs batchv1.JobList
	if err := p.Live.List(ctx, &jobs, client.InNamespace(p.node.Namespace), client.MatchingLabels{discoveryLabel: cronJob}); err != nil {
		return nil, fmt.Errorf("list Jobs in %s: %w", p.node.Namespace, err)
	}
	slices.SortFunc(jobs.Items, func(a, b batchv1.Job) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return jobs.Items, nil
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
