# Everything here needs only Go, git, make and a C compiler (for the race detector). Paths are relative and quoted, so the
# checkout may stand in a directory with a space in its name; binaries are replaced in one step, so two makes may run at once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: build demo demo-check demo-azure test mutants check bench generate clean help

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BENCH ?= .

# Without these the API server calls itself v0.0.0 and refuses most of its own feature gates.
KUBERNETES_VERSION = -X k8s.io/component-base/version.gitVersion=v1.37.2 \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37

# The packages of test/localfleet that have tests are those without Kubernetes in them; go test would build the others too,
# for minutes, to say that there is nothing to run.
HAS_TESTS = {{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}

# $(call build,NAME,MODULE DIRECTORY,PACKAGE,LDFLAGS) builds bin/NAME. Go works on a copy of the binary there, so that it
# can see that nothing changed and not link again; a running program, or a second make, never meets a half-written file.
define build
@mkdir -p bin && new="$$(mktemp bin/.$(1).XXXXXX)" && trap 'rm -f "$$new"' EXIT && trap 'exit 130' INT TERM && \
if [ -f "bin/$(1)" ]; then cp -p "bin/$(1)" "$$new"; else rm -f "$$new"; fi && \
root="$$PWD" && ( cd "$(2)" && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "$(strip $(4))" -o "$$root/$$new" $(3) ) && \
chmod 755 "$$new" && mv -f "$$new" "bin/$(1)"
endef

## build: bin/gitfleet and bin/localfleet
build: bin-gitfleet bin-localfleet

.PHONY: bin-gitfleet bin-localfleet bin-demo
bin-gitfleet:
	$(call build,gitfleet,.,./cmd/gitfleet,-s -w -X main.version=$(VERSION))

bin-localfleet:
	@[ -f bin/localfleet ] || echo "building bin/localfleet: a whole Kubernetes control plane, about 5 minutes the first time"
	$(call build,localfleet,test/localfleet,.,-s -w $(KUBERNETES_VERSION))

bin-demo:
	$(call build,demo,.,./test/demo,-s -w)

## demo: the tutorial on four local control planes; stays up until Ctrl-C
demo: build bin-demo
	@exec bin/demo

## demo-check: the same with every step asserted, then a second repository; exits 0 or 1
demo-check: build bin-demo
	@exec bin/demo -check

## demo-azure: the tutorial with load balancers of a simulated Azure; stays up until Ctrl-C [CHECK=-check exits 0 or 1]
demo-azure: build bin-demo
	@exec bin/demo -azure $(CHECK)

## test: every test with the race detector, on real API servers
test: build
	go test -race -timeout 40m ./...
	cd test/localfleet && go test -race -timeout 20m $$(go list -f '$(HAS_TESTS)' ./...)

## mutants: break the program in every listed way and want the tests to notice
mutants:
	go run ./test/mutants

## check: vet, staticcheck, gofmt, tidy modules, generated files current
check:
	go vet ./...
	go tool staticcheck ./...
	cd test/localfleet && CGO_ENABLED=0 go vet -trimpath ./... # the flags of its build, whose packages are then in the cache
	@unformatted="$$(gofmt -l .)"; [ -z "$$unformatted" ] || { echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	cd test/localfleet && go mod tidy -diff
	@copy="$$(mktemp -d)" && trap 'rm -rf "$$copy"' EXIT && trap 'exit 130' INT TERM && \
	git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C "$$copy" && \
	( cd "$$copy" && go generate ./... ) && \
	diff -r api "$$copy/api" || { echo "generated files are out of date: run make generate"; exit 1; }

## bench: one tab-separated line a figure: name value unit against ratio [BENCH=regexp]
bench: build
	@go run ./test/bench -run '$(BENCH)'

## generate: write the generated code and CRDs again
generate:
	go generate ./...

## clean: remove what build made
clean:
	rm -rf bin

## help: this list
help:
	@sed -n 's/^## //p' Makefile
