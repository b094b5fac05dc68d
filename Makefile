# make demo   watch it work                        (needs Go alone)
# make example ONE=payments  run an example on servers of its own (examples/README.md)
# make servers  a PostgreSQL and a Kafka to try things on, until Ctrl-C
# make test   prove it on real servers             (see internal/testservers for where they come from)
# make bench  measure it: tandem bench on local servers (ONE='drain --events 10000000')
# make microbench  the hot paths one by one, for benchstat (PACKAGES=./outbox BENCH=Add COUNT=6)
# make rivals  measure it beside what people use instead, into docs/benchmarks.md (ROUNDS=3 RIVALS='-only tandem')
# make stories  kill consumers at every step of their work, and check the books (SEEDS=200 FIRST=1)
# make faults  break everything at once, and judge what is left (SEEDS=900 KAFKA=100 FIRST=1 MINUTES=0)
# make mutants  let the oracle of make faults judge systems that are wrong on purpose (ONLY='a held key')
# make model  explore the models of relay and inbox, in TLA+, and their mutations
# make fuzz   every fuzz target in turn, for a while (FUZZTIME=20s)
# make vuln   known vulnerabilities in what our programs call, where their list can be reached
# make release-check  the release's description; make release-snapshot builds it (both build goreleaser first: minutes)
# make lint   what .ci/run does before the tests

SHELL   := /bin/bash
GO      ?= go
# One test package at a time would leave cores idle; more than two would have
# the packages' benchmarks and time limits fight for the same two servers.
JOBS    ?= 2
TIMEOUT ?= 20m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FIRST   ?= 1
MINUTES ?= 0
FUZZTIME ?= 20s
ONLY    ?=
ONE     ?=
BENCH   ?= .
COUNT   ?= 6
PACKAGES ?= ./outbox ./inbox/internal/apply ./relay/relaykafka
# Modules of their own, so that nobody who imports Tandem links what they need.
MODULES := examples/orm integration/bench integration/neighbours integration/deploy
TESTS   := $(GO) test -race -count=1 -p $(JOBS) -timeout $(TIMEOUT)
LINTER  := $(GO) tool -modfile=$(CURDIR)/.ci/tools.mod golangci-lint
GORELEASER := $(GO) tool -modfile=$(CURDIR)/.ci/release.mod goreleaser
LDFLAGS := -X main.version=$(VERSION)

.PHONY: help build demo example servers test bench microbench rivals stories faults mutants model fuzz vuln release-check release-snapshot lint fmt tidy clean bin/with-servers

help:
	@sed -n '/^# make/s/^# //p' Makefile

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tandem ./cmd/tandem-demo

demo: build
	bin/tandem-demo

# Against servers of yours: go run ./examples/payments
example: bin/with-servers
	@test -f 'examples/$(ONE)/main.go' || { echo 'which one? make example ONE=payments; examples/README.md lists them'; exit 2; }
	cd examples/$(ONE) && $(GO) build -o $(CURDIR)/bin/example .
	bin/with-servers -- sh -c 'DATABASE_URL=$$TANDEM_TEST_DATABASE_URL KAFKA_BROKERS=$$TANDEM_TEST_KAFKA_BROKERS exec bin/example'

# A binary, not "go run": signals reach it directly, and its exit code ours.
bin/with-servers:
	$(GO) build -o $@ ./internal/testservers/with-servers

# The password that it prints is of servers that end with it.
servers: bin/with-servers
	@bin/with-servers -- sh -c 'echo "export TANDEM_DATABASE_URL=$$TANDEM_TEST_DATABASE_URL"; echo "export TANDEM_KAFKA_BROKERS=$$TANDEM_TEST_KAFKA_BROKERS"; trap "exit 0" INT TERM; tail -f /dev/null & wait'

test: bin/with-servers
	bin/with-servers -- sh -ec 'for m in . $(MODULES); do (cd $$m && $(TESTS) ./...); done'

# ONE is one of its measurements, or settings of all: ONE=--json.
bench: build bin/with-servers
	bin/with-servers -- sh -c 'bin/tandem bench $(ONE) --database-url "$$TANDEM_TEST_DATABASE_URL" --kafka-brokers "$$TANDEM_TEST_KAFKA_BROKERS"'

# What one run says is compared with another's: benchstat before after. Those of
# PACKAGES=./integration are long ones: COUNT=1.
microbench: bin/with-servers
	bin/with-servers -- $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -p 1 -timeout 60m $(PACKAGES)

# It starts servers of its own, because Debezium needs a setting that others do not.
rivals:
	cd integration/bench && $(GO) build -o ../../bin/rivals . && ../../bin/rivals -out ../../docs/benchmarks -page ../../docs/benchmarks.md -rounds $(or $(ROUNDS),3) $(RIVALS)

# In the package's directory and without its name: so go test shows what it says
# while it runs.
stories: bin/with-servers
	cd integration/stories && ../../bin/with-servers -- $(GO) test -count=1 -parallel 4 -timeout 60m -args -seeds $(or $(SEEDS),200) -first $(FIRST)

# Runs wait more than they work, so there are more of them than cores; each has
# servers of its own. SEEDS is of those on fake brokers, KAFKA of those on a real one.
faults:
	cd integration/faults && $(GO) test -count=1 -parallel $(or $(AT_ONCE),6) -timeout 0 -run 'Fake|Kafka' -args \
		-seeds $(or $(SEEDS),900) -kafka $(or $(KAFKA),100) -first $(FIRST) -minutes $(MINUTES) -lease $(or $(LEASE),1s)

# Two mutants at a time, each with programs and servers of its own; seeds one after another.
mutants:
	cd integration/faults && $(GO) test -count=1 -tags mutants -run '^TestMutantsAreCaught$$' -v -parallel 2 -timeout 90m -args -first $(FIRST) -only '$(ONLY)'

# Two at a time: each is a Java of its own.
model:
	cd integration/model && $(GO) test -count=1 -parallel 2 -timeout 30m -v

fuzz: bin/with-servers
	GO=$(GO) FUZZTIME=$(FUZZTIME) bin/with-servers -- .ci/fuzz

vuln:
	.ci/vuln

# Not in .ci/run: goreleaser takes minutes to build.
release-check:
	$(GORELEASER) check

release-snapshot:
	$(GORELEASER) release --snapshot --clean --skip=sbom

lint:
	for m in . $(MODULES); do (cd $$m && $(LINTER) run ./...) || exit; done

fmt:
	for m in . $(MODULES); do (cd $$m && $(LINTER) fmt ./...) || exit; done

# After a change of go.mod: the other modules have the first one's requirements too.
tidy:
	for m in . $(MODULES); do (cd $$m && $(GO) mod tidy) || exit; done

clean:
	rm -rf bin
