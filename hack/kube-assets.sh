#!/usr/bin/env bash
# Ensures that etcd and kube-apiserver are in the cache and prints their directory: downloads them with setup-envtest
# where the network allows it, else builds them from hack/etcd and hack/kube (about 5 minutes on two cores).
# Safe to repeat and to run twice at once.
#   RACKPLANE_CACHE    where to keep them
#   RACKPLANE_OFFLINE  when set, fail instead of downloading
set -euo pipefail

version=v1.37.2
envtest=sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.2
download_seconds=60

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${RACKPLANE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rackplane}/kube/$version

say() { echo "kube assets: $*" >&2; }
complete() { [ -x "$out/etcd" ] && [ -x "$out/kube-apiserver" ]; }

# Puts the named programs of a directory into place; each is either absent or whole.
install_from() {
	local dir=$1 name
	for name in etcd kube-apiserver; do
		install -m 0755 "$dir/$name" "$out/.$name.new"
		mv "$out/.$name.new" "$out/$name"
	done
}

# Only the download is bounded: compiling setup-envtest needs nothing but the Go proxy.
download() {
	local dir
	GOBIN=$work GOFLAGS=-mod=mod go install "$envtest" 2>"$work/log" || return 1
	dir=$(timeout "$download_seconds" "$work/setup-envtest" use "${version#v}" --bin-dir "$work/envtest" --print path 2>"$work/log") ||
		dir=$(timeout "$download_seconds" "$work/setup-envtest" use "$(cut -d. -f1,2 <<<"${version#v}").x" --bin-dir "$work/envtest" --print path 2>>"$work/log") ||
		return 1
	install_from "$dir"
}

build() {
	local stamp=k8s.io/component-base/version number=${version#v}
	export CGO_ENABLED=0
	(cd "$here/etcd" && go build -trimpath -ldflags "-s -w" -o "$work/etcd" go.etcd.io/etcd/server/v3)
	(cd "$here/kube" && go build -trimpath -o "$work/kube-apiserver" -ldflags "-s -w -X $stamp.gitVersion=$version \
		-X $stamp.gitMajor=${number%%.*} -X $stamp.gitMinor=$(cut -d. -f2 <<<"$number")" k8s.io/kubernetes/cmd/kube-apiserver)
	install_from "$work"
}

if ! complete; then
	mkdir -p "$out"
	exec 9>"$out/.lock"
	flock 9
fi
if ! complete; then
	if [ -n "${RACKPLANE_OFFLINE:-}" ]; then
		say "etcd and kube-apiserver are not in $out; run hack/kube-assets.sh where the network is reachable"
		exit 1
	fi
	work=$(mktemp -d "$out/.work-XXXXXX")
	trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
	start=$SECONDS
	say "getting etcd and kube-apiserver $version"
	if download; then
		say "downloaded in $((SECONDS - start)) s"
	else
		say "no download on this network; building them, about 5 minutes on two cores, once"
		build
		say "built in $((SECONDS - start)) s"
	fi
fi
echo "$out"
