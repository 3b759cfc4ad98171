package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/report"
)

// nodeCheck is what a look at a pre-provisioned node brought.
type nodeCheck struct {
	// Login is USER@ADDRESS.
	Login string `json:"login"`
	// Result is "adoptable", "refused", "configured" (services of Rackplane have run there already) or "not seen".
	Result   string             `json:"result"`
	Findings []adoption.Finding `json:"findings,omitempty"`
	// Error says why the node was not seen.
	Error string `json:"error,omitempty"`
}

const (
	resultAdoptable  = "adoptable"
	resultRefused    = "refused"
	resultConfigured = "configured"
	resultNotSeen    = "not seen"
)

// checkers is how many nodes are looked at side by side.
const checkers = 16

// check looks at every planned node of the pre-provisioned sets, with the engine's own eyes and rules. It fails only when
// it is interrupted.
func (p *preview) check(ctx context.Context, m *manifest.Reader, examiner remote.Examiner) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(checkers)
	for i := range p.NodeSets {
		set := &p.NodeSets[i]
		if !set.inputs.NodeSet.Spec.PreProvisioned {
			continue
		}
		for j := range set.Nodes {
			node := &set.Nodes[j]
			if node.Change == "delete" {
				continue
			}
			group.Go(func() error {
				node.Check = checkNode(ctx, m, &set.inputs, &node.node, examiner)
				return ctx.Err()
			})
		}
	}
	return group.Wait()
}

func checkNode(ctx context.Context, m *manifest.Reader, in *plan.Set, node *v1alpha1.DataPlaneNode, examiner remote.Examiner) *nodeCheck {
	login, addressed := plan.LoginOf(in.NodeSet, node, in.Site)
	c := &nodeCheck{Login: login.User + "@" + login.Address, Result: resultConfigured}
	switch {
	case len(node.Status.Services) > 0:
		return c
	case !addressed: // an empty address would be this machine
		c.Result, c.Error = resultNotSeen, plan.NoLogin(in.NodeSet, node)
		return c
	}
	wanted, err := inputs.Adoption(ctx, m, in, node, time.Now())
	if err != nil {
		c.Result, c.Error = resultNotSeen, err.Error()
		return c
	}
	facts, err := examiner.Examine(ctx, remote.Target{
		Address: login.Address, Port: login.Port, User: login.User, PrivateKey: in.Key.Private, HostKeys: plan.HostKeys(in.NodeSet, node),
	}, wanted.Question())
	if err != nil {
		c.Result, c.Error = resultNotSeen, err.Error()
		return c
	}
	if adoption.Ours(facts, wanted) {
		return c
	}
	wanted.Now = time.Now()
	c.Result, c.Findings = resultAdoptable, adoption.Decide(facts, wanted, in.NodeSet.Spec.Adoption.Accept)
	if len(adoption.Refused(c.Findings)) > 0 {
		c.Result = resultRefused
	}
	return c
}

// checked counts the nodes that were looked at, and those of them on which services may run.
func (s setPlan) checked() (good, all int) {
	for _, n := range s.Nodes {
		if n.Check == nil {
			continue
		}
		all++
		if n.Check.Result == resultAdoptable || n.Check.Result == resultConfigured {
			good++
		}
	}
	return good, all
}

// verdict is the error of a check that found nodes on which no service may run; nil when there are none.
func (p preview) verdict() error {
	good, all := 0, 0
	for _, s := range p.NodeSets {
		g, a := s.checked()
		good, all = good+g, all+a
	}
	if good == all {
		return nil
	}
	return fmt.Errorf("%d of %d nodes cannot be adopted as they are: put right what is marked, or name it in spec.adoption.accept", all-good, all)
}

// checkText is the table of what was found and wanted, node by node.
type checkText struct {
	style report.Style
	// brief leaves out what is as wanted.
	brief bool
}

const (
	nameWidth   = 17
	foundWidth  = 44
	wantedWidth = 34
)

func (t checkText) set(b *bytes.Buffer, s setPlan) {
	good, all := s.checked()
	if all == 0 {
		return
	}
	fmt.Fprintf(b, "\nlooked at %s/%s: %d of %d nodes can be adopted\n", s.Namespace, s.Name, good, all)
	for _, n := range s.Nodes {
		if n.Check != nil {
			t.node(b, n)
		}
	}
}

func (t checkText) node(b *bytes.Buffer, n nodePlan) {
	c := n.Check
	word := c.Result
	switch c.Result {
	case resultAdoptable:
		word = paint(t.style.Good, word)
	case resultConfigured:
		word = paint(t.style.Good, word) + ", services of Rackplane have run on it"
	default:
		word = paint(t.style.Bad, word)
	}
	fmt.Fprintf(b, "\n  %s (%s): %s\n", n.Name, c.Login, word)
	for _, line := range wrap(c.Error, nameWidth+foundWidth+wantedWidth) {
		fmt.Fprintf(b, "    %s\n", line)
	}
	if len(c.Findings) == 0 || (t.brief && len(c.Findings) == len(findingsOf(c.Findings, adoption.OK))) {
		return
	}
	fmt.Fprintf(b, "    %s\n", paint(t.style.Dim, "  "+pad("", nameWidth)+pad("found", foundWidth)+"  wanted"))
	for _, f := range c.Findings {
		if f.Verdict != adoption.OK || !t.brief {
			t.finding(b, f)
		}
	}
}

func findingsOf(all []adoption.Finding, v adoption.Verdict) []adoption.Finding {
	var out []adoption.Finding
	for _, f := range all {
		if f.Verdict == v {
			out = append(out, f)
		}
	}
	return out
}

// finding is one row, of as many lines as its longest cell takes, and what to do about it beneath.
func (t checkText) finding(b *bytes.Buffer, f adoption.Finding) {
	mark, colour := "✓", t.style.Good
	switch f.Verdict {
	case adoption.Refuse:
		mark, colour = "✗", t.style.Bad
	case adoption.Note:
		mark, colour = "!", nil
	case adoption.OK:
	}
	found, wanted := wrap(f.Found, foundWidth), wrap(f.Wanted, wantedWidth)
	for i := range max(len(found), len(wanted)) {
		name, left, right := "", "", ""
		if i == 0 {
			name = string(f.Name)
		} else {
			mark = " "
		}
		if i < len(found) {
			left = found[i]
		}
		if i < len(wanted) {
			right = wanted[i]
		}
		line := paint(colour, mark+" "+pad(name, nameWidth)) + pad(left, foundWidth) + "  " + right
		fmt.Fprintf(b, "    %s\n", strings.TrimRight(line, " "))
	}
	remedy := f.Remedy
	if f.Accepted {
		remedy = "accepted; otherwise: " + remedy
	}
	for i, line := range wrap(remedy, foundWidth+wantedWidth) {
		lead := "→ "
		if i > 0 {
			lead = "  "
		}
		fmt.Fprintf(b, "    %s\n", "  "+pad("", nameWidth)+paint(t.style.Dim, lead+line))
	}
}

func paint(colour func(string) string, text string) string {
	if colour == nil || text == "" {
		return text
	}
	return colour(text)
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// wrap breaks text between words into lines of at most so many characters; a longer word gets a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
