package controlplane

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// etcdArgs runs etcd as the only member of its cluster, small, on loopback.
// Flags: etcd v3.6 configuration reference.
func etcdArgs(dir string, keys pki, ports ports) []string {
	client := fmt.Sprintf("https://127.0.0.1:%d", ports.Etcd)
	peer := fmt.Sprintf("https://127.0.0.1:%d", ports.EtcdPeer)
	cert, ca := keys.file(certEtcd), keys.bundle(authorityEtcd)
	return []string{
		"--name=rackplane",
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=rackplane=" + peer,
		"--cert-file=" + cert, "--key-file=" + cert, "--trusted-ca-file=" + ca, "--client-cert-auth",
		"--peer-cert-file=" + cert, "--peer-key-file=" + cert, "--peer-trusted-ca-file=" + ca, "--peer-client-cert-auth",
		// A rack's worth of objects is a few MiB: keep the log short, so that a restart replays little.
		"--snapshot-count=5000",
		"--quota-backend-bytes=" + strconv.Itoa(2<<30),
		"--logger=zap", "--log-level=warn",
	}
}

// apiServerArgs runs kube-apiserver for custom resources, Secrets and Events; nothing schedules pods here.
// Flags: kube-apiserver v1.37 command line reference.
func apiServerArgs(listen string, keys pki, ports ports) []string {
	serving, etcd := keys.file(certServing), keys.file(certEtcdClient)
	signing := keys.signingKey()
	return []string{
		"--bind-address=" + listen,
		"--advertise-address=" + reachable(listen),
		"--secure-port=" + strconv.Itoa(ports.API),
		"--tls-cert-file=" + serving, "--tls-private-key-file=" + serving,
		"--client-ca-file=" + keys.bundle(authorityAPI),
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", ports.Etcd),
		"--etcd-cafile=" + keys.bundle(authorityEtcd), "--etcd-certfile=" + etcd, "--etcd-keyfile=" + etcd,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + signing, "--service-account-signing-key-file=" + signing,
		"--service-cluster-ip-range=" + serviceNetwork,
		"--anonymous-auth=false",
		"--authorization-mode=RBAC",
		"--profiling=false",
		// Nothing maintains the kubernetes Service's endpoints or the default service account here.
		"--endpoint-reconciler-type=none",
		"--disable-admission-plugins=ServiceAccount",
		// A stop must not wait for watches: they are re-established after a restart anyway.
		"--shutdown-delay-duration=0s",
	}
}
