package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/api"
)

const (
	parentPrefix = "applyset-"
	setKey       = "set"   // key of data: the Set's name
	itemsKey     = "items" // key of data: the inventory, a JSON list with one item a line

	// tooling is what applyset.kubernetes.io/tooling says. Its version is that of the inventory's format, not of the
	// program: an upgrade must not write every parent of the fleet.
	tooling = "gitfleet/v1"

	// maxInventory bounds the data of a parent, in bytes. The API server refuses ConfigMaps with more than 1 MiB of data;
	// what is left is for the name and for uids that are not known yet.
	maxInventory = 1<<20 - 1<<12
)

// ErrInventoryTooLarge means that a Set has more objects than one parent can list.
var ErrInventoryTooLarge = errors.New("too many objects for one inventory")

// ParentName returns the name of the ConfigMap in api.SystemNamespace that is the parent of the Set of that name.
func ParentName(set string) string {
	name := parentPrefix + set
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return parentPrefix + fmt.Sprintf("%x", sha256.Sum256([]byte(set)))
	}
	return name
}

// IsParentName tells whether a ConfigMap of that name in api.SystemNamespace is a parent.
func IsParentName(name string) bool { return strings.HasPrefix(name, parentPrefix) }

// SetID returns the ApplySet id of the Set of that name: KEP-3659's V1 form over the parent's name, namespace, kind and
// group. It is the value of the part-of label.
func SetID(set string) string {
	sum := sha256.Sum256([]byte(ParentName(set) + "." + api.SystemNamespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// EncodeParent returns the ConfigMap that holds p. Its resourceVersion is p's: what makes an update of it fail when
// somebody else wrote in between. The error is ErrInventoryTooLarge, wrapped.
func EncodeParent(p Parent) (*corev1.ConfigMap, error) {
	items, err := encodeItems(p.Items)
	if err != nil {
		return nil, err
	}
	if n := len(items) + len(p.Name); n > maxInventory {
		return nil, fmt.Errorf("%w: %d objects take %d bytes, %d fit; split %s into several placements",
			ErrInventoryTooLarge, len(p.Items), n, maxInventory, p.Name)
	}
	cm := &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       api.SystemNamespace,
			Name:            ParentName(p.Name),
			ResourceVersion: p.ResourceVersion,
			Labels:          map[string]string{api.ApplySetIDLabel: SetID(p.Name)},
			Annotations: map[string]string{
				api.ApplySetToolingAnno:    tooling,
				api.ApplySetGroupKindsAnno: groupKinds(p.Items),
				api.ApplySetNamespacesAnno: additionalNamespaces(p.Items),
				api.AnnotationRevision:     p.Revision,
				api.AnnotationPolicyDigest: p.PolicyDigest,
				api.AnnotationSource:       p.Source,
			},
		},
		Data: map[string]string{setKey: p.Name, itemsKey: items},
	}
	if p.Account != "" {
		cm.Annotations[api.AnnotationServiceAccount] = p.Account
	}
	return cm, nil
}

// DecodeParent reads what EncodeParent made. An error means that somebody else changed it, and that nothing may be
// concluded from it.
func DecodeParent(cm *corev1.ConfigMap) (Parent, error) {
	p := Parent{
		Name:            cm.Data[setKey],
		ResourceVersion: cm.ResourceVersion,
		Revision:        cm.Annotations[api.AnnotationRevision],
		PolicyDigest:    cm.Annotations[api.AnnotationPolicyDigest],
		Source:          cm.Annotations[api.AnnotationSource],
		Account:         cm.Annotations[api.AnnotationServiceAccount],
	}
	if p.Name == "" || cm.Name != ParentName(p.Name) {
		return Parent{}, fmt.Errorf("data.%s names the set %q, whose parent would be called %q", setKey, p.Name, ParentName(p.Name))
	}
	if got := cm.Annotations[api.ApplySetToolingAnno]; got != tooling {
		return Parent{}, fmt.Errorf("annotation %s is %q, this program writes %q", api.ApplySetToolingAnno, got, tooling)
	}
	dec := json.NewDecoder(strings.NewReader(cm.Data[itemsKey]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p.Items); err != nil {
		return Parent{}, fmt.Errorf("data.%s: %w", itemsKey, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Parent{}, fmt.Errorf("data.%s: something follows the list", itemsKey)
	}
	for i, it := range p.Items {
		if it.Kind == "" || it.Name == "" || it.Version == "" {
			return Parent{}, fmt.Errorf("data.%s: item %d has no kind, name or version", itemsKey, i)
		}
		if i > 0 && p.Items[i-1].Compare(it.Ref) >= 0 {
			return Parent{}, fmt.Errorf("data.%s: item %d is out of order or doubled", itemsKey, i)
		}
	}
	return p, nil
}

// encodeItems prints one item a line, so that a person can read and compare inventories.
func encodeItems(items []Item) (string, error) {
	var b bytes.Buffer
	b.WriteString("[")
	for i, it := range items {
		line, err := json.Marshal(it)
		if err != nil {
			return "", fmt.Errorf("inventory item %s: %w", it.Ref, err)
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		b.Write(line)
	}
	b.WriteString("\n]\n")
	return b.String(), nil
}

// groupKinds lists kinds as KEP-3659 wants them: "ConfigMap,Deployment.apps", sorted.
func groupKinds(items []Item) string {
	kinds := map[string]bool{}
	for _, it := range items {
		kinds[it.GroupKind().String()] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ",")
}

func additionalNamespaces(items []Item) string {
	namespaces := map[string]bool{}
	for _, it := range items {
		if it.Namespace != "" && it.Namespace != api.SystemNamespace {
			namespaces[it.Namespace] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(namespaces)), ",")
}

// itemList collects an inventory in the order of its refs. As long as it is what the inventory was before it takes no memory:
// almost every inventory is unchanged, almost always.
type itemList struct {
	before []Item // never modified
	same   int    // so many of before are in the list
	own    []Item // the list, once it is no beginning of before
}

func (l *itemList) add(it Item) {
	if l.own == nil {
		if l.same < len(l.before) && l.before[l.same] == it {
			l.same++
			return
		}
		l.own = append(make([]Item, 0, len(l.before)+1), l.before[:l.same]...)
	}
	l.own = append(l.own, it)
}

// list returns what was added. It may be before itself.
func (l *itemList) list() []Item {
	if l.own == nil {
		return l.before[:l.same:l.same]
	}
	return l.own
}
