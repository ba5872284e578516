# SPDX-License-Identifier: BSD-2-Clause
# The benchmark: native, Trapeze and QEMU TCG side by side. BENCH_ARGS go to bench/run (see bench/run --help).

BENCH_CFLAGS  = -std=gnu17 $(WARN) -O2 -static -I. -D_GNU_SOURCE
BENCH_KERNELS := bench/kernels.c bench/digest.c bench/compress.c bench/bench.c
BENCH_SYSTEM  := bench/system.c bench/bench.c

$(B)/bench/kernels: $(BENCH_KERNELS) bench/bench.h
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) $(BENCH_KERNELS) -lz -lbz2 -o $@
$(B)/bench/system: $(BENCH_SYSTEM) bench/bench.h
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) $(BENCH_SYSTEM) -o $@

.PHONY: bench bench-run
bench:
	$(Q)tools/install-deps $(DEPS_BENCH)
	$(Q)$(MAKE) --no-print-directory bench-run
bench-run: $(B)/trapeze $(B)/bench/kernels $(B)/bench/system $(A)/cloud-amd64/package $(A)/root.img $(A)/debian.img
	$(Q)bench/run --build $(B) $(BENCH_ARGS)
