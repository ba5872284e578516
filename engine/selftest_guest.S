/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest of the self-test: enters at its first byte in flat 32-bit mode, loaded at CODE. */
#include "engine/selftest_guest.h"

#define ADDR(label) ((label) - selftest_guest + CODE)

.macro step number
    mov $\number, %al
    out %al, $PORT_STEP
.endm
/* Jumps to the report of a wrong result. */
.macro expect_equal
    jne wrong
.endm

    .section .rodata
    .globl selftest_guest, selftest_guest_end
    .balign 16
selftest_guest:
    .code32
    step STEP_LONG_MODE
    mov $ADDR(gdt_pointer), %eax
    lgdt (%eax)
    mov $0x20, %eax                 /* CR4.PAE */
    mov %eax, %cr4
    mov $PML4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           /* EFER.LME, .SCE */
    rdmsr
    or $0x101, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010001, %eax            /* PG, WP, PE */
    mov %eax, %cr0
    ljmp $0x08, $ADDR(long_mode)

    .code64
long_mode:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $STACK, %esp
    lidt idt_pointer(%rip)
    mov $0xc0000080, %ecx
    rdmsr
    test $0x400, %eax               /* EFER.LMA */
    jz wrong
    mov $0x123456789abcdef0, %r15
    mov %r15, %rax
    shr $36, %rax
    cmp $0x1234567, %eax
    expect_equal

    step STEP_PAGING                /* a second address of PAGE_A */
    mov %r15, PAGE_A
    cmp %r15, VIRT
    expect_equal
    mov %r15, VIRT + 8
    cmp %r15, PAGE_A + 8
    expect_equal
    mov PT, %eax
    and $0x60, %eax                 /* accessed, dirty */
    cmp $0x60, %eax
    expect_equal
    movl $PAGE_B + 3, PT            /* moved */
    invlpg VIRT
    movl $77, VIRT
    cmpl $77, PAGE_B
    expect_equal
    mov %cr3, %rax
    mov %rax, %cr3
    cmpl $77, VIRT
    expect_equal

    step STEP_PAGE_FAULT            /* the handler maps the page, the store is repeated */
    mov %r15, VIRT + 0x1010
    cmp %r15, PAGE_A + 0x10
    expect_equal
    cmpl $1, faults(%rip)
    expect_equal

    step STEP_INT3
    int3
    cmpl $1, traps(%rip)
    expect_equal
    int $0x30
    cmpl $2, traps(%rip)
    expect_equal

    step STEP_SSE
    mov %cr0, %rax
    and $~0x0c, %rax                /* EM, TS */
    or $0x02, %rax                  /* MP */
    mov %rax, %cr0
    mov %cr4, %rax
    or $0x600, %rax                 /* OSFXSR, OSXMMEXCPT */
    mov %rax, %cr4
    fninit
    mov $9, %eax
    cvtsi2sd %eax, %xmm0
    sqrtsd %xmm0, %xmm0
    mulsd %xmm0, %xmm0
    cvttsd2si %xmm0, %eax
    cmp $9, %eax
    expect_equal
    mov $SCRATCH, %edi
    fxsave (%rdi)
    pxor %xmm0, %xmm0
    fxrstor (%rdi)
    cvttsd2si %xmm0, %eax
    cmp $9, %eax
    expect_equal
    movdqu %xmm0, SCRATCH + 0x300
    movdqu SCRATCH + 0x300, %xmm1
    pcmpeqd %xmm0, %xmm1
    pmovmskb %xmm1, %eax
    cmp $0xffff, %eax
    expect_equal

    mov $1, %eax
    cpuid
    mov %ecx, %r14d                 /* features */

    step STEP_XSAVE
    bt $26, %r14d
    jnc 1f
    mov %cr4, %rax
    or $0x40000, %rax               /* OSXSAVE */
    mov %rax, %cr4
    xor %ecx, %ecx
    xgetbv
    or $3, %eax                     /* x87, SSE */
    xsetbv
    xgetbv
    and $3, %eax
    cmp $3, %eax
    expect_equal
    mov $SCRATCH, %edi
    mov $3, %eax
    xor %edx, %edx
    xsave (%rdi)
    pxor %xmm0, %xmm0
    xrstor (%rdi)
    cvttsd2si %xmm0, %eax
    cmp $9, %eax
    expect_equal
1:
    step STEP_CX16
    bt $13, %r14d
    jnc 1f
    xor %eax, %eax
    xor %edx, %edx
    mov $1, %ebx
    mov $2, %ecx
    lock cmpxchg16b pair(%rip)
    jnz wrong
    lock cmpxchg16b pair(%rip)      /* differs now: loads what is there */
    jz wrong
    cmp $1, %rax
    expect_equal
    cmp $2, %rdx
    expect_equal
1:
    step STEP_SMAP
    xor %eax, %eax
    cpuid
    cmp $7, %eax
    jb 1f
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    bt $20, %ebx
    jnc 1f
    stac
    clac
1:
    step STEP_IPI
    mov $LAPIC, %edi
    movl $0x1ff, 0xf0(%rdi)         /* SVR: enabled */
    movl $0, 0x80(%rdi)             /* TPR */
    movl $0x44040, 0x300(%rdi)      /* ICR: to self, vector 0x40 */
    sti
    mov $1000000, %ecx
1:  pause
    cmpl $1, ipis(%rip)
    je 2f
    dec %ecx
    jnz 1b
2:  cli
    cmpl $1, ipis(%rip)
    expect_equal

    step STEP_TIMER                 /* one shot of the PIT through the PIC wakes from HLT */
    movl $0x700, 0x350(%rdi)        /* LINT0: ExtINT */
    mov $0x11, %al
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $0x04, %al
    out %al, $0x21
    mov $0x01, %al
    out %al, $0x21
    mov $0xfe, %al
    out %al, $0x21
    mov $0x30, %al
    out %al, $0x43
    mov $0x00, %al
    out %al, $0x40
    mov $0x01, %al
    out %al, $0x40
1:  sti
    hlt
    cli
    cmpl $0, ticks(%rip)
    je 1b

    step STEP_USER                  /* IRET to ring 3, SYSCALL, SYSRET, SYSCALL */
    mov $0xc0000081, %ecx           /* STAR */
    xor %eax, %eax
    mov $0x00180008, %edx
    wrmsr
    inc %ecx                        /* LSTAR */
    mov $ADDR(from_user), %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000084, %ecx           /* FMASK */
    mov $0x200, %eax
    wrmsr
    xor %ebp, %ebp
    push $0x23
    push $STACK - 0x800
    push $2
    push $0x2b
    push $ADDR(user)
    iretq
user:
    mov %cs, %eax
    cmp $0x2b, %eax
    jne 1f
    add $1, %ebp
1:  syscall
    add $2, %ebp
    syscall
from_user:
    mov %cs, %eax
    cmp $0x08, %eax
    expect_equal
    cmp $1, %ebp
    jne 1f
    sysretq
1:  cmp $3, %ebp
    expect_equal

    step STEP_PASSED
wrong:
    out %al, $PORT_WRONG
1:  cli
    hlt
    jmp 1b

page_fault:                         /* error code: a write, page not present */
    push %rax
    mov %cr2, %rax
    cmp $VIRT + 0x1010, %rax
    expect_equal
    cmpq $2, 8(%rsp)
    expect_equal
    movl $PAGE_A + 3, PT + 8
    incl faults(%rip)
    pop %rax
    add $8, %rsp
    iretq
breakpoint:
    incl traps(%rip)
    iretq
self_ipi:
    incl ipis(%rip)
    push %rdi
    mov $LAPIC, %edi
    movl $0, 0xb0(%rdi)             /* EOI */
    pop %rdi
    iretq
timer:
    incl ticks(%rip)
    push %rax
    mov $0x20, %al
    out %al, $0x20
    pop %rax
    iretq
unexpected:
    pop %rax
    out %al, $PORT_VECTOR
    jmp 1b

    .balign 8
stubs:
    .set vector, 0
    .rept 0x41
    .balign 8
    push $vector
    jmp unexpected
    .set vector, vector + 1
    .endr

    .balign 16
pair:   .quad 0, 0
faults: .long 0
traps:  .long 0
ipis:   .long 0
ticks:  .long 0

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff        /* 08: ring 0 code, 64-bit */
    .quad 0x00cf93000000ffff        /* 10: ring 0 data */
    .quad 0x00cffb000000ffff        /* 18: ring 3 code, 32-bit */
    .quad 0x00cff3000000ffff        /* 20: ring 3 data */
    .quad 0x00affb000000ffff        /* 28: ring 3 code, 64-bit */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long ADDR(gdt)
    .long 0

    .macro gate address
    .word \address, 0x08, 0x8e00, 0
    .quad 0
    .endm
    .balign 16
idt:
    .set vector, 0
    .rept 0x41
    .if vector == 3 || vector == 0x30
    gate ADDR(breakpoint)
    .elseif vector == 14
    gate ADDR(page_fault)
    .elseif vector == 0x20
    gate ADDR(timer)
    .elseif vector == 0x40
    gate ADDR(self_ipi)
    .else
    gate (ADDR(stubs) + vector * 8)
    .endif
    .set vector, vector + 1
    .endr
idt_end:
idt_pointer:
    .word idt_end - idt - 1
    .quad ADDR(idt)
selftest_guest_end:

    .section .note.GNU-stack, "", @progbits
