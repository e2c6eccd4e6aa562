package api

// Names of our own that more than one package must agree on.
const (
	// SystemNamespace is where gitfleet keeps its own objects on a member. It is never placed from a repository.
	SystemNamespace = "gitfleet-system"

	// FieldManager is our name in managedFields, for everything applied from a repository.
	FieldManager = "gitfleet"

	// AnnotationAppliedHash on a placed object is the digest of what was last applied.
	AnnotationAppliedHash = "gitfleet.dev/applied-hash"

	// AnnotationRevision on an ApplySet parent is the commit that caused its last change.
	AnnotationRevision = "gitfleet.dev/revision"

	// AnnotationSource on an ApplySet parent names the repository, branch and directories that the wish comes from.
	AnnotationSource = "gitfleet.dev/source"

	// AnnotationPolicyDigest on an ApplySet parent is the digest of the policy that chose the cluster.
	AnnotationPolicyDigest = "gitfleet.dev/policy-digest"

	// Annotations that authors write: see Directives, PlacementDirectives and MemberDirectives for what they mean, and
	// docs/manifests.md for how they are written.
	AnnotationWave           = "gitfleet.dev/wave"
	AnnotationDependsOn      = "gitfleet.dev/depends-on"
	AnnotationIgnoreFields   = "gitfleet.dev/ignore-fields"
	AnnotationRecreate       = "gitfleet.dev/recreate"
	AnnotationSuspend        = "gitfleet.dev/suspend"
	AnnotationServiceAccount = "gitfleet.dev/service-account"
	AnnotationHealth         = "gitfleet.dev/health"
	AnnotationUnplaceAfter   = "gitfleet.dev/unplace-after"

	// AnnotationLoadBalancerClass on a MultiClusterService is the spec.loadBalancerClass of the Service that stands for it.
	AnnotationLoadBalancerClass = "gitfleet.dev/load-balancer-class"

	// LabelDerived on a Service on a member tells that gitfleet derived it from a multi-cluster service, and for what: one of the
	// two values below.
	LabelDerived        = "gitfleet.dev/derived"
	DerivedClusterSetIP = "clusterset-ip" // its cluster IP is the import's clusterset IP there
	DerivedLoadBalancer = "load-balancer" // it stands for a MultiClusterService

	// TrailerConfirm in a commit message is the word of a person: the removals that the plan of that digest holds back may
	// be carried out.
	TrailerConfirm = "Gitfleet-Confirm"

	// LabelCRDRevision on a CustomResourceDefinition tells that gitfleet installed it, and which edition. One without
	// it is somebody else's and is never modified.
	LabelCRDRevision = "gitfleet.dev/crd-revision"
)

// Names of KEP-3659, ApplySets: https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune
const (
	ApplySetPartOfLabel    = "applyset.kubernetes.io/part-of"               // on members of a set: the set's id
	ApplySetIDLabel        = "applyset.kubernetes.io/id"                    // on its parent
	ApplySetToolingAnno    = "applyset.kubernetes.io/tooling"               // on its parent: tool/version
	ApplySetGroupKindsAnno = "applyset.kubernetes.io/contains-group-kinds"  // on its parent: "Deployment.apps,Service"
	ApplySetNamespacesAnno = "applyset.kubernetes.io/additional-namespaces" // on its parent: namespaces besides its own
)
