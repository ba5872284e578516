# Instruction tests: the decoder against Zydis, the emulator against the processor.

INSN_FILES ?= /bin/busybox $(firstword $(wildcard /lib/x86_64-linux-gnu/libc.so.6))

$(B)/insn/%: $(B)/obj/tests/insn/%.o $(B)/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lZydis -o $@

.PHONY: decode-test
# Every instruction of some files, every opcode, and random bytes: 0 differences.
decode-test: $(B)/insn/decode_oracle
	$(B)/insn/decode_oracle $(INSN_FILES)
	for m in 64 32 16; do $(B)/insn/decode_oracle -m $$m -r 2000000 || exit 1; done
