# SPDX-License-Identifier: BSD-2-Clause
# The small guests: each as an ELF (multiboot 1) and as a raw image for 0x100000.

GUESTS32   := null_a null_b coop preempt paging reset hostile vga selfmod wrap rf
GUESTS64   := long64 selfmod64 hostile_user bases rf64 spaces
GUEST_LIB  := guest/lib/start32.S guest/lib/trap.S guest/lib/guest.c
GUEST_CFLAGS := -std=gnu17 -Wall -Wextra -Werror -I. -O2 -g -ffreestanding -nostdlib -fno-pic -fno-pie -mgeneral-regs-only \
                -fno-stack-protector -fno-asynchronous-unwind-tables -static -Wl,--build-id=none -Wl,-T,guest/lib/guest.ld -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments
GUEST_HDR  := guest/lib/guest.h guest/lib/guest.ld
# Further files of a guest.
MORE_hostile_user := guest/hostile_pointers.c guest/hostile_insns.c guest/hostile_groups.c

$(GUESTS32:%=$(B)/guest/%.elf): $(B)/guest/%.elf: guest/%.c $(GUEST_LIB) $(GUEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -march=i686 $(GUEST_CFLAGS) $(filter %.S %.c,$^) -o $@
$(GUESTS64:%=$(B)/guest/%.elf): $(B)/guest/%.elf: guest/%.c $(GUEST_LIB) $(GUEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m64 -DLONG64 -mno-red-zone -mcmodel=small $(GUEST_CFLAGS) $< $(MORE_$*) $(GUEST_LIB) -o $@.64
	$(Q)objcopy -O elf32-i386 $@.64 $@
$(B)/guest/selfmod64.elf: guest/selfmod.c # which it includes
$(B)/guest/rf64.elf: guest/rf.c
$(B)/guest/hostile_user.elf: guest/hostile_user.h $(MORE_hostile_user)
$(B)/guest/%.bin: $(B)/guest/%.elf
	$(Q)objcopy -O binary $< $@

# The same by the other protocol.
$(B)/guest/null_a_mb2.elf: guest/null_a.c $(GUEST_LIB) $(GUEST_HDR)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -march=i686 -DMULTIBOOT2 $(GUEST_CFLAGS) $(filter %.S %.c,$^) -o $@

GUEST_BIN := $(B)/guest/null_a_mb2.elf $(foreach g,$(GUESTS32) $(GUESTS64),$(B)/guest/$(g).elf $(B)/guest/$(g).bin)
.PHONY: guests
guests: $(GUEST_BIN)

# The hostile program, told where the monitor's memory is.
$(B)/guest/hostile_maps.elf: guest/hostile_user.c $(MORE_hostile_user) $(GUEST_LIB) $(GUEST_HDR) guest/hostile_user.h
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m64 -DLONG64 -DMAPS -mno-red-zone -mcmodel=small $(GUEST_CFLAGS) $(filter %.S %.c,$^) -o $@.64
	$(Q)objcopy -O elf32-i386 $@.64 $@
GUEST_BIN += $(B)/guest/hostile_maps.elf
guests: $(B)/guest/hostile_maps.elf
