package inputs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
)

// Site reads the namespace's one NetConfig. One that has a problem is refused.
func Site(ctx context.Context, r client.Reader, namespace string) (network.Site, error) {
	var list v1alpha1.NetConfigList
	if err := r.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return network.Site{}, fmt.Errorf("list NetConfigs in %s: %w", namespace, err)
	}
	switch len(list.Items) {
	case 0:
		return network.Site{}, fault.New(fault.Missing,
			"namespace %s has no NetConfig: create one with the networks of the site", namespace)
	case 1:
	default:
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return network.Site{}, fault.New(fault.Rejected,
			"namespace %s has %d NetConfigs (%s): keep one", namespace, len(names), strings.Join(names, ", "))
	}
	config := &list.Items[0]
	site, problems := network.NewSite(config.Spec)
	if err := errors.Join(problems...); err != nil {
		return network.Site{}, fault.New(fault.Rejected, "NetConfig %s/%s: %s", namespace, config.Name, line.Of(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return site, nil
}

// Keys of the Secret that NodeTemplate.ansibleSSHPrivateKeySecret names, as in RHOSO 18.
const (
	keyPrivate    = corev1.SSHAuthPrivateKey
	keyPublic     = "ssh-publickey"
	keyAuthorized = "authorized_keys"
)

// ReadSSHKey reads the login key of a set.
func ReadSSHKey(ctx context.Context, r client.Reader, set *v1alpha1.NodeSet) (plan.SSHKey, error) {
	name := set.Spec.NodeTemplate.AnsibleSSHPrivateKeySecret
	data, where, err := readSecret(ctx, r, set, secretField{name, "spec.nodeTemplate.ansibleSSHPrivateKeySecret", []string{keyPrivate}})
	if err != nil {
		return plan.SSHKey{}, err
	}
	private := data[keyPrivate]
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		// The parser's own words may quote the key: they are left out.
		return plan.SSHKey{}, fault.New(fault.Rejected,
			"%s: key %s is not an unencrypted private key in OpenSSH or PEM form: replace it", where, keyPrivate)
	}
	return plan.SSHKey{Private: private, Authorized: authorized(data, signer)}, nil
}

func authorized(data map[string][]byte, signer ssh.Signer) []string {
	for _, key := range []string{keyAuthorized, keyPublic} {
		if lines := nonEmptyLines(string(data[key])); len(lines) > 0 {
			return lines
		}
	}
	return nonEmptyLines(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func nonEmptyLines(text string) []string {
	var lines []string
	for key := range strings.Lines(text) {
		if key = strings.TrimSpace(key); key != "" {
			lines = append(lines, key)
		}
	}
	return lines
}

// ReadService reads a DataPlaneService and the objects its files come from.
func ReadService(ctx context.Context, r client.Reader, key types.NamespacedName) (rollout.Service, error) {
	var obj v1alpha1.DataPlaneService
	err := r.Get(ctx, key, &obj)
	switch {
	case apierrors.IsNotFound(err):
		return rollout.Service{}, fault.New(fault.Missing,
			"DataPlaneService %s does not exist: create it, or take %s out of the services", key, key.Name)
	case err != nil:
		return rollout.Service{}, fmt.Errorf("read DataPlaneService %s: %w", key, err)
	}
	s := rollout.Service{
		Name: obj.Name, Playbook: obj.Spec.Playbook, PlaybookContents: obj.Spec.PlaybookContents, Role: obj.Spec.Role,
		Global: obj.Spec.DeployOnAllNodeSets, Type: obj.Spec.EDPMServiceType, Data: map[string][]byte{},
		Limits: rollout.Limits{Run: seconds(obj.Spec.RunTimeoutSeconds), Task: seconds(obj.Spec.TaskTimeoutSeconds)},
	}
	if s.Type == "" {
		s.Type = obj.Name
	}
	for i := range obj.Spec.DataSources {
		files, err := readSource(ctx, r, &obj, i)
		if err != nil {
			return rollout.Service{}, err
		}
		maps.Copy(s.Data, files)
	}
	return s, nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// readSource reads the files of the i-th data source.
func readSource(ctx context.Context, r client.Reader, service *v1alpha1.DataPlaneService, i int) (map[string][]byte, error) {
	source := service.Spec.DataSources[i]
	ref, kind := source.SecretRef, "Secret"
	if ref == nil {
		ref, kind = source.ConfigMapRef, "ConfigMap"
	}
	if ref == nil {
		return nil, fault.New(fault.Rejected, "DataPlaneService %s/%s: spec.dataSources[%d] names neither a Secret nor a ConfigMap: set one",
			service.Namespace, service.Name, i)
	}
	files, err := readFiles(ctx, r, kind, types.NamespacedName{Namespace: service.Namespace, Name: ref.Name})
	switch {
	case apierrors.IsNotFound(err) && ref.Optional:
		return nil, nil
	case apierrors.IsNotFound(err):
		return nil, fault.New(fault.Missing, "%s %s/%s (spec.dataSources[%d] of DataPlaneService %s) does not exist: create it, or mark it optional",
			kind, service.Namespace, ref.Name, i, service.Name)
	case err != nil:
		return nil, fmt.Errorf("read %s %s/%s: %w", kind, service.Namespace, ref.Name, err)
	}
	return files, nil
}

func readFiles(ctx context.Context, r client.Reader, kind string, key types.NamespacedName) (map[string][]byte, error) {
	if kind == "Secret" {
		var secret corev1.Secret
		err := r.Get(ctx, key, &secret)
		return secret.Data, err
	}
	var config corev1.ConfigMap
	if err := r.Get(ctx, key, &config); err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(config.Data)+len(config.BinaryData))
	for name, text := range config.Data {
		files[name] = []byte(text)
	}
	maps.Copy(files, config.BinaryData)
	return files, nil
}
