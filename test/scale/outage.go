package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Outage is what follows when the API server cannot be reached in the middle of bringing a set up.
type Outage struct {
	// Seconds it lasted.
	Seconds float64 `json:"seconds"`
	// FirstWrite is seconds from its end to the first write but an Event that the API server took.
	FirstWrite float64 `json:"firstWrite"`
	// Ready is seconds from its end until all nodes are ready.
	Ready float64 `json:"ready"`
	// Retries are calls that were tried in vain.
	Retries int64 `json:"retries"`
}

// cable carries the engine's connections to the API server until it is pulled: then those that are there break, and new ones
// are refused.
type cable struct {
	to string

	mu       sync.Mutex
	listener net.Listener
	ends     map[net.Conn]bool
}

// newCable returns a cable, and the settings to reach the API server by it.
func newCable(ctx context.Context, cfg *rest.Config) (*cable, *rest.Config, error) {
	at, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, nil, err
	}
	c := &cable{to: at.Host, ends: map[net.Conn]bool{}}
	if err := c.plug(ctx, "127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.ServerName, at.Host = at.Hostname(), c.address()
	cfg.Host = at.String()
	return c, cfg, nil
}

func (c *cable) address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listener.Addr().String()
}

// plug makes the cable carry at the address.
func (c *cable) plug(ctx context.Context, address string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.listener = listener
	c.mu.Unlock()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // it was pulled
			}
			go c.carry(ctx, near)
		}
	}()
	return nil
}

// pull breaks everything and returns the address to plug it in at again.
func (c *cable) pull() string {
	address := c.address()
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.listener.Close()
	for end := range c.ends {
		_ = end.Close()
	}
	clear(c.ends)
	return address
}

func (c *cable) carry(ctx context.Context, near net.Conn) {
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.to)
	if err != nil {
		_ = near.Close()
		return
	}
	c.mu.Lock()
	c.ends[near], c.ends[far] = true, true
	c.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, near)
	delete(c.ends, far)
}

// suffer takes the API server away for a while once the first nodes have hosts, and waits for all to be ready.
func (m *measurement) suffer(ctx context.Context) error {
	if err := m.user.Create(ctx, nodeSet(m.nodes)); err != nil {
		return err
	}
	if err := m.await(ctx, "nodes made", func() (bool, error) {
		var nodes v1alpha1.DataPlaneNodeList
		err := m.user.List(ctx, &nodes)
		return len(nodes.Items) == int(m.nodes), err
	}); err != nil {
		return err
	}
	address, began := m.cable.pull(), time.Now()
	vain := m.meter.failed.Load()
	select {
	case <-ctx.Done():
		return errors.Join(ctx.Err(), m.cable.plug(context.WithoutCancel(ctx), address))
	case <-time.After(m.outage):
	}
	m.meter.wrote.Store(0)
	vain = m.meter.failed.Load() - vain
	ended := time.Now()
	if err := m.cable.plug(ctx, address); err != nil {
		return err
	}
	if err := m.ready(ctx, m.nodes); err != nil {
		return err
	}
	first := m.meter.wrote.Load()
	if first == 0 {
		return fmt.Errorf("all is ready, and nothing was written after %s", m.outage)
	}
	m.result.Outage = &Outage{
		Seconds: ended.Sub(began).Seconds(), FirstWrite: time.Unix(0, first).Sub(ended).Seconds(), Ready: time.Since(ended).Seconds(), Retries: vain,
	}
	return nil
}
