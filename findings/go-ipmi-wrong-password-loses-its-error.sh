#!/usr/bin/env bash
# go-ipmi v0.9.1 against pyghmi 1.6.19's BMC (the one that virtualbmc is made of): with a wrong password Client.Connect's error
# prints "RAKP authentication failed" but errors.Is(err, client.ErrRAKPAuthentication), which is exported for it, is false: the
# errors of the cipher suites are joined and then formatted with %v. Made step by step (OpenSession, RAKPMessage1) it is true.
# Why it matters: a caller of Connect cannot tell a refused password from a lost packet, but by reading the text; one who
# retries "other" errors locks the account.
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server"; } 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check pyghmi==1.6.19
port=$(python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$dir/bmc.py" <<PY
from pyghmi.ipmi import bmc
class B(bmc.Bmc):
    def get_power_state(self):
        return 'on'
B(authdata={'admin': 'letmein-7'}, port=$port, address='127.0.0.1').listen()
PY
"$dir/venv/bin/python" "$dir/bmc.py" >"$dir/log" 2>&1 &
server=$!
sleep 3
mkdir "$dir/ask" && cd "$dir/ask"
export GOMODCACHE=${GOMODCACHE:-$(go env GOMODCACHE)} GOFLAGS=-mod=mod
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/types"
)

func open(password string) *client.Client {
	port, _ := strconv.Atoi(os.Args[1])
	c, err := client.NewClient("127.0.0.1", port, "admin", password)
	if err != nil {
		panic(err)
	}
	return c.WithTimeout(5 * time.Second).WithMaxPrivilegeLevel(types.PrivilegeLevelAdministrator).WithCipherSuiteID(types.CipherSuiteID3)
}

func main() {
	ctx := context.Background()
	fmt.Println("right password:", open("letmein-7").Connect(ctx))
	err := open("wrong").Connect(ctx)
	fmt.Println("Connect says so:", strings.Contains(err.Error(), client.ErrRAKPAuthentication.Error()))
	fmt.Println("Connect, errors.Is:", errors.Is(err, client.ErrRAKPAuthentication))
	c := open("wrong")
	if _, err = c.OpenSession(ctx); err != nil {
		panic(err)
	}
	_, err = c.RAKPMessage1(ctx)
	fmt.Println("step by step, errors.Is:", errors.Is(err, client.ErrRAKPAuthentication))
}
GO
go mod init ask >/dev/null 2>&1
go get github.com/bougou/go-ipmi/pkg/client@v0.9.1 >/dev/null 2>&1
go run . "$port" | tee "$dir/seen"
cat >"$dir/want" <<'WANT'
right password: <nil>
Connect says so: true
Connect, errors.Is: false
step by step, errors.Is: true
WANT
diff "$dir/want" "$dir/seen" || { echo "the behaviour is another now" >&2; exit 1; }
