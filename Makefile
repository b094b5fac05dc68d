# make demo   watch it work                        (needs Go alone)
# make test   prove it on real servers             (see internal/testservers for where they come from)
# make bench  measure it
# make stories  kill consumers at every step of their work, and check the books (SEEDS=200 FIRST=1)
# make mutants  see that the oracle of integration/faults finds out systems that are wrong on purpose (ONLY='a held key')
# make lint   what .ci/run does before the tests

SHELL   := /bin/bash
GO      ?= go
# One test package at a time would leave cores idle; more than two would have
# the packages' benchmarks and time limits fight for the same two servers.
JOBS    ?= 2
TIMEOUT ?= 20m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SEEDS   ?= 200
FIRST   ?= 1
ONLY    ?=
TESTS   := $(GO) test -race -count=1 -p $(JOBS) -timeout $(TIMEOUT)
LDFLAGS := -X main.version=$(VERSION)

.PHONY: help build demo test bench stories mutants lint fmt tidy clean bin/with-servers

help:
	@sed -n '/^# make/s/^# //p' Makefile

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tandem ./cmd/tandem-demo

demo: build
	bin/tandem-demo

# A binary, not "go run": signals reach it directly, and its exit code ours.
bin/with-servers:
	$(GO) build -o $@ ./internal/testservers/with-servers

test: bin/with-servers
	bin/with-servers -- sh -c '$(TESTS) ./... && cd integration/orm && $(TESTS) ./...'

bench: bin/with-servers
	bin/with-servers -- $(GO) test -run '^$$' -bench . -benchtime 1x -p 1 -timeout 60m ./integration/...

# In the package's directory and without its name: so go test shows what it says
# while it runs.
stories: bin/with-servers
	cd integration/stories && ../../bin/with-servers -- $(GO) test -count=1 -parallel 4 -timeout 60m -args -seeds $(SEEDS) -first $(FIRST)

# They are built as the test goes on, each into programs of its own.
mutants:
	cd integration/faults && $(GO) test -count=1 -tags mutants -run '^TestMutantsAreCaught$$' -v -parallel 2 -timeout 90m -args -first $(FIRST) -only '$(ONLY)'

lint:
	$(GO) tool -modfile=.ci/tools.mod golangci-lint run ./...
	cd integration/orm && $(GO) tool -modfile=../../.ci/tools.mod golangci-lint run ./...

fmt:
	$(GO) tool -modfile=.ci/tools.mod golangci-lint fmt ./...
	cd integration/orm && $(GO) tool -modfile=../../.ci/tools.mod golangci-lint fmt ./...

# After a change of go.mod: the second module has the first one's requirements too.
tidy:
	$(GO) mod tidy
	cd integration/orm && $(GO) mod tidy

clean:
	rm -rf bin
