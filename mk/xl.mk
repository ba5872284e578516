# SPDX-License-Identifier: BSD-2-Clause
# Random blocks by the processor, the emulator and the translator.

BLOCKS := $(patsubst %.c,%.o,$(wildcard tests/xl/blocks*.c) tests/insn/diff_gen.c tests/processor.c)
$(B)/xl/blocks: $(addprefix $(B)/obj/,$(BLOCKS)) $(B)/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@
$(B)/xl/blocks-asan: $(addprefix $(B)/asan/,$(BLOCKS)) $(B)/asan/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@
# In the window, where there is no sanitizer.
$(B)/xl/blocks-wild: $(addprefix $(B)/wild/,$(BLOCKS)) $(B)/wild/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@

XL_SEED ?= 1
.PHONY: xl-test xl-fuzz
xl-test: $(B)/xl/blocks
	$(B)/xl/blocks --count 100000 --seed $(XL_SEED)
	$(B)/xl/blocks --count 100000 --seed $(XL_SEED) --window
# As many more as time allows: XL_SEED=… goes elsewhere.
xl-fuzz: $(B)/xl/blocks
	for s in 1 2 3 4 5 6 7 8; do for w in "" --window; do \
		$(B)/xl/blocks --count 500000 --seed $$(($(XL_SEED) * 100 + s)) $$w || exit 1; done; done

# DMA into what a guest is using. Not under a sanitizer, which fills the low addresses the window needs.
$(B)/xl/dma: $(B)/obj/tests/xl/dma.o $(B)/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
