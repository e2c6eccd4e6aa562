package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// pure lists the packages that decide: a function of their arguments, the same at every call.
var pure = []string{"render", "placement", "placement/rollout", "placement/override", "placement/offline", "apply", "mcs", "report"}

// impureImports are packages whose use would make a pure package depend on more than its arguments.
var impureImports = map[string]string{
	"net":            "clients live at the edge; addresses are net/netip values",
	"net/http":       "clients live at the edge",
	"os":             "files and the environment are read at the edge",
	"os/exec":        "processes are started at the edge",
	"os/signal":      "signals are handled in cmd",
	"syscall":        "the machine is touched at the edge",
	"math/rand":      "a decision is the same at every call",
	"math/rand/v2":   "a decision is the same at every call",
	"crypto/rand":    "a decision is the same at every call",
	"sync":           "values are immutable, so the core needs no locks",
	"sync/atomic":    "values are immutable, so the core needs no locks",
	"runtime/debug":  "the process is managed in cmd",
	"k8s.io/klog/v2": "the core never logs",
	"log":            "the core never logs",
	"log/slog":       "the core never logs",
}

// clock are the functions of package time that read the clock or wait.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// checkPure wants the pure packages to import nothing that reads the world, start nothing, read no clock, and take a
// context only in the methods of an interface, which is a contract for the edge.
func checkPure(tr tree) []violation {
	var found []violation
	for _, f := range tr.product() {
		if !slices.Contains(pure, f.dir) {
			continue
		}
		for _, imp := range f.imports {
			if why, ok := impureImports[imp.path]; ok {
				found = append(found, violation{"pure", f.path, imp.line, fmt.Sprintf("imports %s: %s", imp.path, why)})
			}
		}
		report := func(n ast.Node, message string) {
			found = append(found, violation{"pure", f.path, tr.line(n), message})
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && takesContext(fn.Type) {
				report(fn, fn.Name.Name+" takes a context: what can block belongs to the edge")
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				report(n, "starts a goroutine: workers belong to reconcile and the leaves")
			case *ast.SelectorExpr:
				if isIdent(n.X, "time") && slices.Contains(clock, n.Sel.Name) {
					report(n, "calls time."+n.Sel.Name+": time is an argument")
				}
			}
			return true
		})
	}
	return found
}

// checkState wants no init functions and no package-level variable that is assigned to after its declaration.
func checkState(tr tree) []violation {
	var found []violation
	globals := map[string]map[string]bool{} // by folder: names of package-level variables
	for _, f := range tr.product() {
		if globals[f.dir] == nil {
			globals[f.dir] = map[string]bool{}
		}
		for _, name := range packageVars(f.ast) {
			globals[f.dir][name] = true
		}
	}
	for _, f := range tr.product() {
		if ast.IsGenerated(f.ast) {
			continue // generated code registers itself with a scheme in init
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, violation{"state", f.path, tr.line(fn), "has an init function: wiring is explicit and lives in cmd"})
			}
			for _, id := range assigned(fn.Body) {
				if globals[f.dir][id.Name] && !isLocal(fn, id) {
					found = append(found, violation{"state", f.path, tr.line(id),
						"assigns to the package variable " + id.Name + ": state belongs to a value that somebody owns"})
				}
			}
		}
	}
	return found
}

// checkLogging wants an error to be logged or returned, never both.
func checkLogging(tr tree) []violation {
	var found []violation
	for _, f := range tr.product() {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			var list []ast.Stmt
			switch n := n.(type) {
			case *ast.BlockStmt:
				list = n.List
			case *ast.CaseClause:
				list = n.Body
			case *ast.CommClause:
				list = n.Body
			}
			for i := 1; i < len(list); i++ {
				ret, ok := list[i].(*ast.ReturnStmt)
				if ok && isLogCall(list[i-1]) && mentionsError(ret) {
					found = append(found, violation{"logging", f.path, tr.line(ret), "logs an error and returns it: the caller would log it again"})
				}
			}
			return true
		})
	}
	return found
}

func takesContext(fn *ast.FuncType) bool {
	return slices.ContainsFunc(fn.Params.List, func(p *ast.Field) bool {
		sel, ok := p.Type.(*ast.SelectorExpr)
		return ok && isIdent(sel.X, "context") && sel.Sel.Name == "Context"
	})
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func packageVars(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, id := range spec.(*ast.ValueSpec).Names {
				if id.Name != "_" {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

// assigned returns the variables that body assigns to, also through an index, a field or a pointer.
func assigned(body *ast.BlockStmt) []*ast.Ident {
	var ids []*ast.Ident
	add := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			case *ast.Ident:
				ids = append(ids, x)
				return
			default:
				return
			}
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.CallExpr:
			if (isIdent(n.Fun, "delete") || isIdent(n.Fun, "clear")) && len(n.Args) > 0 {
				add(n.Args[0])
			}
		}
		return true
	})
	return ids
}

// isLocal tells whether id was declared inside fn. The parser resolves names within one file, which is enough: what it
// leaves open is declared at the top of another file.
func isLocal(fn *ast.FuncDecl, id *ast.Ident) bool {
	obj := id.Obj
	return obj != nil && fn.Pos() <= obj.Pos() && obj.Pos() < fn.End()
}

func isLogCall(s ast.Stmt) bool {
	expr, ok := s.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := expr.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	name := ""
	switch x := sel.X.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	return slices.Contains([]string{"log", "logger", "slog", "klog"}, strings.ToLower(name))
}

// mentionsError tells whether a value named err, or ending in Err, is returned.
func mentionsError(ret *ast.ReturnStmt) bool {
	mentions := false
	for _, r := range ret.Results {
		ast.Inspect(r, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && (id.Name == "err" || strings.HasSuffix(id.Name, "Err")) {
				mentions = true
			}
			return true
		})
	}
	return mentions
}
