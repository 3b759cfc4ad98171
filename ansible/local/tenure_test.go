package local

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/rackplane/rackplane/ansible"
)

// tenancy is a Tenure that does as it is told and remembers what it was asked.
type tenancy struct {
	f           folder
	begin, keep error
	asked       []string
	began       bool // when it was asked to begin, something of the run had
}

func (t *tenancy) Begin(context.Context) error {
	t.asked, t.began = append(t.asked, "begin"), t.f.has("went")
	return t.begin
}

func (t *tenancy) Keep(ctx context.Context) error {
	t.asked = append(t.asked, "keep")
	if t.keep == nil {
		<-ctx.Done()
	}
	return t.keep
}

func (t *tenancy) GiveBack(context.Context) error {
	t.asked = append(t.asked, "give back")
	return nil
}

func TestRunLivesAsLongAsItsTenure(t *testing.T) {
	for name, tc := range map[string]struct {
		tenancy tenancy
		script  string
		asked   []string
		want    ansible.State
	}{
		"kept":           {tenancy{}, "touch ../went", []string{"begin", "keep", "give back"}, ansible.Finished},
		"lost":           {tenancy{keep: errors.New("taken")}, "touch ../went; sleep 100", []string{"begin", "keep", "give back"}, ansible.Absent},
		"lost before it": {tenancy{begin: errors.New("taken")}, "touch ../went", []string{"begin"}, ansible.Absent},
	} {
		t.Run(name, func(t *testing.T) {
			f, lock := laidOut(t, tc.script)
			o, err := f.order()
			if err != nil {
				t.Fatal(err)
			}
			o.Bounds = boundsOf(ansible.Run{})
			o.Hold = &Hold{Namespace: "site", Key: "k", Token: 5}
			if err := writeWhole(f.path(fileOrder), o); err != nil {
				t.Fatal(err)
			}
			tc.tenancy.f = f
			err = f.serve(t.Context(), lock, func(h Hold) (Tenure, error) {
				if h != *o.Hold {
					t.Errorf("%+v, want %+v", h, *o.Hold)
				}
				return &tc.tenancy, nil
			})
			if (err != nil) != (tc.want == ansible.Absent) {
				t.Errorf("error %v", err)
			}
			if !slices.Equal(tc.tenancy.asked, tc.asked) || tc.tenancy.began {
				t.Errorf("asked %v (when the run had begun: %t), want %v", tc.tenancy.asked, tc.tenancy.began, tc.asked)
			}
			if got, err := f.state(newJournal(nil)); err != nil || got != tc.want {
				t.Errorf("state %s (%v), want %s", got, err, tc.want)
			}
			if got := f.has("went"); got != (tc.tenancy.begin == nil) && name != "lost" {
				t.Errorf("the run began: %t", got)
			}
			if _, err := os.Stat(f.work(fileKey)); err == nil {
				t.Error("the key is still there")
			}
			if left, err := signalMarked(f.marker(), 0, map[int]bool{}); err != nil || left > 0 {
				t.Errorf("%d processes left, %v", left, err)
			}
		})
	}
}
