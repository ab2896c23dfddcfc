# Everything goes through these; `make run` and `make test` install what they need.
.PHONY: run test demo bench bench-long setup

TENANTRY := target/debug/tenantry

run: setup
	cargo build --package tenantry
	$(TENANTRY) serve

test:
	scripts/setup.sh test
	scripts/test.sh

# An hour of a language model's real traffic: imported, counted, priced, proven.
demo: setup
	cargo build --quiet --package tenantry
	scripts/demo.sh $(TENANTRY)

bench: setup
	cargo build --release --package tenantry
	scripts/bench.sh target/release/tenantry

# An hour, and 35 GB of disk.
bench-long: setup
	cargo build --release --package tenantry
	scripts/bench-long.sh target/release/tenantry

setup:
	@scripts/setup.sh
