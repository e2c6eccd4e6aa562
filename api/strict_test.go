package api

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

func TestCheckFields(t *testing.T) {
	tests := []struct {
		name, in string
		like     any
		want     []string
	}{
		{"nothing wrong", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","labels":{"a/b.c":"d"}},"spec":{"replicas":3,"template":{"spec":{"containers":[{"image":"x","livenessProbe":{"httpGet":{"port":"http"}},"resources":{"limits":{"cpu":1,"memory":"1Gi"}}}]}}}}`, appsv1.Deployment{}, nil},
		{"a null counts as absent", `{"spec":{"replicas":null,"template":null}}`, appsv1.Deployment{}, nil},
		{"all at once, with indexes", `{"spec":{"replcas":1,"template":{"spec":{"containers":[{},{"imge":"x"},{"name":7}]}}}}`, appsv1.Deployment{}, []string{
			"spec.replcas: unknown field; did you mean replicas?",
			"spec.template.spec.containers[1].imge: unknown field; did you mean image?",
			"spec.template.spec.containers[2].name: must be a string, not 7; quote it"}},
		{"names are case-sensitive", `{"Spec":{}}`, appsv1.Deployment{}, []string{"Spec: unknown field; did you mean spec?"}},
		{"keys with dots are put in brackets", `{"metadata":{"annotations":{"a.b/c":true}}}`, corev1.ConfigMap{}, []string{
			`metadata.annotations["a.b/c"]: must be a string, not true; quote it`}},
		{"numbers", `{"spec":{"replicas":1.5,"revisionHistoryLimit":3000000000,"minReadySeconds":"3","paused":"true","progressDeadlineSeconds":2.0}}`, appsv1.Deployment{}, []string{
			`spec.minReadySeconds: must be a whole number, not "3"; remove the quotes`,
			`spec.paused: must be true or false, not "true"; remove the quotes`,
			`spec.replicas: must be a whole number, not 1.5`,
			`spec.revisionHistoryLimit: 3000000000 is out of range for int32`}},
		{"shapes", `{"metadata":[],"spec":{"template":"x","selector":{"matchExpressions":{}}}}`, appsv1.Deployment{}, []string{
			"metadata: must be a mapping, not a list",
			"spec.selector.matchExpressions: must be a list, not a mapping",
			`spec.template: must be a mapping, not "x"`}},
		{"a Secret's values are not shown", `{"kind":"Secret","data":{"a":"hunter2","b":"aGk=","c":7},"stringData":{"pin":1234},"type":["hunter2"]}`, corev1.Secret{}, []string{
			"data.a: is not valid base64; use stringData for plain text in a Secret",
			"data.c: must be a base64 string, not a number",
			"stringData.pin: must be a string, not a number; quote it",
			"type: must be a string, not a list"}},
		{"quantities that would take minutes to read", `{"spec":{"template":{"spec":{"containers":[{"resources":{"limits":{"cpu":"1e-2000000000","memory":"1e3"}}}]}}}}`, appsv1.Deployment{}, []string{
			`spec.template.spec.containers[0].resources.limits.cpu: "1e-2000000000" is not a valid Quantity: its exponent has more than three digits`}},
		{"a text where labels belong", `{"metadata":{"labels":"app=a"}}`, appsv1.Deployment{}, []string{`metadata.labels: must be a mapping, not "app=a"`}},
		{"a long text is not repeated", `{"spec":{"replicas":"` + strings.Repeat("x", 41) + `"}}`, appsv1.Deployment{}, []string{"spec.replicas: must be a whole number, not a string"}},
		{"a number with a fraction may be one", `{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"minimum":0.5,"maximum":7,"multipleOf":"2"}}}]}}`, apiextensionsv1.CustomResourceDefinition{}, []string{
			`spec.versions[0].schema.openAPIV3Schema.multipleOf: must be a number, not "2"`}},
		{"a Secret's flag is not shown", `{"kind":"Secret","immutable":"hunter2","stringData":{"on":true}}`, corev1.Secret{}, []string{
			"immutable: must be true or false, not a string", "stringData.on: must be a string, not a boolean; quote it"}},
		{"nothing near", `{"xyzzy":1}`, corev1.Secret{}, []string{"xyzzy: unknown field; remove it or mend its name"}},
		{"a pointer to the type will do", `{"spec":{"policy":{"placementTyp":"PickAll"}}}`, &placementv1beta1.ClusterResourcePlacement{}, []string{
			"spec.policy.placementTyp: unknown field; did you mean placementType?"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range CheckFields(decode(t, tt.in), tt.like) {
				got = append(got, e.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want - got +:\n%s", diff)
			}
		})
	}
}

func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecodeStrict(t *testing.T) {
	u := &unstructured.Unstructured{Object: decode(t, `{"metadata":{"name":"m1","labels":{"a":"b"}},"spec":{"heartbeatPeriodSeconds":60}}`)}
	var m clusterv1beta1.MemberCluster
	if err := DecodeStrict(u, &m); err != nil {
		t.Fatal(err)
	}
	if m.Name != "m1" || m.Labels["a"] != "b" || m.Spec.HeartbeatPeriodSeconds == nil || *m.Spec.HeartbeatPeriodSeconds != 60 {
		t.Errorf("decoded to %+v", m)
	}
	u.Object["spce"] = map[string]any{}
	into := clusterv1beta1.MemberCluster{}
	var fields FieldErrors
	if err := DecodeStrict(u, &into); !errors.As(err, &fields) || len(fields) != 1 || fields[0].Field != "spce" {
		t.Errorf("got %v, want one error about spce", err)
	}
	if !reflect.DeepEqual(into, clusterv1beta1.MemberCluster{}) {
		t.Errorf("a document with errors was decoded into %+v", into)
	}
}

// FuzzCheckFields compares CheckFields with the API machinery's own strict decoder: both accept the same documents.
func FuzzCheckFields(f *testing.F) {
	types := []any{appsv1.Deployment{}, corev1.Secret{}, corev1.Service{}, placementv1beta1.ClusterResourcePlacement{}, clusterv1beta1.MemberCluster{}, apiextensionsv1.CustomResourceDefinition{}}
	for i, seed := range []string{
		`{"spec":{"replicas":3,"template":{"spec":{"containers":[{"image":"x","resources":{"limits":{"cpu":1}}}]}}}}`,
		`{"data":{"a":"aGk="},"stringData":{"b":"c"},"immutable":true}`,
		`{"spec":{"ports":[{"port":80,"targetPort":"http"}],"clusterIP":"None"},"metadata":{"creationTimestamp":null}}`,
		`{"spec":{"resourceSelectors":[{"group":"","version":"v1","kind":"Namespace","labelSelector":{"matchLabels":{"a":"b"}}}],"strategy":{"rollingUpdate":{"maxSurge":"25%"}}}}`,
		`{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]},"status":{"resourceUsage":{"available":{"cpu":"1"}}}}`,
		`{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"type":"object","default":{"a":1},"items":[{"type":"x"}]}}}]}}`,
	} {
		f.Add(i, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		var content map[string]any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &content); err != nil {
			return
		}
		clean, err := json.Marshal(content) // without duplicate keys, which only the text has
		if err != nil {
			return
		}
		like := types[((which%len(types))+len(types))%len(types)]
		ours := CheckFields(content, like)
		into := reflect.New(reflect.TypeOf(like)).Interface()
		strict, err := kjson.UnmarshalStrict(clean, into)
		theirs := errors.Join(append(strict, err)...)
		if (len(ours) == 0) != (theirs == nil) && !knownDifference(theirs) {
			t.Fatalf("%T %s:\nCheckFields: %v\nstrict decoder: %v", like, clean, ours, theirs)
		}
	})
}

// knownDifference is true for numbers such as 1e3 and 2.0 where a whole number is needed: decoding without a type has made
// them floats of a whole value, which CheckFields accepts.
func knownDifference(theirs error) bool {
	return theirs != nil && strings.Contains(theirs.Error(), "cannot unmarshal number")
}

func TestCheckRequired(t *testing.T) {
	tests := []struct {
		reason, in string
		want       []string
	}{
		{"nothing is missing", `{"metadata":{},"spec":{"resourceSelectors":[{"group":"","version":"v1","kind":"Namespace"}]}}`, nil},
		{"an empty list is there", `{"spec":{"resourceSelectors":[]}}`, nil},
		{"what can be left out is not asked for", `{"spec":{"resourceSelectors":[],"policy":{},"strategy":{"rollingUpdate":{}}}}`, nil},
		{"a null counts as absent", `{"spec":null}`, []string{"spec: is missing"}},
		{"everything in a list, with its index", `{"spec":{"resourceSelectors":[{"group":"","version":"v1","kind":"Namespace"},{"name":"a"}]}}`, []string{
			"spec.resourceSelectors[1].group: is missing", "spec.resourceSelectors[1].version: is missing", "spec.resourceSelectors[1].kind: is missing"}},
		{"through pointers, and types of Kubernetes that do tell", `{"spec":{"resourceSelectors":[],"policy":{"affinity":{"clusterAffinity":{
			"requiredDuringSchedulingIgnoredDuringExecution":{"clusterSelectorTerms":[{"labelSelector":{"matchExpressions":[{"key":"a"}]}}]},
			"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0}]}}}}}`, []string{
			"spec.policy.affinity.clusterAffinity.requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerms[0].labelSelector.matchExpressions[0].operator: is missing",
			"spec.policy.affinity.clusterAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference: is missing"}},
		{"a field with a wrong name is reported once", `{"spec":{"resourceSelector":[{}],"policy":{"topologySpreadConstraints":[{}]}}}`, []string{
			"spec.policy.topologySpreadConstraints[0].topologyKey: is missing"}},
		{"wrong types are not entered", `{"spec":{"resourceSelectors":{"a":{}},"policy":[{}],"strategy":{"rollingUpdate":{"maxSurge":{}}}}}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			var got []string
			for _, e := range CheckRequired(decode(t, tt.in), placementv1beta1.ClusterResourcePlacement{}) {
				got = append(got, e.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want - got +:\n%s", diff)
			}
		})
	}
}
