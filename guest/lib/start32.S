/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry of a 32-bit guest: by multiboot 1 or 2 (ELF) or as a raw image at 0x100000; both give flat segments, PE=1. */
        .section .start, "ax"
        .code32
        .globl _start
_start: jmp     1f
#ifdef MULTIBOOT2
        .balign 8
2:      .long   0xe85250d6, 0, 3f - 2b, -(0xe85250d6 + (3f - 2b))
        .word   0, 0                            /* end tag */
        .long   8
3:
#else
        .balign 4
        .long   0x1badb002, 0, -0x1badb002      /* multiboot 1: no requests */
#endif
1:      cli
        cld
        mov     $stack_top, %esp
        push    $0
        popf
        /* fill .bss: a raw image does not carry it */
        mov     $__bss_start, %edi
        mov     $__bss_end, %ecx
        sub     %edi, %ecx
        xor     %eax, %eax
        rep stosb
#ifdef LONG64
        /* identity map of the first GiB by 2 MiB pages, then long mode */
        mov     $pdpt, %eax
        or      $7, %eax
        mov     %eax, pml4
        mov     $pd, %eax
        or      $7, %eax
        mov     %eax, pdpt
        xor     %ecx, %ecx
2:      mov     %ecx, %eax
        shl     $21, %eax
        or      $0x87, %eax
        mov     %eax, pd(,%ecx,8)
        inc     %ecx
        cmp     $512, %ecx
        jne     2b
        mov     %cr4, %eax
        or      $0x620, %eax                    /* PAE, OSFXSR, OSXMMEXCPT */
        mov     %eax, %cr4
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x101, %eax                    /* LME, SCE */
        wrmsr
        mov     %cr0, %eax
        and     $~4, %eax                       /* EM off */
        or      $0x80010022, %eax               /* PG, WP, NE, MP */
        mov     %eax, %cr0
        lgdt    gdt64_ptr
        ljmp    $8, $3f
        .code64
3:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $stack_top, %rsp
        call    guest_main
        call    finish
        .balign 8
gdt64:  .quad   0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt64_ptr:
        .word   . - gdt64 - 1
        .quad   gdt64

        .bss
        .balign 4096
        .globl  pml4, pdpt, pd
pml4:   .skip   4096
pdpt:   .skip   4096
pd:     .skip   4096
#else
        call    guest_main
        call    finish
        .bss
#endif
        .balign 16
        .skip   16384
        .globl  stack_top
stack_top:
        .section .note.GNU-stack, "", @progbits
