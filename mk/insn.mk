# SPDX-License-Identifier: BSD-2-Clause
# Instruction tests: the decoder against Zydis, the emulator against the processor.

INSN_FILES ?= /bin/busybox $(firstword $(wildcard /lib/x86_64-linux-gnu/libc.so.6))
INSN_DIFF  := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/insn/diff*.c) tests/processor.c)

$(B)/insn/diff: $(INSN_DIFF) $(B)/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@
$(B)/insn/%: $(B)/obj/tests/insn/%.o $(B)/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@

.PHONY: insn-tools decode-test insn-test insn-test-long
insn-tools: $(B)/insn/decode_oracle $(B)/insn/diff
# Every instruction of some files, and random bytes in every mode: 0 differences.
decode-test: $(B)/insn/decode_oracle
	$(B)/insn/decode_oracle $(INSN_FILES)
	for m in 64 32 16; do $(B)/insn/decode_oracle -m $$m -r 2000000 || exit 1; done
# Random instructions, emulated and on the processor.
insn-test: $(B)/insn/diff
	$(B)/insn/diff --count 200000
insn-test-long: $(B)/insn/diff $(B)/insn/decode_oracle
	for s in 1 2 3 4 5 6 7 8 9 10 11 12; do $(B)/insn/diff --count 1000000 --seed $$s || exit 1; done
	for m in 64 32 16; do $(B)/insn/decode_oracle -m $$m -e || exit 1; done
