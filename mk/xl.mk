# SPDX-License-Identifier: BSD-2-Clause
# Random blocks by the processor, the emulator and the translator.

$(B)/xl/blocks: $(B)/obj/tests/xl/blocks.o $(B)/obj/tests/insn/diff_gen.o $(B)/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@

XL_SEED ?= 1
.PHONY: xl-test xl-fuzz
xl-test: $(B)/xl/blocks
	$(B)/xl/blocks --count 20000 --seed $(XL_SEED)
	$(B)/xl/blocks --count 10000 --seed $(XL_SEED) --exact
# As many more as time allows: XL_SEED=… goes elsewhere.
xl-fuzz: $(B)/xl/blocks
	for s in 1 2 3 4 5 6 7 8; do $(B)/xl/blocks --count 250000 --seed $$(($(XL_SEED) * 100 + s)) || exit 1; done
