// Package clocks holds docs/clocks.md to what the product waits for.
package clocks

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// TestEveryClockIsOnThePage: each duration that the product fixes stands in docs/clocks.md under its name with its value, and
// nothing stands there that is no more.
func TestEveryClockIsOnThePage(t *testing.T) {
	fixed, told := inSource(t), onPage(t)
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		switch value, ok := told[name]; {
		case !ok:
			t.Errorf("docs/clocks.md: no row for `%s`, which is %s", name, fixed[name])
		case value != fixed[name]:
			t.Errorf("docs/clocks.md: `%s` is %s there and %s in the code", name, value, fixed[name])
		}
	}
	for name := range told {
		if _, ok := fixed[name]; !ok {
			t.Errorf("docs/clocks.md: `%s` is not in the code", name)
		}
	}
}

// onPage reads the rows of the page's tables: `| `name` | value | ...`.
func onPage(t *testing.T) map[string]time.Duration {
	t.Helper()
	page, err := os.ReadFile(path.Join(root, "docs/clocks.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]time.Duration{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|").FindAllStringSubmatch(string(page), -1) {
		value, err := time.ParseDuration(strings.ReplaceAll(strings.TrimSpace(row[2]), " ", ""))
		if err != nil {
			t.Fatalf("docs/clocks.md: `%s`: %v", row[1], err)
		}
		rows[row[1]] = value
	}
	return rows
}

// inSource finds the constants of the product whose value is a number of units of time, as folder.name.
func inSource(t *testing.T) map[string]time.Duration {
	t.Helper()
	found := map[string]time.Duration{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "test" || strings.HasPrefix(entry.Name(), ".") && name != "." || strings.HasSuffix(name, "test")):
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if group, ok := decl.(*ast.GenDecl); ok && group.Tok == token.CONST {
				constants(group, func(constant string, value time.Duration) { found[path.Dir(name)+"."+constant] = value })
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no constant is a duration")
	}
	return found
}

func constants(group *ast.GenDecl, yield func(string, time.Duration)) {
	for _, spec := range group.Specs {
		values, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, value := range values.Values {
			if d, err := duration(value); err == nil && d > 0 {
				yield(values.Names[i].Name, d)
			}
		}
	}
}

// duration is the value of time.Unit, or of a number times that.
func duration(e ast.Expr) (time.Duration, error) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		number, isNumber := e.X.(*ast.BasicLit)
		if e.Op != token.MUL || !isNumber {
			return 0, fmt.Errorf("%T", e.X)
		}
		n, err := strconv.Atoi(number.Value)
		unit, unitErr := duration(e.Y)
		return time.Duration(n) * unit, cmp.Or(err, unitErr)
	case *ast.SelectorExpr:
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
		if of, ok := e.X.(*ast.Ident); ok && of.Name == "time" {
			return units[e.Sel.Name], nil
		}
	}
	return 0, fmt.Errorf("%T", e)
}
