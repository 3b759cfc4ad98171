package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// Style adds colour to words; the zero Style adds none, for pipes and files.
type Style struct {
	// Good, Bad and Dim wrap a word; nil leaves it as it is.
	Good, Bad, Dim func(string) string
}

// Colour is the Style for terminals that know ANSI colours.
func Colour() Style {
	wrap := func(code string) func(string) string {
		return func(s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
	}
	return Style{Good: wrap("32"), Bad: wrap("31"), Dim: wrap("2")}
}

func apply(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

// Tree writes every NodeSet of the view with its nodes, then the hosts nobody holds.
func Tree(w io.Writer, v View, st Style) error {
	if v.Paused != "" {
		head := apply(st.Bad, "PAUSED") + ": nothing is acted on until `rackplane resume`: " + line.Of(v.Paused)
		if _, err := fmt.Fprintln(w, head); err != nil {
			return err
		}
	}
	if len(v.NodeSets) == 0 {
		if _, err := fmt.Fprintln(w, "no NodeSets: apply one (config/samples has examples)"); err != nil {
			return err
		}
	}
	lines := Lines(v)
	for i := range v.NodeSets {
		if err := setTree(w, &v.NodeSets[i], lines, v.Now, st); err != nil {
			return err
		}
	}
	return freeHosts(w, v.Hosts, st)
}

func setTree(w io.Writer, s *v1alpha1.NodeSet, lines []Line, now time.Time, st Style) error {
	mine := slices.DeleteFunc(slices.Clone(lines), func(l Line) bool { return l.Namespace != s.Namespace || l.NodeSet != s.Name })
	ready := 0
	for _, l := range mine {
		if l.Phase == "Ready" {
			ready++
		}
	}
	head := fmt.Sprintf("NodeSet %s/%s  %d/%d ready", s.Namespace, s.Name, ready, len(mine))
	if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Reason != v1alpha1.ReasonDone {
		head += "  " + c.Reason + ": " + line.Of(c.Message)
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	return nodeRows(w, mine, now, st)
}

func nodeRows(w io.Writer, lines []Line, now time.Time, st Style) error {
	rows := make([][]string, 0, len(lines))
	for _, l := range lines {
		rows = append(rows, []string{l.Node, l.Phase, dash(l.Host), dash(l.Address), dash(l.Step), Age(now.Sub(l.Since))})
	}
	widths := columnWidths(rows)
	for i, r := range rows {
		branch := "├─ "
		if i == len(rows)-1 {
			branch = "└─ "
		}
		var b strings.Builder
		b.WriteString(branch)
		for c, cell := range r {
			padded := cell + strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if c == 1 {
				padded = phaseStyle(lines[i], st, padded)
			}
			b.WriteString(padded + "  ")
		}
		b.WriteString(apply(causeStyle(lines[i], st), lines[i].Cause))
		if lines[i].Cause != "" {
			b.WriteString("  ")
		}
		b.WriteString(apply(st.Dim, lines[i].Notice))
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

func phaseStyle(l Line, st Style, s string) string {
	switch {
	case l.Phase == "Ready":
		return apply(st.Good, s)
	case l.Trouble:
		return apply(st.Bad, s)
	default:
		return s
	}
}

func causeStyle(l Line, st Style) func(string) string {
	if l.Trouble {
		return st.Bad
	}
	return st.Dim
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, r := range rows {
		for c, cell := range r {
			if c == len(widths) {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func freeHosts(w io.Writer, hosts []metal3v1alpha1.BareMetalHost, st Style) error {
	var free []string
	for i := range hosts {
		h := &hosts[i]
		if h.Spec.ConsumerRef != nil {
			continue
		}
		text := h.Name + " (" + line.Of(strings.TrimPrefix(hostStep(h), "host ")) + ")"
		if h.Status.ErrorMessage != "" {
			text = apply(st.Bad, h.Name+": "+line.Of(h.Status.ErrorMessage))
		}
		free = append(free, text)
	}
	if len(free) == 0 {
		return nil
	}
	slices.SortFunc(free, line.Natural)
	_, err := fmt.Fprintln(w, "unclaimed hosts: "+strings.Join(free, ", "))
	return err
}

// Plain writes a line as one row of a log: for pipes, where a live view would not do.
func Plain(l Line, now time.Time) string {
	parts := []string{l.Node, strings.ToLower(l.Phase)}
	if l.Step != "" {
		parts = append(parts, l.Step)
	}
	parts = append(parts, Age(now.Sub(l.Since)))
	text := strings.Join(parts, "  ")
	if l.Cause != "" && l.Phase != "Ready" {
		text += "  " + line.Of(l.Cause)
	}
	if l.Notice != "" {
		text += "  " + line.Of(l.Notice)
	}
	return text
}

// Age prints a duration as a person would: 7s, 3m12s, 5h02m, 4d.
func Age(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
