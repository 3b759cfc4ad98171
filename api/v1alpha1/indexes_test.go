package v1alpha1

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestIndexes(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	for text, want := range map[Indexes]string{
		"": "[]", "0": "[a]", "0-2": "[a b c]", "0-2,9": "[a b c j]", "bits:/wE=": "[a b c d e f g h i]",
		"8-99999": "[i j]", "12": "[]", "bits:////////": "[a b c d e f g h i j]", // of a longer list
		"x,1": "[b]", "3-1": "[]", "bits:?": "[]", "-1": "[]", // what the schema refuses
	} {
		if got := fmt.Sprint(text.Of(names)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for want, places := range map[Indexes][]int{"": nil, "0-2,9": {9, 2, 1, 0, 1}, "7": {7}, "bits:VVVV": {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22}} {
		if got := IndexesOf(places); got != want {
			t.Errorf("%v: %q, want %q", places, got, want)
		}
	}
}

// TestIndexesTellWhatTheyWereMadeOf: whatever places of whatever list, in a text that the schema takes.
func TestIndexesTellWhatTheyWereMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6000).Draw(t, "n")
		odds := rapid.SampledFrom([]int{1, 2, 3, 10, 1000}).Draw(t, "odds")
		names, has := make([]string, n), make([]bool, n)
		var places []int
		var want []string
		for i := range names {
			names[i] = strconv.Itoa(i)
			if (i*7919)%odds == 0 {
				places, want, has[i] = append(places, i), append(want, names[i]), true
			}
		}
		x := IndexesOf(places)
		if got := x.Of(names); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", x, got, want)
		}
		if len(x) > 1024 || len(x) > 12+(n+5)/6*2 {
			t.Fatalf("%d characters for %d of %d places", len(x), len(places), n)
		}
		if i := rapid.IntRange(0, n-1).Draw(t, "i"); x.Has(i) != has[i] {
			t.Fatalf("%q: Has(%d) is %t", x, i, x.Has(i))
		}
	})
}
