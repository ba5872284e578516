# SPDX-License-Identifier: BSD-2-Clause
# Trapeze. Out of tree under build/; `make help` lists the targets.
#   V=1 shows commands; CC=clang builds with clang; B=DIR builds elsewhere.

B          ?= build
CC         := $(if $(filter default,$(origin CC)),gcc,$(CC))
PREFIX     ?= /usr/local
VERSION    := 0.1.0
Q          := $(if $(V),,@)

# Not by pkg-config: Debian's slirp.pc asks for glib's, which its package does not pull in.
PKG_LIBS   := -lslirp -lZydis

WARN       := -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS   += -I. -D_GNU_SOURCE -DTRAPEZE_VERSION='"$(VERSION)"'
CFLAGS     ?= -O2 -g
ALL_CFLAGS  = -std=gnu17 $(WARN) -fno-strict-aliasing -pthread $(CFLAGS)
LDLIBS     += $(PKG_LIBS) -pthread
LDFLAGS    += -Wl,-z,now
SAN        := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# A folder is a layer; every .c in it belongs to it.
DIRS       := lib isa/x86 engine engine/kvm engine/soft engine/irqchip device device/virtio host \
              monitor monitor/machine monitor/loader
LIB_SRC    := $(foreach d,$(DIRS),$(wildcard $(d)/*.c $(d)/*.S))
CLI_SRC    := $(wildcard cli/*.c)
UNIT_SRC   := $(wildcard tests/unit/*.c)
FUZZ_SRC   := $(wildcard tests/fuzz/*.c)

obj         = $(patsubst %,$(B)/$(1)/%.o,$(basename $(2)))

.PHONY: all
all: $(B)/trapeze

-include mk/*.mk

# What is not initialised shows: it is 0xfe…, and indices are checked. Without a library, as the window wants it (mk/xl.mk).
WILD       := -ftrivial-auto-var-init=pattern -fsanitize=bounds -fsanitize-undefined-trap-on-error

# One rule per flavour: obj (the product), asan (unit tests), wild (some tests), fuzz (clang libFuzzer).
$(B)/obj/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
	$(POST)
$(B)/obj/%.o: %.S
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(B)/asan/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  ASAN    $<")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -O1 $(SAN) -MMD -MP -c $< -o $@
$(B)/asan/%.o: %.S
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(B)/wild/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  WILD    $<")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -O1 $(WILD) -MMD -MP -c $< -o $@
	$(POST)
$(B)/wild/%.o: %.S
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(B)/fuzz/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  FUZZ    $<")
	$(Q)clang $(CPPFLAGS) $(ALL_CFLAGS) -O1 $(SAN) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(B)/fuzz/%.o: %.S
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/libtrapeze.a: $(call obj,obj,$(LIB_SRC))
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/asan/libtrapeze.a: $(call obj,asan,$(LIB_SRC))
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/wild/libtrapeze.a: $(call obj,wild,$(LIB_SRC))
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/fuzz/libtrapeze.a: $(call obj,fuzz,$(LIB_SRC))
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/trapeze: $(call obj,obj,$(CLI_SRC)) $(B)/libtrapeze.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# A unit test is one file with a main(); it sees everything in libtrapeze.a, under ASan and UBSan.
$(B)/unit/%: $(B)/asan/tests/unit/%.o $(B)/asan/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SAN) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/fuzz/bin/%: $(B)/fuzz/tests/fuzz/%.o $(B)/fuzz/libtrapeze.a
	$(Q)mkdir -p $(@D)
	$(Q)clang $(ALL_CFLAGS) $(SAN) -fsanitize=fuzzer $(LDFLAGS) $^ $(LDLIBS) -o $@

UNIT_BIN   := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
FUZZ_BIN   := $(patsubst tests/fuzz/%.c,$(B)/fuzz/bin/%,$(FUZZ_SRC))
.PHONY: unit fuzz clean
unit: $(UNIT_BIN)
fuzz: $(FUZZ_BIN)
clean:
	rm -rf $(B)/obj $(B)/asan $(B)/wild $(B)/fuzz $(B)/unit $(B)/trapeze $(B)/libtrapeze.a

.SECONDARY:
-include $(shell find $(B)/obj $(B)/asan $(B)/wild $(B)/fuzz -name '*.d' 2>/dev/null)
