package azure

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/mcs"
)

// Tags say whose a resource is. What does not have all of the first three as they should be is never changed and never deleted.
const (
	tagFleet   = "gitfleet-fleet"
	tagService = "gitfleet-service" // NAMESPACE/NAME
	tagSource  = "gitfleet-source"  // digest of the repository that the fleet follows: two of them that call themselves alike do not meet
	// tagAskedBy names the members that ask, separated by spaces; tooMany when they do not fit.
	tagAskedBy = "gitfleet-asked-by"
)

const (
	tooMany      = "*"
	longestTag   = 256 // characters of a tag's value, as Azure allows
	longestName  = 80
	digestLength = 10
)

// owner is who makes resources: a fleet that follows a repository.
type owner struct {
	fleet, source string
	any           bool // takes over what follows another source
}

// tags returns the tags of a resource of key for which clusters ask.
func (o owner) tags(key mcs.Key, clusters []string, more map[string]string) map[string]string {
	out := maps.Clone(more)
	if out == nil {
		out = map[string]string{}
	}
	asked := strings.Join(clusters, " ")
	if len(asked) > longestTag {
		asked = tooMany
	}
	out[tagFleet], out[tagService], out[tagSource], out[tagAskedBy] = o.fleet, key.String(), o.source, asked
	return out
}

// owns returns the service whose resource has tags; ok is false when it is not o's.
func (o owner) owns(tags map[string]string) (key mcs.Key, ok bool) {
	namespace, name, ok := strings.Cut(tags[tagService], "/")
	return mcs.Key{Namespace: namespace, Name: name}, ok && tags[tagFleet] == o.fleet && (o.any || tags[tagSource] == o.source)
}

// askedBy returns the members that asked; none when that is not known.
func askedBy(tags map[string]string) []string {
	if tags[tagAskedBy] == tooMany {
		return nil
	}
	return slices.Sorted(slices.Values(strings.Fields(tags[tagAskedBy])))
}

// tagsDiffer compares those of want: others may be there, as a policy of the subscription sets them.
func tagsDiffer(want, have map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return true
		}
	}
	return false
}

// withTagsOf returns want and what else have holds.
func withTagsOf(want, have map[string]string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, want)
	return out
}

// digest returns n characters that may stand in a name.
func digest(n int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:n]
}

// resourceNameOf is the name of a resource of key: readable, and distinct by what else goes into parts.
func (o owner) resourceNameOf(key mcs.Key, parts ...string) string {
	tail := "-" + digest(digestLength, append([]string{o.fleet, key.Namespace, key.Name}, parts...)...)
	head := o.fleet + "-" + key.Namespace + "-" + key.Name
	return strings.TrimRight(head[:min(len(head), longestName-len(tail))], "-._") + tail
}
