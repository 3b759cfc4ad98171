package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/report"
	"github.com/rackplane/rackplane/test/rack"
)

// patient is the node that every fault of the cloud hits: the one of namespace lab.
const patient = "server-2"

// cloudFault is something wrong with the patient's inputs, with itself or with the cloud's idea of it.
type cloudFault struct {
	name string
	// spoil puts it wrong, mend puts it right.
	spoil, mend func(context.Context) error
	// tells are words that the patient's message must hold: the service, the cause, the remedy.
	tells []string
}

// cloudFaults puts one thing after another wrong. Each must be told, leave the other computes alone, and be over by itself.
func (d *demo) cloudFaults(ctx context.Context) error {
	faults := append(d.inputFaults(), d.nodeFaults()...)
	for i, f := range faults {
		d.say("\n== fault %d of %d: %s", i+1, len(faults), f.name)
		if err := d.suffer(ctx, f); err != nil {
			return fmt.Errorf("fault %q: %w", f.name, err)
		}
	}
	d.watch.lap(fmt.Sprintf("%d faults", len(faults)))
	d.say("demo: %d faults of the cloud told, isolated and survived", len(faults))
	return nil
}

func (d *demo) suffer(ctx context.Context, f cloudFault) error {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	if err := f.spoil(ctx); err != nil {
		return err
	}
	v, err := d.view.until(ctx, patient+" told what is wrong", func(v report.View) bool { return d.ails(v, f.tells) })
	if err != nil {
		return err
	}
	d.say("%s: %s", patient, causeOf(v, patient))
	for _, other := range []string{"r7-n00", "r7-n01"} {
		if phaseOf(v, other) != "Ready" {
			return fmt.Errorf("node %s suffers with it: %s", other, causeOf(v, other))
		}
	}
	if err := f.mend(ctx); err != nil {
		return err
	}
	_, err = d.view.until(ctx, patient+" ready again", d.allJoined)
	return err
}

// ails reports whether the patient is not ready and its message tells everything; it never tells a secret.
func (d *demo) ails(v report.View, tells []string) bool {
	cause := causeOf(v, patient)
	for _, word := range tells {
		if !strings.Contains(cause, word) {
			return false
		}
	}
	for _, password := range d.cloud.Passwords {
		if strings.Contains(cause, password) {
			return false
		}
	}
	return phaseOf(v, patient) != "Ready"
}

// takeName makes a compute that has the name the patient is going to have.
func (d *demo) takeName(ctx context.Context) error {
	_, err := d.cloud.Output(ctx, "openstack", "--os-cloud", "default", "resource", "provider", "create", patient)
	return err
}

// giveName waits until the patient is refused for its name, and ends the other one.
func (d *demo) giveName(ctx context.Context) error {
	v, err := d.view.until(ctx, patient+" refused for its name", func(v report.View) bool {
		return strings.Contains(causeOf(v, patient), "service nova failed") && strings.Contains(causeOf(v, patient), "by that name")
	})
	if err != nil {
		return err
	}
	d.say("%s: %s", patient, causeOf(v, patient))
	_, err = d.cloud.Output(ctx, "bash", "-c",
		"export OS_CLOUD=default; openstack resource provider delete $(openstack resource provider list --name "+patient+" --format=value --column=uuid)")
	return err
}

// inputFaults are mistakes in what the user writes.
func (d *demo) inputFaults() []cloudFault {
	const key = "control-plane.yaml"
	right := string(d.cloud.ComputeConfig[described][key])
	edited := func(from, to string) func(context.Context) error {
		return func(ctx context.Context) error {
			return d.putSecret(ctx, described, map[string][]byte{key: []byte(strings.ReplaceAll(right, from, to))})
		}
	}
	mended := edited("", "")
	clock := &lateKeystone{origin: d.cloud.AuthURL}
	return []cloudFault{
		{
			name:  "a wrong password for the message bus",
			spoil: edited("rabbit://nova:", "rabbit://nova:wrong"), mend: mended, tells: []string{"nova", "transport_url", key},
		},
		{
			name:  "a wrong password for Keystone",
			spoil: edited("password: "+d.cloud.Passwords["nova"], "password: wrong"), mend: mended, tells: []string{"nova", "Keystone", key},
		},
		{
			name: "a Secret without its key",
			spoil: func(ctx context.Context) error {
				return d.putSecret(ctx, described, map[string][]byte{"controlplane.yaml": []byte(right)})
			},
			mend: mended, tells: []string{"ovn", described, key},
		},
		{
			name: "a clock ten minutes off Keystone's",
			spoil: func(ctx context.Context) error {
				if err := clock.start(ctx); err != nil {
					return err
				}
				return edited(d.cloud.AuthURL, clock.url())(ctx)
			},
			mend: func(ctx context.Context) error { return errors.Join(clock.stop(), mended(ctx)) }, tells: []string{"nova", "clock", "timesync_ntp_servers"},
		},
		{
			name:  "no virtualization, and emulation not allowed",
			spoil: d.variables(map[string]any{"edpm_nova_allow_qemu": false}), mend: d.variables(map[string]any{"edpm_nova_allow_qemu": true}), tells: []string{"nova", "kvm", "edpm_nova_allow_qemu"},
		},
		{
			name: "a package that is wanted from a mirror that nobody reaches",
			spoil: d.variables(map[string]any{
				"edpm_bootstrap_packages": []string{"hello"},
				"edpm_bootstrap_repos": []map[string]any{{
					"name": "away", "url": "http://" + rack.Gateway + ":9/repo", "suites": []string{"./"}, "components": []string{}, "trusted": true,
				}},
			}),
			mend:  d.variables(map[string]any{"edpm_bootstrap_packages": nil, "edpm_bootstrap_repos": nil}),
			tells: []string{"bootstrap", "hello", rack.Gateway + ":9"},
		},
		{
			name:  "an expired certificate",
			spoil: d.expiredCertificate,
			mend: func(ctx context.Context) error {
				return d.client.Delete(ctx, secret(lab, "nova-certs", nil))
			},
			tells: []string{"install-certs", "expired on", "renew"},
		},
	}
}

// nodeFaults are trouble of the node itself and of its name in the cloud.
func (d *demo) nodeFaults() []cloudFault {
	return []cloudFault{
		{
			name: "a full disk",
			spoil: func(ctx context.Context) error {
				if err := d.onNode(ctx, patient, `sudo fallocate --length $(( $(df --output=avail --block-size=1M / | tail --lines=1) - 200 ))M /var/tmp/full`); err != nil {
					return err
				}
				return d.deploy(ctx, "full-disk")
			},
			mend:  func(ctx context.Context) error { return d.onNode(ctx, patient, "sudo rm /var/tmp/full") },
			tells: []string{"nova", "MB left", "make room"},
		},
		{
			name: "another chassis with the node's name",
			spoil: func(ctx context.Context) error {
				return d.southbound(ctx, "chassis-add", "stranger", "geneve", "172.17.0.99", "--", "set", "Chassis", "stranger", "hostname="+d.patientHost)
			},
			mend:  func(ctx context.Context) error { return d.southbound(ctx, "chassis-del", "stranger") },
			tells: []string{"stranger", d.patientHost},
		},
	}
}

func (d *demo) southbound(ctx context.Context, args ...string) error {
	_, err := d.cloud.Output(ctx, append([]string{"ovn-sbctl", "--timeout=10"}, args...)...)
	return err
}

func (d *demo) putSecret(ctx context.Context, name string, data map[string][]byte) error {
	s := &corev1.Secret{}
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: lab, Name: name}, s); err != nil {
		return err
	}
	old := s.DeepCopy()
	s.Data = data
	return d.client.Patch(ctx, s, client.MergeFrom(old))
}

// variables returns a change of Ansible variables of the patient's set; nil takes one out.
func (d *demo) variables(values map[string]any) func(context.Context) error {
	return func(ctx context.Context) error {
		set := &v1alpha1.NodeSet{}
		if err := d.client.Get(ctx, client.ObjectKey{Namespace: lab, Name: "running"}, set); err != nil {
			return err
		}
		old := set.DeepCopy()
		for name, value := range values {
			if value == nil {
				delete(set.Spec.NodeTemplate.Ansible.AnsibleVars, name)
				continue
			}
			raw, err := json.Marshal(value)
			if err != nil {
				return err
			}
			set.Spec.NodeTemplate.Ansible.AnsibleVars[name] = apiextensionsv1.JSON{Raw: raw}
		}
		return d.client.Patch(ctx, set, client.MergeFrom(old))
	}
}

// deploy runs nova on the patient once more.
func (d *demo) deploy(ctx context.Context, name string) error {
	return d.client.Create(ctx, &v1alpha1.DataPlaneDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: lab, Name: name}, Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "running", ServicesOverride: []string{"nova"}},
	})
}

// expiredCertificate gives the patient a certificate that ended yesterday.
func (d *demo) expiredCertificate(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: d.patientHost}, DNSNames: []string{d.patientHost},
		NotBefore: now.AddDate(0, 0, -30), NotAfter: now.AddDate(0, 0, -1),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	prefix := "nova.default." + d.patientHost + "-"
	return d.client.Create(ctx, secret(lab, "nova-certs", map[string][]byte{
		prefix + "tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		prefix + "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}))
}

// lateKeystone is Keystone behind a clock of its own.
type lateKeystone struct {
	origin string
	server *http.Server
}

// latePort is where it listens, on the rack's own address.
const latePort = "5001"

func (k *lateKeystone) url() string {
	return "http://" + net.JoinHostPort(rack.Gateway, latePort) + "/v3"
}

func (k *lateKeystone) start(ctx context.Context) error {
	target, err := url.Parse(strings.TrimSuffix(k.origin, "/v3"))
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(rack.Gateway, latePort))
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
		return nil
	}
	k.server = &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = k.server.Serve(listener) }() // ends with stop
	return nil
}

func (k *lateKeystone) stop() error { return k.server.Close() }
