// Command rack starts a simulated rack in namespaces of its own, prints its addresses, and runs until interrupted.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/rackplane/rackplane/test/rack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rack:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context) error {
	hosts := flag.Int("hosts", 4, "number of servers")
	dir := flag.String("dir", "", "state directory; a temporary one, removed at the end, when empty")
	key := flag.String("authorized-key", "", "file with a public SSH key: start pre-provisioned hosts that accept it")
	verbose := flag.Bool("v", false, "log what agents do, too")
	flag.Parse()

	rack.Isolate(ctx, func(ctx context.Context) error { return rack.Prepare(ctx, rack.Config{}) })

	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	cfg := rack.Config{
		Dir:   *dir,
		Hosts: rack.DefaultHosts(*hosts),
		Log:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	if *key != "" {
		text, err := os.ReadFile(*key)
		if err != nil {
			return fmt.Errorf("authorized key: %w", err)
		}
		cfg.PreProvisioned = &rack.PreProvisioned{AuthorizedKey: strings.TrimSpace(string(text))}
	}
	if cfg.Dir == "" {
		temporary, err := os.MkdirTemp("", "rack-")
		if err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
		defer func() { _ = os.RemoveAll(temporary) }()
		cfg.Dir = temporary
	}
	r, err := rack.Start(ctx, cfg)
	if err != nil {
		return err
	}
	if err := describe(r); err != nil {
		return err
	}
	<-ctx.Done()
	return r.Stop(ctx)
}

// describe prints the rack as JSON. The BMC passwords in it are of simulated servers that only this rack reaches.
func describe(r *rack.Rack) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{"ironicURL": r.IronicURL, "repoURL": r.RepoURL, "image": r.Image, "hosts": r.Hosts})
}
