package lease

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Label tells what a Lease is of: Runs or Nodes.
	Label = "dataplane.rackplane.dev/lease"
	// Runs is the value of Label for a run's Lease.
	Runs = "run"
	// Nodes is the value of Label for a node's.
	Nodes = "node"

	fenceAnnotation  = "dataplane.rackplane.dev/token"
	cancelAnnotation = "dataplane.rackplane.dev/cancelled"
	runAnnotation    = "dataplane.rackplane.dev/run"

	// maxName is the longest name of an object.
	maxName = 253
)

// runPrefix begins the name of a run's Lease.
const runPrefix = "rackplane-run-"

// RunName is the name of the Lease with a key: that of the run, or one which runs in a row share.
func RunName(key string) string { return runPrefix + key }

// SetRun writes down which run the Lease is held for.
func SetRun(l *coordinationv1.Lease, key string) {
	if l.Annotations == nil {
		l.Annotations = map[string]string{}
	}
	l.Annotations[runAnnotation] = key
}

// RunOf is the key of the run that the Lease is, or was last, held for.
func RunOf(l *coordinationv1.Lease) string {
	return cmp.Or(l.Annotations[runAnnotation], strings.TrimPrefix(l.Name, runPrefix))
}

// NodeName is the name of a node's Lease.
func NodeName(node string) string {
	name := "rackplane-node-" + node
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(node))
	return name[:maxName-33] + "-" + hex.EncodeToString(sum[:16])
}

// Of reads a run's Lease.
func Of(l *coordinationv1.Lease) Run {
	r := Run{Version: l.ResourceVersion, Token: TokenOf(l), Cancelled: l.Annotations[cancelAnnotation] != ""}
	if l.Spec.HolderIdentity != nil {
		r.Holder = *l.Spec.HolderIdentity
	}
	if l.Spec.LeaseDurationSeconds != nil {
		r.Duration = time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
	}
	return r
}

// TokenOf is the token of a Lease; 0 when it has none that can be read.
func TokenOf(l *coordinationv1.Lease) int64 {
	token, err := strconv.ParseInt(l.Annotations[fenceAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return token
}

// Hold makes the Lease say that the holder has it with the token; a duration of 0 is for ever.
func Hold(l *coordinationv1.Lease, holder string, token int64, d time.Duration, now time.Time) {
	if l.Annotations == nil {
		l.Annotations = map[string]string{}
	}
	l.Annotations[fenceAnnotation] = strconv.FormatInt(token, 10)
	delete(l.Annotations, cancelAnnotation)
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != holder {
		transitions := int32(1)
		if l.Spec.LeaseTransitions != nil {
			transitions += *l.Spec.LeaseTransitions
		}
		l.Spec.LeaseTransitions = &transitions
	}
	at := metav1.NewMicroTime(now)
	l.Spec.HolderIdentity, l.Spec.AcquireTime, l.Spec.RenewTime, l.Spec.LeaseDurationSeconds = &holder, &at, nil, nil
	if d > 0 {
		seconds := int32(math.Ceil(d.Seconds()))
		l.Spec.RenewTime, l.Spec.LeaseDurationSeconds = &at, &seconds
	}
}

// Touch renews the Lease.
func Touch(l *coordinationv1.Lease, now time.Time) {
	at := metav1.NewMicroTime(now)
	l.Spec.RenewTime = &at
}

// GiveBack makes the Lease say that nobody has it any more; its token stays.
func GiveBack(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }

// Cancel makes the Lease ask its holder to end the run.
func Cancel(l *coordinationv1.Lease) {
	if l.Annotations == nil {
		l.Annotations = map[string]string{}
	}
	l.Annotations[cancelAnnotation] = "true"
}
