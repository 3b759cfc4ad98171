package rack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Gateway is the rack's own address on the ctlplane network, a /24. The base profile's apt sources name it.
const Gateway = "192.168.122.1"

// serveContent serves the image and the apt repository to the hosts, on the rack's address and the standard port.
func serveContent(ctx context.Context, image string) (*http.Server, error) {
	checksum, err := os.ReadFile(filepath.Join(image, imageName+".sha256"))
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	digest, _, _ := strings.Cut(string(checksum), " ")
	mux := http.NewServeMux()
	mux.Handle("GET /repo/", http.FileServer(http.Dir(image)))
	mux.Handle("GET /images/", http.StripPrefix("/images/", http.FileServer(http.Dir(image))))
	mux.HandleFunc("GET /images/"+wrongChecksumName, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "%s  %s\n", strings.Repeat("0", len(digest)), imageName)
	})
	return listenAndServe(ctx, net.JoinHostPort(Gateway, "80"), cleanPath(mux))
}

// cleanPath removes "./" from paths, which a flat apt repository's clients send. Left to itself, the mux answers with
// a redirect, whose escapes apt escapes once more.
func cleanPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = path.Clean(r.URL.Path), ""
		next.ServeHTTP(w, r)
	})
}

// serveMedia serves the boot media that Ironic makes, and takes the BMCs' notifications.
func serveMedia(ctx context.Context, media string, notify func(change)) (*http.Server, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /media/", http.StripPrefix("/media/", http.FileServer(http.Dir(media))))
	mux.HandleFunc("PUT /changes", func(w http.ResponseWriter, r *http.Request) {
		var c change
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		notify(c)
		w.WriteHeader(http.StatusNoContent)
	})
	return listenAndServe(ctx, "127.0.0.1:0", mux)
}

// listenAndServe serves at an address until the server is closed; Addr of the result is where it listens.
func listenAndServe(ctx context.Context, address string, handler http.Handler) (*http.Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("web server: %w", err)
	}
	server := &http.Server{Addr: listener.Addr().String(), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "rack: web server:", err)
		}
	}()
	return server, nil
}

// freePort finds a loopback port that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return int(address.Port()), nil
}
