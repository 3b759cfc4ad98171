package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rackplane/rackplane/report"
)

// stopwatch keeps the wall time of each step of the demo.
type stopwatch struct {
	start, last time.Time
	rows        []string
}

func newStopwatch() *stopwatch {
	now := time.Now()
	return &stopwatch{start: now, last: now}
}

// lap ends a step now.
func (s *stopwatch) lap(step string) {
	now := time.Now()
	s.rows = append(s.rows, fmt.Sprintf("  %6.1fs  %s", now.Sub(s.last).Seconds(), step))
	s.last = now
}

// seconds since the start.
func (s *stopwatch) seconds() float64 { return s.last.Sub(s.start).Seconds() }

func (s *stopwatch) print(w io.Writer) {
	fmt.Fprintln(w, "wall time by step:")
	for _, r := range s.rows {
		fmt.Fprintln(w, r)
	}
}

// services prints how long each run took and on how many nodes, of deployments whose names begin so.
func services(w io.Writer, v report.View, prefix string) {
	for i := range v.Deployments {
		if !strings.HasPrefix(v.Deployments[i].Name, prefix) {
			continue
		}
		for _, r := range v.Deployments[i].Status.Runs {
			if r.FinishedAt != nil {
				fmt.Fprintf(w, "  %6.1fs  service %s on %d node(s)\n", r.FinishedAt.Sub(r.StartedAt.Time).Seconds(), r.Service, r.NodeCount)
			}
		}
	}
}
