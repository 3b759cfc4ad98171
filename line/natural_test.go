package line_test

import (
	"slices"
	"testing"

	"github.com/rackplane/rackplane/line"
)

func TestNatural(t *testing.T) {
	want := []string{"", "a", "a01", "a1", "a2", "a10", "a10b", "a10b2", "b", "compute-2", "compute-10"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, line.Natural)
	if !slices.Equal(got, want) {
		t.Errorf("sorted as %q, want %q", got, want)
	}
}
