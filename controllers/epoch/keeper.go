package epoch

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

const (
	// every is how often the count goes up: a restored backup that is younger is not noticed.
	every = 5 * time.Minute
	// pausedPoll is how often a paused engine looks whether it may go on.
	pausedPoll = 2 * time.Second
)

// Keys of the ConfigMap.
const (
	keySite, keyCluster, keyCount = "site", "cluster", "count"
	// keyApart lists the servers that hold deployments without a BareMetalHost, as Retain leaves them.
	keyApart = "apart"
	// KeyPaused holds why the engine acts on nothing; without it, it acts.
	KeyPaused = "paused"
)

// Name of the ConfigMap.
const Name = "rackplane-epoch"

// Store keeps a few bytes.
type Store interface {
	// Load returns what was last saved; nothing when nothing was.
	Load() ([]byte, error)
	// Save replaces it as a whole, or fails and leaves it as it was.
	Save(data []byte) error
}

// Keeper keeps the Marks and tells whether the engine is paused. It runs in the one engine that acts. The engine is
// paused until the first look.
type Keeper struct {
	// Client writes; Live reads uncached.
	Client client.Client
	Live   client.Reader
	// Namespace of the ConfigMap.
	Namespace string
	// Store is in the state directory.
	Store Store
	// Deployments are those that servers hold, by the server's name; nil when no service can tell.
	Deployments func(ctx context.Context) (map[string]string, error)
	// Clock waits.
	Clock clock.WithTicker
	// Random makes the site's identity.
	Random io.Reader
	// Report gets every change of Paused.
	Report func(reason string)

	mu     sync.Mutex
	paused string
	looked bool

	asked bool // by Look: the servers have answered one that was written down
}

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get

// Paused says why the engine acts on nothing; "" when it acts.
func (k *Keeper) Paused() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.looked {
		return "it is not known yet whether the API is the one this engine last acted on"
	}
	return k.paused
}

func (k *Keeper) set(reason string) {
	k.mu.Lock()
	news := !k.looked || k.paused != reason
	k.paused, k.looked = reason, true
	k.mu.Unlock()
	if news && k.Report != nil {
		k.Report(reason)
	}
}

// Start looks and counts until ctx ends.
func (k *Keeper) Start(ctx context.Context) error {
	for {
		wait := every
		if err := k.Look(ctx); err != nil || k.Paused() != "" {
			wait = pausedPoll
		}
		timer := k.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Look holds the API against the file, pauses the engine or counts on.
func (k *Keeper) Look(ctx context.Context) error {
	kept := &corev1.ConfigMap{}
	kept.Namespace, kept.Name = k.Namespace, Name
	apart, blind := k.apart(ctx)
	err := k.Live.Get(ctx, client.ObjectKeyFromObject(kept), kept)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", k.Namespace, Name, err)
	}
	seen, err := k.see(ctx, kept)
	if err == nil && blind != nil && seen.API == (Mark{}) {
		err = blind // whether a new API is a new site, only the servers tell
	}
	if err != nil {
		return err
	}
	if known := strings.Fields(kept.Data[keyApart]); blind != nil {
		apart = known
	} else if !k.asked {
		seen.Strangers = slices.DeleteFunc(slices.Clone(apart), func(s string) bool { return slices.Contains(known, s) })
	}
	reason := cmp.Or(Pause(seen), kept.Data[KeyPaused])
	if reason != "" {
		k.set(reason)
		if kept.Data[KeyPaused] != "" && Pause(seen) == "" {
			return nil // told already, and nobody said go
		}
	}
	if err := k.count(ctx, kept, seen, apart, reason); err != nil {
		return err
	}
	k.set(reason)
	k.asked = k.asked || blind == nil
	return nil
}

// count writes the next mark, and why the engine is paused.
func (k *Keeper) count(ctx context.Context, kept *corev1.ConfigMap, seen Seen, apart []string, reason string) error {
	site, err := k.newSite()
	if err != nil {
		return err
	}
	kept.Data = map[string]string{keyApart: strings.Join(apart, " ")}
	if reason != "" {
		kept.Data[KeyPaused] = reason
	}
	return k.write(ctx, kept, Next(seen, site))
}

func (k *Keeper) see(ctx context.Context, kept *corev1.ConfigMap) (Seen, error) {
	seen := Seen{API: Mark{Site: line.Short(kept.Data[keySite], 64), Cluster: kept.Data[keyCluster]}}
	seen.API.Count, _ = strconv.ParseInt(kept.Data[keyCount], 10, 64)
	system := &corev1.Namespace{}
	if err := k.Live.Get(ctx, client.ObjectKey{Name: "kube-system"}, system); err != nil {
		return seen, fmt.Errorf("read Namespace kube-system: %w", err)
	}
	seen.Cluster = string(system.UID)
	text, err := k.Store.Load()
	if err != nil {
		return seen, err
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &seen.File); err != nil {
			return seen, fmt.Errorf("the mark in the state directory cannot be read (%w): remove it once it is known that the API was not restored", err)
		}
	}
	return seen, nil
}

// apart are the servers whose deployment no BareMetalHost has, sorted. What servers hold is read first: a host that is
// deployed to in between is known then.
func (k *Keeper) apart(ctx context.Context) ([]string, error) {
	if k.Deployments == nil {
		return nil, nil
	}
	held, err := k.Deployments(ctx)
	if err != nil {
		return nil, err
	}
	var hosts metal3v1alpha1.BareMetalHostList
	if err := k.Live.List(ctx, &hosts); err != nil {
		return nil, fmt.Errorf("list BareMetalHosts: %w", err)
	}
	known := map[string]bool{}
	for i := range hosts.Items {
		known[hosts.Items[i].Annotations[v1alpha1.DeploymentAnnotation]] = true
	}
	var out []string
	for _, server := range slices.Sorted(maps.Keys(held)) {
		if !known[held[server]] {
			out = append(out, server)
		}
	}
	return out, nil
}

func (k *Keeper) newSite() (string, error) {
	id := make([]byte, 16)
	if _, err := io.ReadFull(k.Random, id); err != nil {
		return "", fmt.Errorf("make the site's identity: %w", err)
	}
	return hex.EncodeToString(id), nil
}

// write writes the Mark to the API and then to the file: the API is never behind.
func (k *Keeper) write(ctx context.Context, kept *corev1.ConfigMap, m Mark) error {
	fresh := kept.ResourceVersion == ""
	kept.Data[keySite], kept.Data[keyCluster], kept.Data[keyCount] = m.Site, m.Cluster, strconv.FormatInt(m.Count, 10)
	var err error
	if fresh {
		err = k.Client.Create(ctx, kept)
	} else {
		err = k.Client.Update(ctx, kept) // only if nobody changed it since
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", k.Namespace, Name, err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return k.Store.Save(text)
}

// WhyPaused reads why the engine of the namespace is paused; "" when it is not, or when the reader may not know.
func WhyPaused(ctx context.Context, r client.Reader, namespace string) string {
	kept := &corev1.ConfigMap{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: Name}, kept); err != nil {
		return ""
	}
	return kept.Data[KeyPaused]
}

// Resume takes the pause away and returns why there was one; "" when there was none.
func Resume(ctx context.Context, c client.Client, namespace string) (string, error) {
	kept := &corev1.ConfigMap{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: Name}, kept)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	reason := kept.Data[KeyPaused]
	if err != nil || reason == "" {
		return "", err
	}
	delete(kept.Data, KeyPaused)
	return reason, c.Update(ctx, kept)
}
