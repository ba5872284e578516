# SPDX-License-Identifier: BSD-2-Clause
# Code the translator's generated code calls while the guest's vector and x87 registers are in the processor's own
# (docs/translator.md): compiled without vector registers, and without libc's mem* functions, which use them. With a
# sanitizer, whose run-time library uses them anyway, the engine saves the guest's registers first (XL_FPU_EAGER).

PLAIN_OBJ  := $(call obj,obj,$(wildcard isa/x86/*.c engine/soft/*.c) lib/plain.c)
PLAIN_SYMS := $(foreach s,memcpy memmove memset memcmp bcmp,--redefine-sym $(s)=plain_$(s))

$(foreach k,obj asan wild fuzz,$(foreach d,isa/x86 engine/soft,$(B)/$(k)/$(d)/%.o) $(B)/$(k)/lib/plain.o): ALL_CFLAGS += -mgeneral-regs-only
$(foreach k,obj wild,$(foreach d,isa/x86 engine/soft,$(B)/$(k)/$(d)/%.o)): POST = $(Q)objcopy $(PLAIN_SYMS) $@
$(PLAIN_OBJ) $(foreach k,asan wild fuzz,$(PLAIN_OBJ:$(B)/obj/%=$(B)/$(k)/%)): mk/plain.mk

.DELETE_ON_ERROR:
.PHONY: check-plain
check-plain: $(PLAIN_OBJ)
	$(Q)tools/check-plain $^
