#!/usr/bin/env bash
# Runs the tutorial through the `service` provider on two real clusters with real pods, and looks from inside pods at what
# kube-proxy and DNS make of it. Run by hand; see README.md for what the clusters must offer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
	cat <<'U'
usage: check.sh --kubeconfig FILE --context A --context B --gitfleet BINARY --image IMAGE --client IMAGE --address IP

  --kubeconfig FILE  has both contexts; their names are the members' names
  --image IMAGE      a web server on port 8080 that answers with the name of its pod
  --client IMAGE     has sh, curl and nslookup
  --address IP       what the load balancer gets: any address that leads to a node of cluster A
U
	exit "${1:-2}"
}

contexts=()
while [ $# -gt 0 ]; do
	case "$1" in
	--kubeconfig) kubeconfig=$2 ;; --context) contexts+=("$2") ;; --gitfleet) gitfleet=$2 ;;
	--image) image=$2 ;; --client) client=$2 ;; --address) address=$2 ;;
	--help) usage 0 ;; *) usage ;;
	esac
	shift 2 || usage
done
[ ${#contexts[@]} -eq 2 ] && [ -n "${kubeconfig:-}${gitfleet:-}${image:-}${client:-}${address:-}" ] || usage
a=${contexts[0]} b=${contexts[1]} ns=kuard-demo

gitfleet=$(realpath "$gitfleet") kubeconfig=$(realpath "$kubeconfig") work=$(mktemp -d)
cd "$here"
on() { local context=$1; shift; kubectl --kubeconfig "$kubeconfig" --context "$context" "$@"; }
say() { printf '\n== %s\n' "$*"; }
shown() { printf '$ %s\n' "$*"; "$@"; }
die() { printf 'FAILED: %s\n' "$*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
until_true() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1)) what=$2; shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "not within the time: $what"
		kill -0 "$pid" 2>/dev/null || die "gitfleet has ended"
		sleep 0.2
	done
}
finish() {
	[ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || true
	for c in "$a" "$b"; do
		on "$c" delete namespace $ns gitfleet-system --ignore-not-found --wait=false >/dev/null 2>&1 || true
	done
	rm -rf "$work"
}
trap finish EXIT

repository() {
	git init --quiet --bare --initial-branch=main "$work/fleet.git"
	git clone --quiet "$work/fleet.git" "$work/tree" 2>/dev/null
	for c in "$a" "$b"; do
		sed "s/MEMBER/$c/" member.yaml >"$work/tree/$c.yaml"
	done
	sed "s#IMAGE#$image#" kuard.yaml >"$work/tree/kuard.yaml"
	push "the tutorial"
}

push() {
	git -C "$work/tree" add --all
	git -C "$work/tree" -c user.name=check -c user.email=check@example.com commit --quiet --message "$1"
	git -C "$work/tree" push --quiet origin HEAD:main
}

# hits CONTEXT URL: which pods answer 40 requests of the client pod, and how often.
hits() {
	on "$1" exec client -n $ns -- sh -c "for i in \$(seq 40); do curl -s -m 5 $2 || echo none; done" |
		sed -n 's/^pod=\([^ ]*\).*/\1/p; /^none/p' | sort | uniq -c
}

# pods CONTEXT APP: the names of the pods of an application there.
pods() { on "$1" get pods -n $ns -l app="$2" -o name | sed 's#pod/##'; }

# cloud gives the load balancer's Service its address, as a cloud's controller does: kube-proxy takes it from there.
cloud() {
	lb=$(on "$a" get service -n $ns -l gitfleet.dev/derived=load-balancer -o name)
	on "$a" patch "$lb" -n $ns --subresource=status --type=merge \
		--patch "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"$address\"}]}}}" >/dev/null
}

clients() {
	for c in "$a" "$b"; do
		on "$c" run client -n $ns --image="$client" --image-pull-policy=IfNotPresent --restart=Never -- sh -c 'sleep 3600' >/dev/null
		on "$c" wait -n $ns --for=condition=Ready pod/client --timeout=60s >/dev/null
	done
}

# answers CONTEXT URL: kube-proxy of that cluster knows of the endpoints there.
answers() { on "$1" exec client -n $ns -- curl -s -m 1 "$2"; }

# expect CONTEXT URL APP MEMBER...: every pod of APP on those members answers there, and nobody else.
expect() {
	local context=$1 url=$2 app=$3 answers wanted=; shift 3
	until_true 30 "an answer at $url" answers "$context" "$url"
	answers=$(hits "$context" "$url")
	printf '%s\n' "$answers"
	for m in "$@"; do wanted+=$(pods "$m" "$app")$'\n'; done
	for p in $wanted; do grep -q " $p\$" <<<"$answers" || die "pod $p never answered at $url from $context"; done
	[ "$(wc -l <<<"$answers")" -eq "$(wc -w <<<"$wanted")" ] || die "others than the pods of $* answered at $url, or nobody did"
}

say "two clusters, and gitfleet with the provider service"
repository
"$gitfleet" run --repo "file://$work/fleet.git" --kubeconfig "$kubeconfig" --state-dir "$work/state" --interval 1s \
	--listen 127.0.0.1:0 --load-balancer service >"$work/out" 2>"$work/log" &
pid=$!
for c in "$a" "$b"; do
	until_true 120 "kuard on $c" on "$c" rollout status deployment/kuard -n $ns --timeout=1s
	until_true 60 "a valid export on $c" on "$c" wait -n $ns --for=condition=Valid serviceexports.networking.fleet.azure.com/kuard --timeout=1s
	shown on "$c" get serviceexports.networking.fleet.azure.com kuard -n $ns
	shown on "$c" get pods -n $ns -l app=kuard -o wide
done
clients

say "the tutorial: a MultiClusterService on $a"
on "$a" apply -f multiclusterservice.yaml
until_true 60 "the derived Service" cloud
until_true 60 "the address in the status" on "$a" wait -n $ns --for=jsonpath='{.status.loadBalancer.ingress[0].ip}'="$address" multiclusterservice/kuard --timeout=1s
shown on "$a" get multiclusterservice kuard -n $ns
shown on "$a" get services,endpointslices -n $ns

say "from a pod of $a to the load balancer: pods of both clusters answer"
expect "$a" "http://$address:8080/" kuard "$a" "$b"

say "the clusterset IP on $a of what $b alone exports: $b's pods answer"
sed "s#IMAGE#$image#" only.yaml | on "$b" apply -f -
on "$b" rollout status deployment/only -n $ns --timeout=60s
until_true 60 "the import on $a of what $b exports" on "$a" wait -n $ns --for=jsonpath='{.spec.ips[0]}' serviceimports.multicluster.x-k8s.io/only --timeout=1s
ip=$(on "$a" get serviceimports.multicluster.x-k8s.io only -n $ns -o jsonpath='{.spec.ips[0]}')
shown on "$a" get serviceimports.multicluster.x-k8s.io -n $ns
expect "$a" "http://$ip:8080/" only "$b"

say "the same by name, with a DNS server that knows imports"
if on "$a" exec client -n $ns -- nslookup "only.$ns.svc.clusterset.local." 2>/dev/null | tee "$work/dns" | grep -q "$ip"; then
	cat "$work/dns"
else
	echo "skipped: no server of $a answers for clusterset.local"
fi

say "the pods of $b go, by Git: nobody of $a is sent there any more"
sed -i 's/replicas: 2/replicas: 0/' "$work/tree/kuard.yaml"
push "no replicas"
empty() { ! on "$1" get endpointslices -n $ns -l "$2" -o jsonpath='{.items[*].endpoints[*].addresses}' | grep -q .; }
until_true 60 "no endpoint of kuard in $a" empty "$a" multicluster.kubernetes.io/service-name=kuard
echo OK
