#!/usr/bin/env bash
# gofish v0.26.0, VirtualMedia.EjectMedia on a drive without an EjectMedia action (Redfish has both ways; some BMCs have only
# PATCH): it sends {"Inserted":false,"WriteProtected":false}. The Image is not taken out, and the write protection goes with it.
# Why it matters: afterwards the drive reads Inserted=false with the old Image, so "empty" cannot be told by Image, a BMC that
# refuses WriteProtected refuses the eject, and the next image is inserted writable. DMTF's way is {"Image":null}.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export GOMODCACHE=${GOMODCACHE:-$(go env GOMODCACHE)} GOFLAGS=-mod=mod
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/schemas"
)

const drive = `{"@odata.id":"/redfish/v1/Managers/1/VirtualMedia/EXT1","Id":"EXT1","Image":"http://images.example.com/a.iso",
"Inserted":true,"WriteProtected":true,"MediaTypes":["CD"]}`

func main() {
	bmc := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPatch:
			body, _ := io.ReadAll(r.Body)
			fmt.Printf("%s %s %s\n", r.Method, r.URL.Path, body)
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == "/redfish/v1/":
			fmt.Fprint(w, `{"@odata.id":"/redfish/v1/","Id":"RootService"}`)
		default:
			fmt.Fprint(w, drive)
		}
	}))
	defer bmc.Close()
	c, err := gofish.ConnectDefault(bmc.URL)
	if err != nil {
		panic(err)
	}
	v, err := schemas.GetVirtualMedia(c, "/redfish/v1/Managers/1/VirtualMedia/EXT1")
	if err != nil {
		panic(err)
	}
	_, err = v.EjectMedia()
	fmt.Println("error:", err)
}
GO
go mod init ask >/dev/null 2>&1
go get github.com/stmcginnis/gofish@v0.26.0 >/dev/null 2>&1
go run . | tee seen
cat >want <<'WANT'
PATCH /redfish/v1/Managers/1/VirtualMedia/EXT1 {"Inserted":false,"WriteProtected":false}
error: <nil>
WANT
diff want seen || { echo "the behaviour is another now" >&2; exit 1; }
