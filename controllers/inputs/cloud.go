package inputs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/secret"
)

// Keys of the Secrets that spec.openstack names.
const (
	keyClouds = "clouds.yaml"
	keyCA     = "ca.crt"
)

// defaultCloud is the entry of clouds.yaml when spec.openstack.cloud names none, as RHOSO calls it.
const defaultCloud = "default"

// ReadCloud reads how the cloud of a set is reached. The set must have spec.openstack.
func ReadCloud(ctx context.Context, r client.Reader, set *v1alpha1.NodeSet) (openstack.Access, error) {
	spec := set.Spec.OpenStack
	entry := cmp.Or(spec.Cloud, defaultCloud)
	data, where, err := readSecret(ctx, r, set, secretField{spec.CloudsSecret, "spec.openstack.cloudsSecret", []string{keyClouds}})
	if err != nil {
		return openstack.Access{}, err
	}
	if ca := data[keyCA]; len(ca) > 0 && !isPEM(ca) {
		return openstack.Access{}, fault.New(fault.Rejected, "%s: key %s holds no PEM certificate: correct it", where, keyCA)
	}
	access, err := openstack.ParseClouds(data[keyClouds], data[keyCA], entry)
	if err != nil {
		return openstack.Access{}, fault.Wrap(fault.KindOf(err), err, "%s", where)
	}
	access.Source = fmt.Sprintf("Secret %s/%s, cloud %s", set.Namespace, spec.CloudsSecret, entry)
	if spec.Southbound != nil {
		access.Southbound, err = readSouthbound(ctx, r, set)
	}
	return access, err
}

// cloudID identifies a cloud by where its Keystone is and the region, without anything secret.
func cloudID(access openstack.Access) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.TrimRight(access.AuthURL, "/")) + " " + access.Region))
	return hex.EncodeToString(sum[:])[:16]
}

func readSouthbound(ctx context.Context, r client.Reader, set *v1alpha1.NodeSet) (openstack.SouthboundAccess, error) {
	spec := set.Spec.OpenStack.Southbound
	access := openstack.SouthboundAccess{
		Source:    fmt.Sprintf("spec.openstack.southbound.endpoints of NodeSet %s/%s", set.Namespace, set.Name),
		Endpoints: strings.Join(spec.Endpoints, ","),
	}
	encrypted := slices.ContainsFunc(spec.Endpoints, func(e string) bool { return strings.HasPrefix(e, "ssl:") })
	if !encrypted {
		return access, nil
	}
	data, where, err := readSecret(ctx, r, set, secretField{
		spec.TLSSecret, "spec.openstack.southbound.tlsSecret", []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, keyCA},
	})
	if err != nil {
		return access, err
	}
	if _, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]); err != nil {
		return access, fault.New(fault.Rejected, "%s: keys %s and %s are no certificate and its private key in PEM form: correct them",
			where, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	if !isPEM(data[keyCA]) {
		return access, fault.New(fault.Rejected, "%s: key %s holds no PEM certificate: correct it", where, keyCA)
	}
	access.Certificate, access.CA = string(data[corev1.TLSCertKey]), string(data[keyCA])
	access.Key = secret.Value(data[corev1.TLSPrivateKeyKey])
	return access, nil
}

func isPEM(certificates []byte) bool { return x509.NewCertPool().AppendCertsFromPEM(certificates) }

// secretField is a field of a NodeSet that names a Secret, and the keys that must be in it.
type secretField struct {
	name, field string
	keys        []string
}

// wanted names the keys for a message.
func (f secretField) wanted() string {
	if len(f.keys) == 1 {
		return "the key " + f.keys[0]
	}
	return "the keys " + strings.Join(f.keys, ", ")
}

// readSecret reads a Secret of the set's namespace; where names it for messages.
func readSecret(ctx context.Context, r client.Reader, set *v1alpha1.NodeSet, f secretField) (data map[string][]byte, where string, err error) {
	where = fmt.Sprintf("Secret %s/%s (%s of NodeSet %s)", set.Namespace, f.name, f.field, set.Name)
	if f.name == "" {
		return nil, where, fault.New(fault.Missing, "%s of NodeSet %s/%s is not set: name the Secret with %s", f.field, set.Namespace, set.Name, f.wanted())
	}
	var found corev1.Secret
	err = r.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: f.name}, &found)
	switch {
	case apierrors.IsNotFound(err):
		return nil, where, fault.New(fault.Missing, "%s does not exist: create it with %s", where, f.wanted())
	case err != nil:
		return nil, where, fmt.Errorf("read %s: %w", where, err)
	}
	for _, key := range f.keys {
		if len(found.Data[key]) == 0 {
			return nil, where, fault.New(fault.Missing, "%s has no key %s: add it", where, key)
		}
	}
	return found.Data, where, nil
}

// CloudSecrets are the names of the Secrets that spec.openstack refers to.
func CloudSecrets(set *v1alpha1.NodeSet) []string {
	spec := set.Spec.OpenStack
	switch {
	case spec == nil:
		return nil
	case spec.Southbound == nil:
		return []string{spec.CloudsSecret}
	default:
		return []string{spec.CloudsSecret, spec.Southbound.TLSSecret}
	}
}

// Adoption is what a pre-provisioned node must be like before the set's services run on it. What is wrong with the Secret
// of the cloud, joining tells.
func Adoption(ctx context.Context, r client.Reader, s *plan.Set, node *v1alpha1.DataPlaneNode, now time.Time) (adoption.Wanted, error) {
	keystone := ""
	if s.NodeSet.Spec.OpenStack != nil {
		access, err := ReadCloud(ctx, r, s.NodeSet)
		if err != nil && !plan.IsProblem(err) {
			return adoption.Wanted{}, err
		}
		keystone = access.AuthURL
	}
	return s.Adoption(node, keystone, now), nil
}
