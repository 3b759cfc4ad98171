package local

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSlotsTell(t *testing.T) {
	type runs = map[string]int
	for _, tc := range []struct {
		namespace string
		running   runs
		want      string
	}{
		{"a", runs{}, ""},
		{"a", runs{"a": 1, "b": 2}, ""},
		{"a", runs{"a": 2}, "of namespace a to end: all its 2 Ansible slots"},
		{"a", runs{"b": 2, "c": 2}, "all 4 Ansible slots are in use by other namespaces"},
		{"a", runs{"a": 1, "b": 2, "c": 1}, "all 4 Ansible slots are in use, 1 by namespace a and 3 by others"},
	} {
		err := newSlots(4, 2).take(tc.namespace, tc.running)
		if got := fmt.Sprint(err); (tc.want == "") != (err == nil) || err != nil && !strings.Contains(got, tc.want) {
			t.Errorf("%s beside %v: %v, want %q", tc.namespace, tc.running, err, tc.want)
		}
		for other := range tc.running {
			if err != nil && other != tc.namespace && strings.Contains(err.Error(), "namespace "+other) {
				t.Errorf("%s is told of %s: %v", tc.namespace, other, err)
			}
		}
	}
}

// TestIdleRunsTakeNoSlots, as long as they are no more than slots, in a namespace and in all.
func TestIdleRunsTakeNoSlots(t *testing.T) {
	busy := func(namespace string) goingOn { return goingOn{namespace: namespace} }
	idle := func(namespace string) goingOn { return goingOn{namespace: namespace, idle: true} }
	for _, tc := range []struct {
		runs []goingOn
		want map[string]int
	}{
		{nil, map[string]int{}},
		{[]goingOn{busy("a"), idle("a"), idle("b")}, map[string]int{"a": 1}},
		{[]goingOn{idle("a"), idle("a"), idle("a"), busy("a")}, map[string]int{"a": 2}},
		{[]goingOn{idle("a"), idle("a"), idle("b"), idle("b"), idle("c")}, map[string]int{"c": 1}},
	} {
		if diff := cmp.Diff(tc.want, newSlots(4, 2).used(tc.runs)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc.runs, diff)
		}
	}
}

// TestWaitingNamespaceComesFirst: a slot that becomes free goes to who has fewer runs, for as long as it keeps asking.
func TestWaitingNamespaceComesFirst(t *testing.T) {
	s := newSlots(4, 2)
	running := map[string]int{"a": 2, "b": 2}
	if s.take("c", running) == nil {
		t.Fatal("five runs in four slots")
	}
	running["a"] = 1
	if err := s.take("a", running); err == nil || strings.Contains(err.Error(), "namespace c") {
		t.Errorf("a namespace that has a run goes first: %v", err)
	}
	if err := s.take("c", running); err != nil {
		t.Errorf("the one that waited: %v", err)
	}
	running["c"] = 1
	// One that asked once and has gone does not hold up others for ever.
	if s.take("d", running) == nil {
		t.Fatal("five runs in four slots")
	}
	running["b"] = 1
	tries := 0
	for s.take("a", running) != nil {
		if tries++; tries > 2*patience {
			t.Fatal("waits for ever for a namespace that has gone")
		}
	}
	if tries == 0 {
		t.Error("was not waited for at all")
	}
}

// TestSlotsServeEverybody has namespaces with endless work ask in any order: nobody exceeds the bounds, nobody starves.
func TestSlotsServeEverybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 6).Draw(t, "total")
		s := newSlots(total, (total+1)/2)
		running, served := map[string]int{}, map[string]int{}
		var ends []string
		names := []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "namespaces")]
		for range 400 {
			for _, name := range rapid.Permutation(names).Draw(t, "order") {
				if s.take(name, running) == nil {
					running[name]++
					served[name]++
					ends = append(ends, name)
				}
			}
			if len(ends) > total {
				t.Fatalf("%d runs in %d slots", len(ends), total)
			}
			for name, n := range running {
				if n > (total+1)/2 {
					t.Fatalf("%s has %d of %d slots", name, n, total)
				}
			}
			i := rapid.IntRange(0, len(ends)-1).Draw(t, "ends")
			running[ends[i]]--
			ends = append(ends[:i], ends[i+1:]...)
		}
		for _, name := range names {
			if served[name] < 400/len(names)/4 {
				t.Fatalf("served %v: %s starves", served, name)
			}
		}
	})
}
