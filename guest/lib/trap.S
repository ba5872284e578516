/* SPDX-License-Identifier: BSD-2-Clause */
/* Trap stubs for all 256 vectors, and the way into ring 3 and back. */
        .text
#ifdef __x86_64__
#define WORD 8
#else
#define WORD 4
#endif
        .balign 16
        .globl  trap_stubs
trap_stubs:
        .set    i, 0
        .rept   256
        .balign 16
        .if     !(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21)
        push    $0                      /* a place for the error code the processor does not push */
        .endif
        push    $i
        jmp     trap_common
        .set    i, i + 1
        .endr

trap_common:
#ifdef __x86_64__
        push    %rax
        push    %rbx
        push    %rcx
        push    %rdx
        push    %rbp
        push    %rsi
        push    %rdi
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, %rdi
        cld
        call    trap
        .globl  trap_return
trap_return:
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rdi
        pop     %rsi
        pop     %rbp
        pop     %rdx
        pop     %rcx
        pop     %rbx
        pop     %rax
        add     $16, %rsp
        iretq

/* uintptr_t ring3_run(void (*ip)(void), uintptr_t stack) */
        .globl  ring3_run
ring3_run:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, ring3_saved
        push    $0x23
        push    %rsi
        pushf
        push    $0x1b
        push    %rdi
        iretq
        .globl  ring3_leave             /* (value): on the trap's stack; goes back to ring3_run's caller */
ring3_leave:
        mov     %rdi, %rax
        mov     ring3_saved, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
#else
        pusha
        push    %esp
        cld
        call    trap
        add     $4, %esp
        .globl  trap_return
trap_return:
        popa
        add     $8, %esp
        iret

        .globl  ring3_run
ring3_run:
        mov     4(%esp), %eax
        mov     8(%esp), %edx
        push    %ebx
        push    %ebp
        push    %esi
        push    %edi
        mov     %esp, ring3_saved
        push    $0x23
        push    %edx
        pushf
        push    $0x1b
        push    %eax
        mov     $0x23, %eax
        mov     %eax, %ds
        mov     %eax, %es
        iret
        .globl  ring3_leave
ring3_leave:
        mov     4(%esp), %eax
        mov     ring3_saved, %esp
        mov     $0x10, %edx
        mov     %edx, %ds
        mov     %edx, %es
        pop     %edi
        pop     %esi
        pop     %ebp
        pop     %ebx
        ret
#endif
        .bss
        .balign WORD
ring3_saved:
        .skip   WORD
        .section .note.GNU-stack, "", @progbits
