# SPDX-License-Identifier: BSD-2-Clause
# What a user types: run, check, lint, bench, install. Packages by name, with their reasons in docs/dependencies.md.

DEPS_BUILD := gcc make libc6-dev pkg-config libslirp-dev libzydis-dev
DEPS_RUN   := $(DEPS_BUILD) busybox-static cpio kmod
DEPS_CHECK := $(DEPS_RUN) clang libclang-rt-14-dev clang-format lz4 xz-utils zstd socat iproute2 gdb acpica-tools e2fsprogs mmdebstrap luajit qemu-system-x86 python3
DEPS_BENCH := $(DEPS_RUN) qemu-system-x86 python3 luajit zlib1g-dev libbz2-dev e2fsprogs mmdebstrap

# Each entry point installs first and starts make anew, so that pkg-config sees what was installed.
.PHONY: help run check lint bench install deps-run deps-check
help:
	@echo "make run      boot a Debian kernel to a shell (installs packages and fetches the kernel as needed)"
	@echo "make check    all quick tests;  make check-slow: those of minutes"
	@echo "make          only build;  make lint, make bench, make install [DESTDIR= PREFIX=]"

run:
	$(Q)tools/install-deps $(DEPS_RUN)
	$(Q)$(MAKE) --no-print-directory run-vm
.PHONY: run-vm
run-vm: $(B)/trapeze $(A)/cloud-amd64/package $(A)/shell.img
	$(Q)$(B)/trapeze run --net user --initrd $(A)/shell.img --append "console=ttyS0 quiet" $(ARGS) $(A)/cloud-amd64/boot/vmlinuz-*

install: $(B)/trapeze
	install -D -m 755 $(B)/trapeze $(DESTDIR)$(PREFIX)/bin/trapeze
	install -D -m 644 docs/trapeze.1 $(DESTDIR)$(PREFIX)/share/man/man1/trapeze.1
	install -D -m 644 tools/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/trapeze

# ---- checks ----
check:
	$(Q)tools/install-deps $(DEPS_CHECK)
	$(Q)$(MAKE) --no-print-directory check-run
check-slow:
	$(Q)tools/install-deps $(DEPS_CHECK)
	$(Q)$(MAKE) --no-print-directory check-slow-run
check-deps:
	$(Q)tools/install-deps $(DEPS_CHECK)
.PHONY: check-deps check-slow check-run check-slow-run tests
tests: all unit fuzz guests assets insn-tools $(B)/xl/blocks $(B)/xl/blocks-asan $(B)/xl/blocks-wild $(B)/xl/dma
check-run: tests $(A)/debian.img
	$(Q)tests/run $(B) unit insn guest system fuzz
check-slow-run: tests $(A)/debian.img
	$(Q)tests/run $(B) slow
# Both in one count, for CI.
check-all: tests $(A)/debian.img
	$(Q)tests/run $(B) unit insn guest system fuzz slow
.PHONY: check-all

lint: check-plain
	$(Q)tools/check-layers
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	$(Q)for f in $$(git ls-files '*.[chS]' 'tests/*.sh' 'tools/*'); do head -n 3 $$f | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || { echo "$$f: no SPDX line"; exit 1; }; done
