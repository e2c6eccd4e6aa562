package apply

import "testing"

func TestDiffers(t *testing.T) {
	const live = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, resourceVersion: "1", generation: 1, managedFields: [
		{manager: gitfleet, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:k": {}}}}]}, data: {k: v}, status: {n: 1}}`
	rows := []struct {
		name, answer string
		want         bool
	}{
		{"nothing", live, false},
		{"what the API server counts, another's entry and the status", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, resourceVersion: "2", generation: 2, managedFields: [
			{manager: kubectl, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:status": {}}},
			{manager: gitfleet, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:k": {}}}}]}, data: {k: v}, status: {n: 2}}`, false},
		{"a value", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, managedFields: [
			{manager: gitfleet, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:k": {}}}}]}, data: {k: w}}`, true},
		{"a label of the object", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: y}, managedFields: [
			{manager: gitfleet, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:k": {}}}}]}, data: {k: v}}`, true},
		{"only who owns a field", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, managedFields: [
			{manager: gitfleet, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {}}}]}, data: {k: v}}`, true},
	}
	for _, row := range rows {
		before, answer := object(t, live), object(t, row.answer)
		if got := Differs(before, answer); got != row.want {
			t.Errorf("%s: differs is %t, want %t", row.name, got, row.want)
		}
		if before.GetResourceVersion() != "1" || len(before.GetManagedFields()) != 1 {
			t.Errorf("%s: the live object was changed by comparing it", row.name)
		}
	}
}
