package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/line"
)

// planText says how much of a plan a person gets to read.
type planText struct {
	details func(*bytes.Buffer, setPlan) error
	check   checkText
}

// text prints the plan for a person.
func (p preview) text(w io.Writer, t planText) error {
	var b bytes.Buffer
	if p.Paused != "" {
		fmt.Fprintf(&b, "! the engine is PAUSED, and does none of this before `rackplane resume`: %s\n", line.Of(p.Paused))
	}
	for i, s := range p.NodeSets {
		if i > 0 {
			b.WriteString("\n")
		}
		if err := s.text(&b); err != nil {
			return err
		}
		t.check.set(&b, s)
		if err := t.details(&b, s); err != nil {
			return err
		}
	}
	for _, held := range p.Held {
		fmt.Fprintf(&b, "! %s\n", held)
	}
	for _, problem := range p.HostProblems {
		fmt.Fprintf(&b, "! %s\n", problem)
	}
	if len(p.Assumed) > 0 {
		fmt.Fprintf(&b, "note: %s without status in the files: taken to be available and to fit (add `kubectl get bmh,hardwaredata -o yaml` for what is known)\n",
			strings.Join(p.Assumed, ", "))
	}
	if len(p.AssumedHardware) > 0 {
		fmt.Fprintf(&b, "note: %s: not inspected as far as the files tell: taken to fit (add `kubectl get hardwaredata -o yaml` for what is known)\n",
			strings.Join(p.AssumedHardware, ", "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (s setPlan) text(b *bytes.Buffer) error {
	counts := map[string]int{}
	for _, n := range s.Nodes {
		counts[n.Change]++
	}
	fmt.Fprintf(b, "NodeSet %s/%s: %d to create, %d to change, %d to delete, %d as they are\n",
		s.Namespace, s.Name, counts["create"], counts["update"], counts["delete"], counts["none"])
	if err := s.table(b); err != nil {
		return err
	}
	if err := s.runs(b); err != nil {
		return err
	}
	for _, r := range s.Others {
		if len(r.Hosts) == 0 {
			fmt.Fprintf(b, "  %s\n", line.Of(r.String()))
			continue
		}
		fmt.Fprintf(b, "  host %s: %s\n", strings.Join(r.Hosts, ", "), line.Of(cmp.Or(r.Reason, "fits, stays free")))
	}
	for _, problem := range s.Problems {
		fmt.Fprintf(b, "! %s\n", line.Of(problem))
	}
	if s.Unread != "" {
		fmt.Fprintf(b, "note: %s\n", line.Of(s.Unread))
	}
	return nil
}

// sign marks a change as diffs do.
func sign(change string) string {
	return map[string]string{"create": "+", "update": "~", "delete": "-", "none": " "}[change]
}

func (s setPlan) table(b *bytes.Buffer) error {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, n := range s.Nodes {
		host := n.Host
		if host == "" {
			host = "-"
		}
		var addresses []string
		for _, a := range n.Addresses {
			addresses = append(addresses, a.Network+"="+a.Address)
		}
		if n.Server != "" {
			addresses = []string{"its server is " + n.Server}
		}
		fmt.Fprintf(t, "%s %s\t%s\t%s\n", sign(n.Change), n.Name, host, strings.Join(addresses, " "))
	}
	return t.Flush()
}

// nothing is what --summary shows beside the table.
func nothing(*bytes.Buffer, setPlan) error { return nil }

// details are what the table has no room for: nmstate per node, and the inventory.
func details(b *bytes.Buffer, s setPlan) error {
	for _, n := range s.Nodes {
		if n.NMState == nil {
			continue
		}
		data, err := yaml.Marshal(n.NMState)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\nnmstate of %s:\n%s", n.Name, indent(string(data)))
	}
	if s.Inventory != "" {
		fmt.Fprintf(b, "\ninventory of %s:\n%s", s.Name, indent(s.Inventory))
	}
	return nil
}

func indent(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString("  " + l)
	}
	return b.String()
}
